import type { Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import { parseSpiffeId } from '../model/identity.ts'
import type { Acknowledgement, Captures } from './acks.ts'
import type { Update } from './publisher.ts'
import type { Subscriber } from './slice.ts'

/** What a data plane process says to the controller. */
export type ClientMessage =
  /** Asks for configuration, once a stream. */
  | Hello
  /** It runs this version now, which came with this hash. */
  | { readonly type: 'ack'; readonly version: number; readonly hash: string }
  /**
   * Asks for an SVID over this public key, PEM. Over the network each request carries a projected token that proves the identity.
   * `onBehalfOf`: a SPIFFE id that a pod on the node of the token's own pod has; only a node's agent may ask for that.
   */
  | { readonly type: 'sign'; readonly id: number; readonly publicKeyPem: string; readonly token?: string; readonly onBehalfOf?: string }
  /** An agent's: which pods of its node are captured; it takes the place of what was said before. Over the network the token proves in which pod, and so on which node, it runs. */
  | { readonly type: 'captures'; readonly pods: Captures; readonly token?: string }
  /** A sign of life. */
  | { readonly type: 'ping' }

/** For whom the stream is. The identity's namespace must be the subscriber's. */
export interface Hello {
  readonly type: 'hello'
  readonly subscriber: Subscriber
  readonly identity: Identity
  /** Name of the pod, by which acknowledgements are told apart. */
  readonly pod?: string
  /** Hash of the slice that it has from before. */
  readonly have?: string
}

/** What the controller says to a data plane process. */
export type ServerMessage =
  /** First of all, over the network: which controller this is. */
  | { readonly type: 'welcome'; readonly instance: string }
  | ({ readonly type: 'update' } & Update)
  | { readonly type: 'signed'; readonly id: number; readonly issued: Issued }
  /** `retryable`: the same request may succeed later; otherwise the token or the key is refused. */
  | { readonly type: 'sign-failed'; readonly id: number; readonly message: string; readonly retryable?: boolean }
  | { readonly type: 'bundle'; readonly trustBundlePem: readonly string[] }
  /** For a controller: what the subscribers of this one run. `fresh`: what was told before is void. */
  | { readonly type: 'acks'; readonly fresh: boolean; readonly put: readonly (readonly [id: string, Acknowledgement])[]; readonly remove: readonly string[] }
  /** This controller is about to end: go elsewhere, the stream serves until then. */
  | { readonly type: 'drain' }
  /** The last message: why the stream ends. */
  | { readonly type: 'refused'; readonly message: string; readonly cause?: RefusalCause }
  | { readonly type: 'ping' }

/**
 * Why a stream is refused.
 * - `certificate`: the client's certificate is not a valid SVID of this mesh
 * - `identity`: that identity may not have this
 * - `protocol`: a message that is none, is too long, or came at the wrong time
 * - `token`: too many tokens that prove nothing
 * - `overload`: too many connections, or no message in time
 */
export type RefusalCause = 'certificate' | 'identity' | 'protocol' | 'token' | 'overload'

/** Most bytes of a token. Source: the API server's own limit of a TokenReview is far above what it issues, about 1.5 KiB. */
export const maxTokenBytes = 16 * 1024
const maxKeyBytes = 4 * 1024
/** Certificates for its pods that a node's agent asks for at a time; besides that each stream may ask for one of its own. */
export const maxSignsForOthers = 4
const maxNameBytes = 253
const hashPattern = /^[0-9a-f]{64}$/
/** Most pods of a node, and the longest reason; together well below what a message may have. Source: Kubernetes' own limit is 110 pods, large nodes have 250. */
export const maxCaptures = 500
export const maxWhyBytes = 200
const uidPattern = /^[0-9a-zA-Z._-]{1,64}$/

/**
 * Reads what a client sent, of which nothing is believed to have the right shape.
 * @returns undefined for a type of message that this version does not know
 * @throws if the shape is wrong
 */
export function readClientMessage(value: unknown): ClientMessage | undefined {
  const { type, ...fields } = record(value)
  switch (type) {
    case 'ping':
      return { type }
    case 'ack':
      return { type, version: natural(fields['version']), hash: hash(fields['hash']) }
    case 'sign': {
      const token = fields['token'] === undefined ? {} : { token: text(fields['token'], maxTokenBytes) }
      const onBehalfOf = fields['onBehalfOf'] === undefined ? {} : { onBehalfOf: spiffeId(fields['onBehalfOf']) }
      return { type, id: natural(fields['id']), publicKeyPem: text(fields['publicKeyPem'], maxKeyBytes), ...token, ...onBehalfOf }
    }
    case 'captures':
      return { type, pods: captures(fields['pods']), ...(fields['token'] === undefined ? {} : { token: text(fields['token'], maxTokenBytes) }) }
    case 'hello': {
      const { trustDomain, namespace, serviceAccount } = record(fields['identity'])
      const subscriber = record(fields['subscriber'])
      return {
        type,
        subscriber: { kind: kind(subscriber['kind']), namespace: text(subscriber['namespace'], maxNameBytes) },
        identity: { trustDomain: text(trustDomain, 255), namespace: text(namespace, maxNameBytes), serviceAccount: text(serviceAccount, maxNameBytes) },
        ...(fields['pod'] === undefined ? {} : { pod: text(fields['pod'], maxNameBytes) }),
        ...(fields['have'] === undefined ? {} : { have: hash(fields['have']) }),
      }
    }
    default:
      return undefined
  }
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new Error('not a message')
  return value as Record<string, unknown>
}

function text(value: unknown, maxBytes: number): string {
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > maxBytes) throw new Error('a text of the message is missing or too long')
  return value
}

function natural(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new Error('a number of the message is missing or none')
  return value as number
}

function hash(value: unknown): string {
  if (typeof value !== 'string' || !hashPattern.test(value)) throw new Error('a hash of the message is missing or none')
  return value
}

function spiffeId(value: unknown): string {
  if (typeof value !== 'string' || parseSpiffeId(value) === undefined) throw new Error('a SPIFFE id of the message is none')
  return value
}

function captures(value: unknown): Captures {
  const pods = Object.entries(record(value))
  if (pods.length > maxCaptures) throw new Error('too many pods in one message')
  for (const [uid, why] of pods) if (!uidPattern.test(uid) || typeof why !== 'string' || Buffer.byteLength(why) > maxWhyBytes) throw new Error('a pod of the message is none')
  return Object.fromEntries(pods) as Captures
}

/** Captures that a controller reads: what is too much for one message is left out, and long reasons are cut. */
export function boundedCaptures(pods: Captures): Captures {
  const cut = (why: string): string => (Buffer.byteLength(why) <= maxWhyBytes ? why : `${Buffer.from(why).subarray(0, maxWhyBytes - 6).toString().replace(/\uFFFD$/, '')}…`)
  return Object.fromEntries(Object.entries(pods).slice(0, maxCaptures).map(([uid, why]) => [uid, cut(why)]))
}

function kind(value: unknown): Subscriber['kind'] {
  if (value === 'waypoint' || value === 'entry' || value === 'agent' || value === 'controller') return value
  throw new Error('nobody can subscribe to that')
}
