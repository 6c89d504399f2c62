import type { Duplex } from 'node:stream'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { Issued } from '../model/credentials.ts'
import { formatSpiffeId, isTrustDomain, parseSpiffeId, sameIdentity, type Identity } from '../model/identity.ts'
import type { AcknowledgementList, BoundPod, Captures } from './acks.ts'
import { maxSignsForOthers, readClientMessage, type ClientMessage, type Hello, type RefusalCause, type ServerMessage } from './messages.ts'
import type { ControlObserver } from './observer.ts'
import type { Publisher, Update } from './publisher.ts'
import type { Subscriber } from './slice.ts'
import { createWire, encode, keepAlive, type Wire } from './wire.ts'

/** Who a projected token belongs to. */
export interface ReviewedToken {
  readonly identity: Identity
  /** The pod that it is bound to. */
  readonly pod?: { readonly name: string; readonly uid: string }
}

/** Asks who a token belongs to. @returns a string that says why it proves nothing @throws if that can't be known now */
export type ReviewToken = (token: string) => Promise<ReviewedToken | string>

/** Who is at the other end of a stream. */
export type Caller =
  /** Somebody of this machine who may act as any identity that `authorize` allows. */
  | { readonly kind: 'local' }
  /** Somebody who showed no certificate: may only ask for one, by a token. */
  | { readonly kind: 'stranger' }
  /** Somebody with a valid SVID. */
  | { readonly kind: 'member'; readonly identity: Identity }

export interface SubscriberServerOptions {
  readonly publisher: Publisher
  readonly issue: (identity: Identity, publicKeyPem: string) => Promise<Issued>
  readonly onBundleChange: (listener: (trustBundlePem: readonly string[]) => void) => () => void
  /** Whether that identity may have what the subscriber asks for; a string says why not. */
  readonly authorize: (identity: Identity, subscriber: Subscriber) => true | string
  /** Default: `local`. */
  readonly caller?: Caller
  /** The roots of now, for those who missed a change. */
  readonly bundle?: () => readonly string[]
  /** Needed unless every caller is `local`. */
  readonly reviewToken?: ReviewToken
  /** Whether the owner of a token may have a certificate in another's name; a string says why not. Default: nobody may. */
  readonly mayActFor?: (owner: ReviewedToken, identity: Identity) => true | string
  /** Keeps who is connected and what they run. */
  readonly acknowledgements?: AcknowledgementList
  /** Name of this controller's process, told to the other end. */
  readonly instance?: string
  /** Milliseconds between signs of life; with it a silent peer is cut off. */
  readonly keepAlive?: { readonly clock: Clock; readonly intervalMs: number }
  readonly observer?: ControlObserver
}

/** One stream that is being served. */
export interface ServedStream {
  /** Resolves when it is over. */
  readonly closed: Promise<void>
  /** Tells the other end to go elsewhere. */
  readonly drain: () => void
  /** Says why, and ends it. */
  readonly refuse: (cause: RefusalCause, message: string) => void
  readonly close: () => void
}

/** Most bytes of a message from a client: a token and a key, and room. */
export const maxRequestBytes = 32 * 1024
/** Of one that showed a certificate: an agent may have a long reason to give for each pod of its node. */
export const maxReportBytes = 256 * 1024
/** Tokens that prove nothing, until the stream ends. */
const maxRefusedTokens = 3
/** How long until a token that could not be judged is judged again, milliseconds. */
const reviewPauseMs = 2_000
/** Answers that may wait for one who asks and does not read, until the stream ends. */
const maxUnread = 16

/** Serves one data plane process over `stream`: configuration, certificates and the trust bundle. Resolves when it is gone. */
export function serveSubscriber(stream: Duplex, options: SubscriberServerOptions): Promise<void> {
  return serveStream(stream, options).closed
}

