import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../kit/clock.ts'
import type { CredentialSource } from '../model/credentials.ts'
import { clientContexts } from './contexts.ts'
import { HboneError } from './errors.ts'
import { openSession } from './hbone-session.ts'
import type { ClientSession, HboneClientLimits } from './hbone-session.ts'

export const defaultHboneClientLimits: HboneClientLimits = {
  maxTunnelsPerSession: 100,
  maxSessionsPerPeer: 64,
  connectTimeoutMs: 5_000,
  answerTimeoutMs: 15_000,
  pingIntervalMs: 2_500,
  idleTimeoutMs: 300_000,
}

/**
 * How often one tunnel is asked for; more than once only if the session ended before an answer. Two hand-overs of the peer in quick
 * succession may take two tries each.
 */
const maxTries = 5
/** Sessions with one peer that exist only to keep tunnels away from bulk ones. */
const maxBulkSessions = 8
/** Milliseconds before a second try, more before a third, with jitter. */
const retryMs = 20

/** Who must answer, by SPIFFE id. */
export type ExpectedPeer = { readonly kind: 'identity'; readonly id: string } | { readonly kind: 'any-of'; readonly ids: readonly string[] }

export interface TunnelRequest {
  /** The mesh member's address and its HBONE port. */
  readonly host: string
  readonly port: number
  /** Where the tunnel leads: see `formatAuthority`. */
  readonly authority: string
  readonly peer: ExpectedPeer
  /** Of the CONNECT, names in lower case: `baggage`, `forwarded`, `traceparent`; nothing of the application's. */
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface HboneClientOptions {
  readonly credentials: CredentialSource
  readonly clock: Clock
  /** 0 ≤ random() < 1, for jitter. */
  readonly random?: () => number
  readonly limits?: Partial<HboneClientLimits>
  /** Makes the TCP connection of a session; the default is a plain `net.connect`. */
  readonly dial?: (target: { readonly host: string; readonly port: number }) => Socket
}

/** Opens tunnels as one identity; keeps and shares the sessions that carry them. */
export interface HboneClient {
  /**
   * Opens a tunnel; the promise waits for the peer's 200, so no byte of the tunnel is sent before.
   * The stream stands still until it is read; if it is not used at once, check that it is not destroyed by then.
   * Rejects with `HboneError`, or with the signal's reason.
   */
  readonly connect: (request: TunnelRequest) => Promise<Duplex>
  /**
   * Says that a tunnel moves much data: new tunnels keep away from its session while it lives, so that they do not wait behind it.
   * @param tunnel as `connect` gave it
   */
  readonly markBulk: (tunnel: Duplex) => void
  readonly stats: () => { readonly sessions: number; readonly tunnels: number }
  /** Refuses new tunnels and waits for the present ones; what is left after `deadlineMs` is cut. */
  readonly drain: (deadlineMs?: number) => Promise<void>
  /** Cuts everything now. */
  readonly close: () => void
}

/** On a tunnel until it is marked as bulk; a map beside would cost the garbage collector more than all else of it. */
const sessionKey = Symbol('session')
interface Tunnel extends Duplex {
  [sessionKey]?: ClientSession | undefined
}

export function createHboneClient(options: HboneClientOptions): HboneClient {
  const { credentials, clock, random = Math.random, dial = dialTcp } = options
  const limits = { ...defaultHboneClientLimits, ...options.limits }
  const present = clientContexts(credentials)
  /** Sessions that take tunnels, by peer; retired ones are only in `all`. */
  const pools = new Map<string, ClientSession[]>()
  const all = new Set<ClientSession>()
  let closing = false
  let onEmpty: (() => void) | undefined

  const forget = (key: string, session: ClientSession): void => {
    const rest = (pools.get(key) ?? []).filter((each) => each !== session)
    if (rest.length > 0) pools.set(key, rest)
    else pools.delete(key)
  }

  const pick = (key: string, request: TunnelRequest, ids: readonly string[]): ClientSession => {
    const usable = (pools.get(key) ?? []).filter((each) => each.usable())
    // The first with room, so that tunnels share records and system calls and further sessions run idle.
    const found = usable.find((each) => each.room() > 0 && each.bulk() === 0) ?? leastBulk(usable)
    if (found !== undefined) return found
    if (usable.length >= limits.maxSessionsPerPeer) {
      throw new HboneError('refused', `${usable.length} sessions with the peer are full`, { status: 503, reason: 'overload', sent: false })
    }
    const session = openSession({
      socket: dial(request),
      context: present(),
      wanted: new Set(ids),
      clock,
      limits,
      onGone: () => {
        all.delete(session)
        forget(key, session)
        if (all.size === 0) onEmpty?.()
      },
    })
    all.add(session)
    pools.set(key, [...usable, session])
    return session
  }

  /** Sessions with bulk tunnels are shared only when there are several of them: each further one costs a handshake. */
  const leastBulk = (usable: readonly ClientSession[]): ClientSession | undefined => {
    const withRoom = usable.filter((each) => each.room() > 0)
    if (withRoom.length < maxBulkSessions) return undefined
    return withRoom.reduce((least, each) => (each.bulk() < least.bulk() ? each : least))
  }

  const attempt = async (key: string, request: TunnelRequest, ids: readonly string[]): Promise<Duplex> => {
    for (;;) {
      const session = pick(key, request, ids)
      session.reserve()
      try {
        await abortable(session.ready, request.signal)
      } catch (error) {
        session.release()
        throw error
      }
      // The peer may allow fewer tunnels than we thought before its settings came.
      if (session.usable() && session.room() >= 0) {
        const tunnel = await session.open(request.authority, request.headers ?? {}, request.signal)
        ;(tunnel as Tunnel)[sessionKey] = session
        return tunnel
      }
      session.release()
    }
  }

  const retireAll = (): void => {
    pools.clear()
    for (const session of all) session.retire()
  }
  const stopWatching = credentials.onChange(retireAll)

  return {
    connect: async (request) => {
      const ids = request.peer.kind === 'identity' ? [request.peer.id] : [...request.peer.ids].sort()
      const key = `${request.host}|${request.port}|${ids.join('|')}`
      for (let tries = 1; ; tries++) {
        if (closing) throw new HboneError('unreachable', 'this client is closing', { sent: false })
        request.signal?.throwIfAborted()
        try {
          return await attempt(key, request, ids)
        } catch (error) {
          if (!(error instanceof HboneError) || error.code !== 'session-lost' || tries >= maxTries) throw error
        }
        await pause(clock, retryMs * tries * (0.5 + random()))
      }
    },
    markBulk: (tunnel) => {
      const session = (tunnel as Tunnel)[sessionKey]
      if (session === undefined || tunnel.destroyed) return
      ;(tunnel as Tunnel)[sessionKey] = undefined
      session.addBulk(1)
      tunnel.once('close', () => session.addBulk(-1))
    },
    stats: () => ({ sessions: all.size, tunnels: [...all].reduce((sum, each) => sum + each.reserved(), 0) }),
    drain: async (deadlineMs) => {
      closing = true
      stopWatching()
      retireAll()
      if (all.size === 0) return
      const cancel = deadlineMs === undefined ? undefined : clock.after(deadlineMs, () => { for (const session of all) session.destroy() })
      await new Promise<void>((resolve) => { onEmpty = resolve })
      cancel?.()
    },
    close: () => {
      closing = true
      stopWatching()
      for (const session of all) session.destroy()
    },
  }
}

/** Without a choice among several addresses of a name: TLS must be put on a socket before it is connected. */
function dialTcp({ host, port }: { readonly host: string; readonly port: number }): Socket {
  return connectTcp({ host, port, noDelay: true, autoSelectFamily: false })
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => { clock.after(ms, resolve) })
}

/** Leaves the wait, not what is waited for. */
async function abortable(ready: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return ready
  let abort = (): void => {}
  try {
    await Promise.race([
      ready,
      new Promise<never>((_resolve, reject) => {
        abort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
        signal.addEventListener('abort', abort)
      }),
    ])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
