import { randomUUID } from 'node:crypto'
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../kit/clock.ts'
import type { CredentialSource, Credentials, Issued } from '../model/credentials.ts'
import { sameIdentity, type Identity } from '../model/identity.ts'
import { contextOptions } from '../transport/contexts.ts'
import { stillTrusted, verifyPeer, type PeerCheck, type VerifiedPeer } from '../transport/peer.ts'
import { at } from '../transport/session.ts'
import { certificatesInPem, parseTrustBundle } from '../transport/svid.ts'
import { createAcknowledgementList, type Acknowledgement } from './acks.ts'
import { controlProtocol, keepAliveMs } from './control-tls.ts'
import type { ControlObserver } from './observer.ts'
import type { Publisher } from './publisher.ts'
import { serveStream, type Caller, type ReviewToken, type ServedStream, type SubscriberServerOptions } from './server.ts'
import type { Subscriber } from './slice.ts'

export type { ControlObserver } from './observer.ts'

export interface ControlLimits {
  /** Connections in all; more are closed at once. */
  readonly maxConnections: number
  /** Connections without a certificate, and those in the handshake, in all and from one address; more are closed at once. */
  readonly maxStrangers: number
  readonly maxStrangersPerAddress: number
  /** Connections of one identity from one address, which is mostly one pod; more are told to go. */
  readonly maxPerMember: number
  /** How long a connection without a certificate may last, milliseconds. */
  readonly strangerMs: number
  readonly handshakeTimeoutMs: number
  /** Tokens that are being reviewed at a time; more are told to come again. */
  readonly maxReviews: number
  /** How long one with a certificate waits for `ready`, milliseconds. */
  readonly patienceMs: number
  readonly keepAliveMs: number
}

export const defaultControlLimits: ControlLimits = {
  maxConnections: 8192,
  maxStrangers: 512,
  maxStrangersPerAddress: 16,
  maxPerMember: 256,
  strangerMs: 20_000,
  handshakeTimeoutMs: 10_000,
  maxReviews: 64,
  patienceMs: 10_000,
  keepAliveMs,
}

export interface ListenControlOptions {
  /** The controller's own; renewals and new roots are taken over as they come. */
  readonly credentials: CredentialSource
  /** An IP address; `::` also takes IPv4. */
  readonly host: string
  /** 0 = any. */
  readonly port: number
  readonly trustDomain: string
  readonly clock: Clock
  readonly publisher: Publisher
  readonly issue: (identity: Identity, publicKeyPem: string) => Promise<Issued>
  readonly onBundleChange: (listener: (trustBundlePem: readonly string[]) => void) => () => void
  readonly reviewToken: ReviewToken
  /** See `SubscriberServerOptions`. */
  readonly mayActFor?: SubscriberServerOptions['mayActFor']
  /**
   * Whether a verified identity may have that configuration; a string says why not. That the namespaces are the same is already known,
   * and so is that a `controller` has our own identity.
   */
  readonly authorize: (identity: Identity, subscriber: Subscriber) => true | string
  /**
   * Resolves when there is a configuration to judge by. Whoever has a certificate is heard only then: an answer before it could only be
   * a refusal, after which they would stay away for a while. Default: there is one.
   */
  readonly ready?: Promise<unknown>
  /** Names this process among the controllers; default: a random one. */
  readonly instance?: string
  readonly observer?: ControlObserver
  readonly limits?: Partial<ControlLimits>
}

/** The controller's port: configuration, certificates and the trust bundle for the processes of the mesh. */
export interface ControlServer {
  readonly address: { readonly host: string; readonly port: number }
  /** Names this process among the controllers. */
  readonly instance: string
  /** What the subscribers of this controller run. */
  readonly acknowledgements: () => readonly Acknowledgement[]
  /** Calls `listener` after each change of that; the answer stops it. */
  readonly onAcknowledged: (listener: () => void) => () => void
  readonly connections: () => number
  /** Stops listening, tells everybody to go elsewhere, and cuts what is left after `deadlineMs`; default 3 s. */
  readonly close: (deadlineMs?: number) => Promise<void>
}

/** Milliseconds in which subscribers have left for another controller when this one ends. */
const leaveMs = 3_000