/** As `serveSubscriber`, with a hand on the stream. */
export function serveStream(stream: Duplex, options: SubscriberServerOptions): ServedStream {
  const { caller = { kind: 'local' }, observer, acknowledgements } = options
  const wire: Wire<unknown, ServerMessage> = createWire(stream, caller.kind === 'member' ? maxReportBytes : maxRequestBytes, (why) => refuse('protocol', why))
  /** Whose hello was accepted. */
  let greeted: Identity | undefined
  let acknowledge: (version: number, hash: string) => void = () => {}
  let report: ((captures: Captures, bound: BoundPod | undefined) => void) | undefined
  /** The pod at the other end, as a token proved that came over this stream. */
  let bound: BoundPod | undefined
  /** What was reported and waits until that is known. */
  let unproven: Extract<ClientMessage, { type: 'captures' }> | undefined
  let proving = false
  /** Requests for a certificate that are being answered: its own, and those in others' names. */
  const signing = { own: 0, others: 0 }
  let refusedTokens = 0
  let unread = 0
  let refused = false
  const enders: (() => void)[] = []

  const refuse = (cause: RefusalCause, message: string): void => {
    refused = true
    observer?.refused?.(cause)
    wire.end({ type: 'refused', message, cause })
    // One that does not read does not hear it.
    const cancel = options.keepAlive?.clock.after(lastWordMs, wire.close)
    if (cancel !== undefined) enders.push(cancel)
  }

  /** What is sent only because somebody asked: as often as they like, so it must not pile up. */
  const answer = (message: ServerMessage): void => {
    unread = wire.idle() ? 0 : unread + 1
    if (unread > maxUnread) refuse('overload', 'answers are asked for and not read')
    else wire.send(message)
  }

  const hello = (message: Hello): void => {
    if (greeted !== undefined) {
      refuse('protocol', 'one hello a stream')
      return
    }
    const { subscriber } = message
    const identity = caller.kind === 'member' ? caller.identity : message.identity
    const refusal = caller.kind === 'stranger' ? 'configuration needs a certificate: ask for one with a token first' : (checkHello(message, identity) ?? options.authorize(identity, subscriber))
    if (refusal !== true) {
      refuse('identity', refusal)
      return
    }
    greeted = identity
    observer?.subscribers?.(subscriber.kind, 1)
    enders.push(() => observer?.subscribers?.(subscriber.kind, -1))
    if (options.bundle !== undefined) wire.send({ type: 'bundle', trustBundlePem: options.bundle() })
    enders.push(options.onBundleChange((trustBundlePem) => wire.send({ type: 'bundle', trustBundlePem })))
    if (subscriber.kind === 'controller') {
      if (acknowledgements !== undefined) enders.push(acknowledgements.follow((change) => wire.send({ type: 'acks', ...change })))
      return
    }
    const { namespace, serviceAccount: name } = identity
    const listed = acknowledgements?.add({ kind: subscriber.kind, namespace, name, pod: message.pod ?? '' })
    if (listed !== undefined) enders.push(listed.remove)
    const own = options.publisher.subscribe(
      subscriber,
      (update) => {
        observer?.updated?.(subscriber.kind, update.fresh)
        const bytes = encodeUpdate(update)
        observer?.sent?.(bytes.length)
        wire.sendEncoded(bytes)
      },
      { have: message.have, ready: wire.idle },
    )
    wire.onIdle(own.flush)
    acknowledge = (version, hash) => {
      if (own.acknowledge(version) === hash) listed?.acknowledge(hash)
    }
    if (subscriber.kind === 'agent') report = (captures, by) => listed?.report(captures, by)
    enders.push(own.close)
  }

  /** Who a token belongs to, which must be the one whose certificate was shown, if there was one. @throws SignRefusal; anything else if it can not be known now */
  const ownerOf = async (token: string | undefined): Promise<ReviewedToken> => {
    if (token === undefined || options.reviewToken === undefined) throw new SignRefusal('every request for a certificate needs a token of the service account')
    const reviewed = await options.reviewToken(token).catch((error: unknown) => {
      observer?.reviewed?.('unavailable')
      throw error
    })
    observer?.reviewed?.(typeof reviewed === 'string' ? 'refused' : 'accepted')
    if (typeof reviewed === 'string') throw new SignRefusal(reviewed)
    if (caller.kind === 'member' && !sameIdentity(caller.identity, reviewed.identity)) {
      throw new SignRefusal(`the token is that of ${formatSpiffeId(reviewed.identity)}, the certificate that of ${formatSpiffeId(caller.identity)}`)
    }
    if (caller.kind === 'member') bound = reviewed.pod
    return reviewed
  }

  /** All agents have one identity: only a token tells of which node one is. It is judged once a stream; a stream lasts as long as its certificate. */
  const reported = async (message: Extract<ClientMessage, { type: 'captures' }>): Promise<void> => {
    unproven = message
    // Of an older version: nobody knows of which node it is.
    if (proving || (caller.kind !== 'local' && bound === undefined && message.token === undefined)) return
    proving = true
    try {
      if (caller.kind !== 'local' && bound === undefined) await ownerOf(message.token)
      report?.(unproven.pods, bound)
    } catch (error) {
      if (!(error instanceof SignRefusal)) enders.push(options.keepAlive?.clock.after(reviewPauseMs, () => void reported(unproven ?? message)) ?? (() => {}))
      else if (++refusedTokens >= maxRefusedTokens) refuse('token', 'too many tokens that prove nothing')
    } finally {
      proving = false
    }
  }

  /** Who the certificate is for. @throws SignRefusal */
  const proven = async (token: string | undefined, onBehalfOf: string | undefined): Promise<Identity> => {
    if (caller.kind === 'local') {
      if (greeted === undefined) throw new SignRefusal('a stream begins with hello')
      if (onBehalfOf !== undefined) throw new SignRefusal('only a node\'s agent may ask in another\'s name')
      return greeted
    }
    const reviewed = await ownerOf(token)
    if (onBehalfOf === undefined) return reviewed.identity
    const identity = parseSpiffeId(onBehalfOf)
    const verdict = identity === undefined || caller.kind !== 'member' || greeted === undefined ? 'only a node\'s agent that has said hello may ask in another\'s name' : (options.mayActFor?.(reviewed, identity) ?? 'nobody may ask in another\'s name here')
    if (identity === undefined || verdict !== true) throw new SignRefusal(verdict === true ? 'no identity' : verdict)
    return identity
  }

  const sign = async ({ id, publicKeyPem, token, onBehalfOf }: Extract<ClientMessage, { type: 'sign' }>): Promise<void> => {
    const lane = onBehalfOf === undefined ? 'own' : 'others'
    if (signing[lane] >= (lane === 'own' ? 1 : maxSignsForOthers)) {
      answer({ type: 'sign-failed', id, message: lane === 'own' ? 'one request for a certificate at a time' : `${maxSignsForOthers} requests for a certificate at a time`, retryable: true })
      return
    }
    signing[lane]++
    try {
      answer({ type: 'signed', id, issued: await options.issue(await proven(token, onBehalfOf), publicKeyPem) })
      observer?.signed?.(true)
    } catch (error) {
      observer?.signed?.(false)
      const final = error instanceof SignRefusal
      answer({ type: 'sign-failed', id, message: messageOf(error), retryable: !final })
      // An agent that asks for a pod which has just gone asks in good faith.
      if (final && onBehalfOf === undefined && caller.kind !== 'local' && ++refusedTokens >= maxRefusedTokens) refuse('token', 'too many tokens that prove nothing')
    } finally {
      signing[lane]--
    }
  }

  const receive = (value: unknown): void => {
    let message: ClientMessage | undefined
    if (refused) return
    try {
      message = readClientMessage(value)
    } catch (error) {
      refuse('protocol', messageOf(error))
      return
    }
    switch (message?.type) {
      case 'hello':
        hello(message)
        return
      case 'ack':
        acknowledge(message.version, message.hash)
        return
      case 'sign':
        void sign(message)
        return
      case 'captures':
        if (report === undefined) refuse('identity', 'only a node\'s agent captures pods')
        else void reported(message)
        return
      case 'ping':
      // A later version's message, which it can do without.
      case undefined:
        return
    }
  }

  wire.onMessage(receive)
  if (options.instance !== undefined) wire.send({ type: 'welcome', instance: options.instance })
  if (options.keepAlive !== undefined) keepAlive(wire, { ...options.keepAlive, send: () => wire.send({ type: 'ping' }), onDead: wire.close })
  const closed = wire.closed.then(() => {
    for (const end of enders) end()
  })
  return { closed, drain: () => wire.send({ type: 'drain' }), refuse, close: wire.close }
}

/** Milliseconds that the other end gets to read why its stream ends. */
const lastWordMs = 2_000

/** The token proves nothing: trying it again is no use. */
class SignRefusal extends Error {}

const encoded = new WeakMap<Update, Buffer>()

/** Subscribers of one slice are sent the same update: it is put into words once. */
function encodeUpdate(update: Update): Buffer {
  let found = encoded.get(update)
  if (found === undefined) {
    found = encode({ type: 'update', ...update } satisfies ServerMessage)
    encoded.set(update, found)
  }
  return found
}

function checkHello({ identity: said, subscriber }: Hello, identity: Identity): string | undefined {
  if (!isTrustDomain(said.trustDomain)) return 'hello lacks an identity'
  if (!sameIdentity(said, identity)) return `hello names ${formatSpiffeId(said)}, the certificate ${formatSpiffeId(identity)}`
  return subscriber.namespace === identity.namespace ? undefined : `an identity of ${identity.namespace} may not have the configuration of ${subscriber.namespace}`
}
