import { DialError } from '../upstream.ts'
import type { Dial, PoolLimits, UpstreamFailure, UpstreamPool } from '../upstream.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { messageOf } from '../../src/kit/message.ts'
import { UpstreamSession } from './upstream-session.ts'
import { UpstreamTry } from './upstream-try.ts'

export interface Http2PoolOptions {
  /** Streams on a connection beyond which another one is preferred, while `maxConnections` allows. 100 if not given. */
  readonly streamsPerConnection?: number
  /** Bytes of each answer that wait unread; 1 MiB if not given. */
  readonly streamWindow?: number
  /**
   * Milliseconds between PINGs while requests are open; 310 000 if not given: gRPC servers end connections whose client pings more
   * often than every 5 minutes. What finds dead peers sooner is the transport below (HBONE's own PING, TCP keep-alive).
   */
  readonly pingIntervalMs?: number
  /** Milliseconds; 20 000 if not given. */
  readonly pingTimeoutMs?: number
  /** Milliseconds that a new connection has until the endpoint's SETTINGS; 5000 if not given. */
  readonly settingsTimeoutMs?: number
}

/**
 * The HTTP/2 connections (prior knowledge) to one endpoint. Requests share connections; a connection is used only once the endpoint's
 * SETTINGS are known, so that its limit on streams is kept from the first request on and an HTTP/1.1 server is told before it saw one.
 */
export function createHttp2Pool(dial: Dial, limits: PoolLimits, clock: Clock, options: Http2PoolOptions = {}): UpstreamPool {
  const perConnection = options.streamsPerConnection ?? 100
  const sessionOptions = {
    streamWindow: options.streamWindow ?? 1024 * 1024,
    pingIntervalMs: options.pingIntervalMs ?? 310_000,
    pingTimeoutMs: options.pingTimeoutMs ?? 20_000,
    settingsTimeoutMs: options.settingsTimeoutMs ?? 5000,
    idleTimeoutMs: limits.idleTimeoutMs,
    maxAgeMs: limits.maxAgeMs,
  }
  /** Connections that may take requests, oldest first: the first with room is used, so that the last ones get idle and go. */
  let sessions: UpstreamSession[] = []
  /** Connections that are still there for requests that began before GOAWAY or retirement. */
  const leaving = new Set<UpstreamSession>()
  const opening = new Set<UpstreamSession>()
  let dialing = 0
  let waiting: UpstreamTry[] = []
  let inFlight = 0
  let closed: 'draining' | 'destroyed' | undefined

  const pick = (): UpstreamSession | undefined => {
    let full: UpstreamSession | undefined
    // `usable` may retire a session, which replaces the list: walk the one that was there.
    for (const session of sessions) {
      if (!session.usable) continue
      const remoteLimit = session.remoteLimit
      if (session.active < Math.min(perConnection, remoteLimit)) return session
      if (session.active < remoteLimit && (full === undefined || session.active < full.active)) full = session
    }
    return sessions.length + opening.size + dialing >= limits.maxConnections ? full : undefined
  }

  const fill = (): void => {
    while (waiting.length > 0) {
      const session = pick()
      if (session === undefined) break
      waiting.shift()?.openOn(session)
    }
    const coming = dialing + opening.size
    if (waiting.length > coming * perConnection && sessions.length + coming < limits.maxConnections && closed !== 'destroyed') connectOne()
  }

  const failWaiting = (failure: UpstreamFailure): void => {
    if (dialing > 0 || opening.size > 0 || sessions.length > 0) {
      fill()
      return
    }
    const lost = waiting
    waiting = []
    for (const each of lost) each.fail(failure)
  }

  const connectOne = (): void => {
    dialing++
    dial().then(
      (duplex) => {
        dialing--
        if (closed === 'destroyed') {
          duplex.on('error', () => {})
          duplex.destroy()
          return
        }
        const session = new UpstreamSession(duplex, clock, sessionOptions, {
          onReady: (each) => {
            opening.delete(each)
            sessions.push(each)
            fill()
            if (closed !== undefined && each.active === 0) each.retire()
          },
          onRoom: (each) => {
            if (each.active === 0) leaving.delete(each)
            if (waiting.length > 0) fill()
            else if (closed !== undefined && each.active === 0) each.retire()
          },
          onGone: (each, failure) => {
            opening.delete(each)
            sessions = sessions.filter((other) => other !== each)
            if (each.active > 0) leaving.add(each)
            if (failure !== undefined) failWaiting(failure)
            else if (waiting.length > 0) fill()
          },
        })
        opening.add(session)
      },
      (error: unknown) => {
        dialing--
        const reason = error instanceof DialError ? error.reason : 'connect-failure'
        failWaiting({ reason, detail: messageOf(error), maybeProcessed: false, staleConnection: false })
      },
    )
  }

  return {
    request: (head, handler) => {
      const each = new UpstreamTry(head, handler, {
        onOver: (one) => {
          inFlight--
          const at = waiting.indexOf(one)
          if (at >= 0) waiting.splice(at, 1)
        },
        onRefusedLocally: (one) => {
          waiting.unshift(one)
          fill()
        },
      })
      inFlight++
      if (closed !== undefined) {
        each.failLater({ reason: 'connect-failure', detail: 'the pool of this endpoint is closed', maybeProcessed: false, staleConnection: false })
        return each.stream
      }
      const session = waiting.length === 0 ? pick() : undefined
      if (session !== undefined) each.openOn(session)
      else if (waiting.length >= limits.maxPending) {
        each.failLater({ reason: 'overload', detail: `${limits.maxPending} requests wait for a connection to this endpoint`, maybeProcessed: false, staleConnection: false })
      } else {
        waiting.push(each)
        fill()
      }
      return each.stream
    },
    inFlight: () => inFlight,
    drain: () => {
      closed ??= 'draining'
      for (const session of [...sessions]) if (session.active === 0) session.retire()
    },
    destroy: () => {
      closed = 'destroyed'
      const lost = waiting
      waiting = []
      for (const each of lost) each.failLater({ reason: 'connect-failure', detail: 'the pool of this endpoint was destroyed', maybeProcessed: false, staleConnection: false })
      for (const session of [...sessions, ...opening, ...leaving]) session.destroy('the pool of this endpoint was destroyed')
    },
  }
}
