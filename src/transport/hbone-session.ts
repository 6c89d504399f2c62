import { connect as connectHttp2, constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { Bag } from '../kit/bag.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { ClientContext } from './contexts.ts'
import { HboneError } from './errors.ts'
import { verifyPeer } from './peer.ts'
import type { VerifiedPeer } from './peer.ts'
import { at, reasonHeader, sessionOptions, sessionWindowBytes, trueEnds, watchLiveness } from './session.ts'
import { holdStreamsLightly } from './streams.ts'
import { retiringEvent } from './tunnel.ts'

export interface HboneClientLimits {
  /** Tunnels in one session, if the peer allows as many; more need another session. */
  readonly maxTunnelsPerSession: number
  /** Sessions with one peer; beyond them tunnels are refused. */
  readonly maxSessionsPerPeer: number
  /** Milliseconds from the first SYN to a session that is ready. */
  readonly connectTimeoutMs: number
  /** Milliseconds from a CONNECT to its answer. */
  readonly answerTimeoutMs: number
  /** A peer that gives no sign for two of these is gone. */
  readonly pingIntervalMs: number
  /** Milliseconds; sessions without a tunnel for longer are closed. */
  readonly idleTimeoutMs: number
}

export interface SessionTarget {
  /** A connection, still connecting or not; `allowHalfOpen` does not matter here. */
  readonly socket: Socket
  readonly context: ClientContext
  /** SPIFFE ids of which the peer must have one. */
  readonly wanted: ReadonlySet<string>
  readonly clock: Clock
  readonly limits: HboneClientLimits
  /** Called once when the session is closed for good. */
  readonly onGone: () => void
}

/** One session with one peer, from the moment it is dialled. */
export interface ClientSession {
  /** Settles when tunnels can be asked for, or when that failed with an `HboneError`. */
  readonly ready: Promise<void>
  /** Tunnels that may be reserved now. */
  readonly room: () => number
  /** Whether the session takes further tunnels at all. */
  readonly usable: () => boolean
  readonly reserve: () => void
  /** Gives a reservation back that `open` was not called for. */
  readonly release: () => void
  readonly reserved: () => number
  /** Tunnels that move much data. */
  readonly bulk: () => number
  readonly addBulk: (count: 1 | -1) => void
  /**
   * Asks for a tunnel under a reservation, which ends with the tunnel.
   * Rejects with `HboneError`, or with the signal's reason.
   */
  readonly open: (authority: string, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined) => Promise<Duplex>
  /** Takes no further tunnels, tells the peer (GOAWAY), and closes once the present ones ended. */
  readonly retire: () => void
  readonly destroy: () => void
}

/** Dials a session: TLS, the peer's identity, then HTTP/2; nothing of HTTP is sent to a peer that is not the wanted one. */
export function openSession({ socket, context, wanted, clock, limits, onGone }: SessionTarget): ClientSession {
  let phase: 'opening' | 'open' | 'retired' | 'gone' = 'opening'
  let http2: ClientHttp2Session | undefined
  let reserved = 0
  let bulk = 0
  const tunnels = new Bag<ClientHttp2Stream>()
  let goawayLastId = Infinity
  let cancelIdle: Cancel = () => {}
  let cancelExpiry: Cancel = () => {}
  const { promise: ready, resolve: markReady, reject: failReady } = Promise.withResolvers<undefined>()
  ready.catch(() => {})

  const end = (error: HboneError): void => {
    if (phase === 'gone') return
    phase = 'gone'
    failReady(error)
    cancelConnect()
    cancelIdle()
    cancelExpiry()
    // With an error, or its streams would end cleanly.
    http2?.destroy(error)
    tls.destroy()
    socket.destroy()
    onGone()
  }
  const retire = (): void => {
    if (phase === 'opening') { end(new HboneError('session-lost', 'the session was retired while it was dialled', {
      sent: false }))
      return
    }
    if (phase !== 'open') return
    phase = 'retired'
    cancelIdle()
    http2?.close()
    for (const tunnel of tunnels) tunnel.emit(retiringEvent)
  }
  const startIdle = (): void => {
    cancelIdle()
    if (reserved === 0 && phase === 'open') cancelIdle = clock.after(limits.idleTimeoutMs, retire)
  }
  const release = (): void => {
    reserved--
    startIdle()
  }

  // TLS takes this over, and a peer that was killed ends its half without a word: nothing would end the other one until a ping is missed.
  socket.allowHalfOpen = false
  // No server name: the peer is told by its SPIFFE id, and an SNI would tell onlookers where the traffic goes.
  const tls = connectTls({ socket, secureContext: context.context, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined })
  const cancelConnect = clock.after(limits.connectTimeoutMs, () =>
    end(new HboneError('timeout', `no session after ${limits.connectTimeoutMs} ms`, { sent: false })))
  const fail = (cause: Error): void => {
    // Set only when the certificate did not chain to the bundle; Node's types do not say that it may be missing.
    const untrusted = (tls.authorizationError as Error | undefined | null) ?? undefined
    if (phase === 'opening' && untrusted !== undefined) end(new HboneError('peer-identity', `the peer is not trusted: ${cause.message}`, { sent: false, cause }))
    else end(new HboneError(phase === 'opening' ? 'unreachable' : 'session-lost', cause.message, { sent: phase !== 'opening', cause }))
  }
  socket.on('error', fail)
  tls.on('error', fail)
  tls.on('close', () => fail(new Error('the peer closed the connection')))
  tls.once('secureConnect', () => {
    if (phase !== 'opening') return
    if (tls.alpnProtocol !== 'h2') {
      fail(new Error('the peer does not speak HTTP/2'))
      return
    }
    const verdict = verifyPeer(tls, { bundle: context.bundle, trustDomain: context.credentials.identity.trustDomain, nowMs: clock.now(), usage: 'server' })
    if (!verdict.ok) { end(new HboneError('peer-identity', `the peer's certificate is refused: ${verdict.code}: ${verdict.message}`, {
      sent: false }))
      return
    }
    if (!wanted.has(verdict.peer.id)) {
      end(new HboneError('peer-identity', `the peer is ${verdict.peer.id}, not ${[...wanted].join(' or ')}`, { sent: false }))
      return
    }
    start(verdict.peer)
  })

  const start = (peer: VerifiedPeer): void => {
    const session = connectHttp2('https://mesh', { ...sessionOptions(limits.maxTunnelsPerSession), createConnection: () => tls })
    holdStreamsLightly(session)
    http2 = session
    session.on('error', fail)
    session.once('connect', () => session.setLocalWindowSize(sessionWindowBytes))
    // The peer's settings are the first sign that it took our certificate (in TLS 1.3 the client is done before the server has
    // seen it), and they carry its limit: past that, Node would queue tunnels without a word.
    session.once('remoteSettings', () => {
      if (phase !== 'opening') return
      phase = 'open'
      cancelConnect()
      cancelExpiry = at(clock, Math.min(peer.notAfterMs, context.credentials.notAfterMs), retire)
      watchLiveness(session, tls, { clock, intervalMs: limits.pingIntervalMs, onDead: () => fail(new Error('the peer is silent')) })
      markReady(undefined)
      startIdle()
    })
    session.once('goaway', (_code: number, lastId: number) => {
      goawayLastId = lastId
      if (phase === 'opening') fail(new Error('the peer takes no new tunnels'))
      else retire()
    })
    session.once('close', () => fail(new Error('the peer closed the session')))
  }

  const room = (): number => {
    const allowed = http2?.remoteSettings.maxConcurrentStreams ?? Infinity
    return Math.min(limits.maxTunnelsPerSession, phase === 'opening' ? Infinity : allowed) - reserved
  }

  const open = (authority: string, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<Duplex> =>
    new Promise((resolve, reject) => {
      let stream: ClientHttp2Stream
      try {
        if (http2 === undefined) throw new Error('the session is not open')
        stream = http2.request({ ...headers, ':method': 'CONNECT', ':authority': authority })
      } catch (cause) {
        // Node throws here when the session is on its way down and its events have not come yet.
        release()
        retire()
        reject(new HboneError('session-lost', 'the session was closing', { sent: false, cause }))
        return
      }
      trueEnds(stream)
      stream.once('close', release)
      stream.on('error', () => {})
      const settle = (): void => {
        cancelAnswer()
        signal?.removeEventListener('abort', abort)
        stream.off('close', lost)
      }
      const giveUp = (error: Error): void => {
        settle()
        // Not close(code): that would first send a clean end, which the peer would pass on to its application.
        stream.destroy(new Error('given up'))
        reject(error)
      }
      const lost = (): void => {
        settle()
        const unseen = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM || (stream.id ?? Infinity) > goawayLastId
        reject(new HboneError('session-lost', 'the tunnel ended before it was answered', { sent: !unseen }))
      }
      const abort = (): void => giveUp(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
      const cancelAnswer = clock.after(limits.answerTimeoutMs, () =>
        giveUp(new HboneError('timeout', `no answer to CONNECT ${authority} after ${limits.answerTimeoutMs} ms`, { sent: true })))
      stream.once('close', lost)
      signal?.addEventListener('abort', abort)
      stream.once('response', (answer) => {
        const status = answer[':status'] ?? 0
        if (status === 200) {
          settle()
          stream.once('close', tunnels.add(stream))
          resolve(stream)
          return
        }
        const reason = answer[reasonHeader]
        giveUp(new HboneError('refused', `CONNECT ${authority} was answered with ${status}`, {
          status,
          sent: true,
          ...(typeof reason === 'string' ? { reason } : {}),
        }))
      })
    })

  return {
    ready,
    room,
    usable: () => (phase === 'opening' || phase === 'open') && http2?.closed !== true,
    reserve: () => {
      reserved++
      cancelIdle()
    },
    release,
    reserved: () => reserved,
    bulk: () => bulk,
    addBulk: (count) => { bulk += count },
    open,
    retire,
    destroy: () => end(new HboneError('session-lost', 'the session was closed', { sent: true })),
  }
}