interface Member {
  readonly stream: ServedStream
  readonly peer: VerifiedPeer | undefined
}

/**
 * Listens for the processes of the mesh. Over TLS 1.3 with the controller's SVID; a client either shows a valid SVID and may have its
 * namespace's configuration, or none and may only ask for one with a token.
 * @throws the error of `listen`, if the address can't be had
 */
export async function listenControl(options: ListenControlOptions): Promise<ControlServer> {
  const { credentials, clock, trustDomain, observer = {} } = options
  const limits = { ...defaultControlLimits, ...options.limits }
  const instance = options.instance ?? randomUUID()
  const acknowledgements = createAcknowledgementList()
  const streams = new Set<Member>()
  const sockets = new Set<Socket>()
  const strangers = createStrangers(limits)
  const perMember = new Map<string, number>()
  let draining = false
  let reviews = 0
  let soon = options.ready === undefined ? undefined : untilReady(clock, options.ready, limits.patienceMs).then(() => {
    soon = undefined
  })
  let trust = trustOf(credentials.current())
  const check = (): PeerCheck => ({ ...trust, trustDomain, nowMs: clock.now(), usage: 'client' })

  const reviewToken: ReviewToken = async (token) => {
    if (reviews >= limits.maxReviews) throw new Error('too many tokens are being reviewed: try again')
    reviews++
    try {
      return await options.reviewToken(token)
    } finally {
      reviews--
    }
  }
  const authorize = (identity: Identity, subscriber: Subscriber): true | string => {
    if (subscriber.kind === 'controller') return sameIdentity(identity, credentials.identity) || 'only a controller may know what others acknowledge'
    return options.authorize(identity, subscriber)
  }
  const streamOptions: SubscriberServerOptions = {
    publisher: options.publisher, issue: options.issue, onBundleChange: options.onBundleChange, authorize, reviewToken, ...(options.mayActFor === undefined ? {} : { mayActFor: options.mayActFor }), acknowledgements, instance, observer,
    bundle: () => credentials.current().trustBundlePem,
    keepAlive: { clock, intervalMs: limits.keepAliveMs },
  }

  const serve = (socket: TLSSocket, caller: Caller, peer: VerifiedPeer | undefined): ServedStream => {
    const stream = serveStream(socket, { ...streamOptions, caller })
    const member = { stream, peer }
    streams.add(member)
    void stream.closed.then(() => streams.delete(member))
    if (draining) stream.drain()
    return stream
  }

  const onSecure = (socket: TLSSocket): void => {
    socket.on('error', () => {})
    if (socket.alpnProtocol !== controlProtocol) {
      observer.refused?.('handshake')
      socket.destroy()
      return
    }
    // Node's types promise a certificate where there may be none.
    const shown = (socket.getPeerCertificate() as { readonly raw?: Buffer }).raw
    if (shown === undefined) {
      const stream = serve(socket, { kind: 'stranger' }, undefined)
      const cancel = clock.after(limits.strangerMs, () => stream.refuse('overload', 'a connection without a certificate may not last'))
      void stream.closed.then(cancel)
      return
    }
    strangers.known(socket)
    const verdict = verifyPeer(socket, check())
    if (!verdict.ok) {
      serve(socket, { kind: 'stranger' }, undefined).refuse('certificate', `${verdict.code}: ${verdict.message}`)
      return
    }
    if (soon !== undefined) {
      void soon.then(() => {
        if (!socket.destroyed) greet(socket)
      })
      return
    }
    const { peer } = verdict
    const name = `${peer.id} ${socket.remoteAddress ?? ''}`
    const others = perMember.get(name) ?? 0
    if (others >= limits.maxPerMember) {
      serve(socket, { kind: 'stranger' }, undefined).refuse('overload', `${peer.id} has ${others} connections already`)
      return
    }
    perMember.set(name, others + 1)
    socket.once('close', () => {
      const left = (perMember.get(name) ?? 1) - 1
      if (left > 0) perMember.set(name, left)
      else perMember.delete(name)
    })
    const stream = serve(socket, { kind: 'member', identity: peer.identity }, peer)
    const cancel: Cancel = at(clock, peer.notAfterMs, () => stream.refuse('certificate', 'the certificate has ended'))
    void stream.closed.then(cancel)
  }

  const server = createServer({
    ...contextOptions(credentials.current()), requestCert: true, rejectUnauthorized: false, ALPNProtocols: [controlProtocol],
    handshakeTimeout: limits.handshakeTimeoutMs, noDelay: true,
  })
  server.maxConnections = limits.maxConnections
  server.on('drop', () => observer.refused?.('overload'))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (strangers.admit(socket)) return
    observer.refused?.('overload')
    socket.destroy()
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    // That one left, or was told to because there are too many.
    if (error.code !== 'ECONNRESET') observer.refused?.('handshake')
    socket.destroy()
  })
  const greet = (socket: TLSSocket): void => {
    try {
      onSecure(socket)
    } catch {
      // Whatever somebody may show us as a certificate must not end the process.
      observer.refused?.('handshake')
      socket.destroy()
    }
  }
  server.on('secureConnection', greet)

  const stopWatching = credentials.onChange((next) => {
    trust = trustOf(next)
    server.setSecureContext(contextOptions(next))
    const now = check()
    for (const { stream, peer } of streams) if (peer !== undefined && !stillTrusted(peer, now)) stream.refuse('certificate', 'the root of the certificate is not trusted any more')
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.host, port: options.port, backlog: 4096 }, () => {
      server.off('error', reject)
      // A connection that can not be accepted, for want of file descriptors: the next one may be.
      server.on('error', () => observer.refused?.('overload'))
      resolve()
    })
  }).catch((error: unknown) => {
    stopWatching()
    throw error
  })
  const address = server.address() as AddressInfo
  let stopped: Promise<void> | undefined
  return {
    address: { host: address.address, port: address.port },
    instance,
    acknowledgements: acknowledgements.all,
    onAcknowledged: (listener) => acknowledgements.follow(({ fresh }) => {
      if (!fresh) listener()
    }),
    connections: () => sockets.size,
    close: async (deadlineMs = leaveMs) => {
      draining = true
      stopWatching()
      const done = (stopped ??= new Promise((resolve) => server.close(() => resolve())))
      for (const { stream } of streams) stream.drain()
      const cancel = clock.after(deadlineMs, () => {
        for (const socket of sockets) socket.destroy()
      })
      await done
      cancel()
    },
  }
}

