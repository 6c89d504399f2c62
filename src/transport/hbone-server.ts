import { performServerHandshake } from 'node:http2'
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { CredentialSource, Credentials } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import type { ReasonCode } from '../model/reasons.ts'
import { closeOnceAnswered, headBeforeReset } from './answered.ts'
import { parseAuthority } from './authority.ts'
import { listenerOptions, useContext } from './contexts.ts'
import { stillTrusted, verifyPeer } from './peer.ts'
import type { PeerCheck, VerifiedPeer } from './peer.ts'
import { at, reasonHeader, sessionOptions, sessionWindowBytes, trueEnds, watchLiveness } from './session.ts'
import { holdStreamsLightly } from './streams.ts'
import { certificatesInPem, parseTrustBundle } from './svid.ts'
import { reset } from './tunnel.ts'

export interface HboneServerLimits {
  /** Connections, those in the handshake included; more are closed at once. */
  readonly maxSessions: number
  /** Tunnels in all; more are refused with 503 and `overload`. */
  readonly maxTunnels: number
  /** What a peer is told it may open in one session. */
  readonly maxTunnelsPerSession: number
  readonly handshakeTimeoutMs: number
  /** A peer that gives no sign for two of these is gone. */
  readonly pingIntervalMs: number
}

export const defaultHboneServerLimits: HboneServerLimits = {
  maxSessions: 4096,
  maxTunnels: 32_768,
  maxTunnelsPerSession: 256,
  handshakeTimeoutMs: 10_000,
  pingIntervalMs: 10_000,
}

/** Connections that may wait to be accepted. */
const backlog = 4096

/** A tunnel that a verified peer asks for. Exactly one of `accept` and `refuse` is to be called, soon: the peer waits. */
export interface IncomingTunnel {
  readonly peer: Identity
  /** SPIFFE id of `peer`. */
  readonly peerId: string
  /** Address of the peer's end of the session. */
  readonly remoteAddress: string
  /** As it was sent. */
  readonly authority: string
  /** See `Authority`. */
  readonly host: string
  readonly port: number
  /** Of the CONNECT, names in lower case: `baggage`, `forwarded`, `traceparent`. */
  readonly headers: Readonly<IncomingHttpHeaders>
  /** True once the peer gave the tunnel up. */
  readonly closed: () => boolean
  /** Calls `listener` once when the tunnel is gone, also if it is gone already. */
  readonly onClosed: (listener: () => void) => void
  /**
   * Answers 200. The stream stands still until it is read, and may already be destroyed: check it, as `splice` does.
   * @param headers of the answer, names in lower case
   */
  readonly accept: (headers?: Readonly<Record<string, string>>) => Duplex
  /** @param reason goes into `x-waypoint-reason` */
  readonly refuse: (status: 400 | 401 | 403 | 404 | 421 | 502 | 503 | 504, reason?: ReasonCode) => void
}

/** Somebody who did not get a tunnel. */
export interface HboneRefusal {
  /** `handshake`: TLS failed; `peer`: the certificate is not a valid SVID; `request`: not a CONNECT, or a bad authority. */
  readonly kind: 'handshake' | 'peer' | 'request' | 'overload'
  readonly remoteAddress: string
  /** For logs. */
  readonly message: string
}

export interface HboneServerOptions {
  readonly credentials: CredentialSource
  /** An IP address; `::` also takes IPv4. Left out with `fd`. */
  readonly host?: string
  /** 0 = any. Left out with `fd`. */
  readonly port?: number
  /** A bound socket to listen on instead, for example one of another network namespace; the server owns it from then on. */
  readonly fd?: number
  /** Lets several threads or processes listen on one port. */
  readonly reusePort?: boolean
  readonly clock: Clock
  readonly limits?: Partial<HboneServerLimits>
  /** Trust domain that peers must be of; that of our own identity if left out. */
  readonly trustDomain?: string
  readonly onTunnel: (tunnel: IncomingTunnel) => void
  readonly onRefused?: (refusal: HboneRefusal) => void
}