async function untilReady(clock: Clock, ready: Promise<unknown>, patienceMs: number): Promise<void> {
  let cancel: Cancel = () => {}
  await Promise.race([ready, new Promise<void>((resolve) => (cancel = clock.after(patienceMs, resolve)))])
  cancel()
}

function trustOf(credentials: Credentials): Pick<PeerCheck, 'bundle' | 'intermediates'> {
  return { bundle: parseTrustBundle(credentials.trustBundlePem), intermediates: certificatesInPem(credentials.certificateChainPem).slice(1) }
}

/** Counts connections that have not shown a certificate: anybody who reaches the port can make them. */
interface Strangers {
  /** @returns whether there is room for one more */
  readonly admit: (socket: Socket) => boolean
  /** It showed a certificate. */
  readonly known: (socket: TLSSocket) => void
}

function createStrangers(limits: ControlLimits): Strangers {
  const perAddress = new Map<string, number>()
  const release = new Map<string, () => void>()
  let all = 0
  // A TLS socket has another object than the connection below it.
  const nameOf = (socket: Socket): string => `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0}`
  return {
    admit: (socket) => {
      const address = socket.remoteAddress ?? ''
      const here = perAddress.get(address) ?? 0
      if (all >= limits.maxStrangers || here >= limits.maxStrangersPerAddress) return false
      const name = nameOf(socket)
      let counted = true
      all++
      perAddress.set(address, here + 1)
      const leave = (): void => {
        if (!counted) return
        counted = false
        all--
        const left = (perAddress.get(address) ?? 1) - 1
        if (left > 0) perAddress.set(address, left)
        else perAddress.delete(address)
        release.delete(name)
      }
      release.set(name, leave)
      socket.once('close', leave)
      return true
    },
    known: (socket) => release.get(nameOf(socket))?.(),
  }
}