export interface HboneServer {
  readonly address: { readonly host: string; readonly port: number }
  readonly sessions: () => number
  readonly tunnels: () => number
  /**
   * Stops listening, sends GOAWAY on every session and waits for their tunnels.
   * @param deadlineMs after which what is left is cut; without it there is none
   */
  readonly drain: (deadlineMs?: number) => Promise<void>
  /** Cuts everything now. */
  readonly close: () => Promise<void>
}

interface PeerSession {
  readonly session: ServerHttp2Session
  readonly peer: VerifiedPeer
  readonly cancelExpiry: Cancel
}

/**
 * Listens for tunnels of other mesh members. No byte of HTTP/2 is looked at before the peer's certificate passed our own check.
 * @throws the error of `listen`, if the address can't be had
 */
export async function listenHbone(options: HboneServerOptions): Promise<HboneServer> {
  const { credentials, clock, onTunnel, onRefused = () => {} } = options
  const limits = { ...defaultHboneServerLimits, ...options.limits }
  const trustDomain = options.trustDomain ?? credentials.identity.trustDomain
  const sessions = new Set<PeerSession>()
  const sockets = new Set<Socket>()
  let tunnels = 0
  let draining = false
  let trust = trustOf(credentials.current())
  const check = (): PeerCheck => ({ ...trust, trustDomain, nowMs: clock.now(), usage: 'client' })

  const server = createServer({ ...listenerOptions(limits.handshakeTimeoutMs), noDelay: true })
  useContext(server, credentials.current())
  server.maxConnections = limits.maxSessions
  server.on('drop', (dropped: { readonly remoteAddress?: string } | undefined) => onRefused({ kind: 'overload', remoteAddress: dropped?.remoteAddress ?? '', message: 'too many connections' }))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', (error, socket) => {
    onRefused({ kind: 'handshake', remoteAddress: socket.remoteAddress ?? '', message: error.message })
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    const remoteAddress = socket.remoteAddress ?? ''
    socket.on('error', () => {})
    if (socket.alpnProtocol !== 'h2') {
      onRefused({ kind: 'handshake', remoteAddress, message: 'the peer did not offer h2 by ALPN' })
      socket.destroy()
      return
    }
    const verdict = verifyPeer(socket, check())
    if (!verdict.ok) {
      onRefused({ kind: 'peer', remoteAddress, message: `${verdict.code}: ${verdict.message}` })
      socket.destroy()
      return
    }
    serve(socket, verdict.peer, remoteAddress)
  })

  const serve = (socket: TLSSocket, peer: VerifiedPeer, remoteAddress: string): void => {
    const session = performServerHandshake(socket, sessionOptions(limits.maxTunnelsPerSession))
    holdStreamsLightly(session)
    session.setLocalWindowSize(sessionWindowBytes)
    session.on('error', () => {})
    const entry = { session, peer, cancelExpiry: at(clock, peer.notAfterMs, () => session.close()) }
    sessions.add(entry)
    session.once('close', () => {
      sessions.delete(entry)
      entry.cancelExpiry()
    })
    watchLiveness(session, socket, { clock, intervalMs: limits.pingIntervalMs, onDead: () => session.destroy(new Error('the peer is silent')) })
    session.on('stream', (stream, headers) => {
      trueEnds(stream)
      stream.on('error', () => {})
      tunnels++
      stream.once('close', () => { tunnels-- })
      const authority = headers[':authority'] ?? ''
      if (headers[':method'] !== 'CONNECT') {
        refuseRequest(stream, remoteAddress, 'only CONNECT is served here')
        return
      }
      const target = parseAuthority(authority)
      if (target === undefined) {
        refuseRequest(stream, remoteAddress, 'the authority is not address:port')
        return
      }
      if (tunnels > limits.maxTunnels) {
        onRefused({ kind: 'overload', remoteAddress, message: 'too many tunnels' })
        answer(stream, clock, 503, 'overload')
        return
      }
      onTunnel(incoming(stream, clock, { peer: peer.identity, peerId: peer.id, remoteAddress, authority, ...target, headers }))
    })
    // A handshake that ended after the drain began: the GOAWAY tells the peer to go elsewhere.
    if (draining) session.close()
  }

  const refuseRequest = (stream: ServerHttp2Stream, remoteAddress: string, message: string): void => {
    onRefused({ kind: 'request', remoteAddress, message })
    answer(stream, clock, 400, 'malformed-request')
  }

  const stopWatching = credentials.onChange((next) => {
    trust = trustOf(next)
    useContext(server, next)
    const now = check()
    for (const { session, peer } of sessions) if (!stillTrusted(peer, now)) session.close()
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const listening = (): void => {
      server.off('error', reject)
      resolve()
    }
    const { fd, host, port, reusePort = false } = options
    // Beside `fd`, Node reads the backlog only from an argument of its own.
    if (fd !== undefined) server.listen({ fd }, backlog, listening)
    else server.listen({ host, port, reusePort, backlog }, listening)
  }).catch((error: unknown) => {
    stopWatching()
    throw error
  })
  const address = server.address() as AddressInfo
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopWatching()
    return (stopped ??= new Promise((resolve) => server.close(() => resolve())))
  }
  const cut = (): void => {
    for (const { session } of sessions) session.destroy(new Error('the server was closed'))
    for (const socket of sockets) socket.destroy()
  }
  return {
    address: { host: address.address, port: address.port },
    sessions: () => sessions.size,
    tunnels: () => tunnels,
    drain: async (deadlineMs) => {
      draining = true
      const done = stop()
      for (const { session } of sessions) session.close()
      const cancel = deadlineMs === undefined ? undefined : clock.after(deadlineMs, cut)
      await done
      cancel?.()
    },
    close: async () => {
      draining = true
      const done = stop()
      cut()
      await done
    },
  }
}

type Trust = Pick<PeerCheck, 'bundle' | 'intermediates'>

const trusts = new WeakMap<Credentials, Trust>()

/** Read once for each set of credentials, which many servers may share. */
function trustOf(credentials: Credentials): Trust {
  let trust = trusts.get(credentials)
  if (trust === undefined) {
    trust = { bundle: parseTrustBundle(credentials.trustBundlePem), intermediates: certificatesInPem(credentials.certificateChainPem).slice(1) }
    trusts.set(credentials, trust)
  }
  return trust
}

/** Nobody asks when a tunnel was answered. Not in Node's types, and what its own `http2.createServer` uses for `sendDate`. */
const undated: ServerStreamResponseOptions & { readonly sendDate: false } = { sendDate: false }

function incoming(
  stream: ServerHttp2Stream,
  clock: Clock,
  facts: Pick<IncomingTunnel, 'peer' | 'peerId' | 'remoteAddress' | 'authority' | 'host' | 'port' | 'headers'>,
): IncomingTunnel {
  return {
    ...facts,
    closed: () => stream.destroyed || stream.closed,
    onClosed: (listener) => {
      if (stream.destroyed) listener()
      else stream.once('close', listener)
    },
    accept: (headers) => {
      if (stream.closed || stream.destroyed) {
        reset(stream)
      } else {
        headBeforeReset(stream, clock)
        stream.respond({ ...headers, ':status': 200 }, undated)
      }
      return stream
    },
    refuse: (status, reason) => answer(stream, clock, status, reason),
  }
}

/** Gives a final answer without a body. */
function answer(stream: ServerHttp2Stream, clock: Clock, status: number, reason: ReasonCode | undefined): void {
  if (stream.closed || stream.destroyed) return
  const headers: OutgoingHttpHeaders = { ':status': status }
  if (reason !== undefined) headers[reasonHeader] = reason
  stream.respond(headers, { ...undated, endStream: true })
  closeOnceAnswered(stream, clock)
}
