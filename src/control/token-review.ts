import { messageOf } from '../kit/message.ts'
import type { KubeClient } from '../kube/client.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import { parseSpiffeId, type Identity } from '../model/identity.ts'
import { install } from '../model/install.ts'
import { maxTokenBytes } from '../publish/messages.ts'
import type { ReviewedToken, ReviewToken } from '../publish/server.ts'

export interface TokenReviewerOptions {
  readonly client: Pick<KubeClient, 'create' | 'refresh'>
  readonly trustDomain: string
  /** The only audience that tokens may have for us; default: the installation's. */
  readonly audience?: string
  /** How long the API server may take, milliseconds; default 8 s. */
  readonly timeoutMs?: number
}

const podName = 'authentication.kubernetes.io/pod-name'
const podUid = 'authentication.kubernetes.io/pod-uid'
const usernamePattern = /^system:serviceaccount:([^:]+):([^:]+)$/

/**
 * Makes what asks the API server whose token it is. A token proves something only if it was made for our audience and is bound to a
 * pod: the API server refuses such a token as soon as its pod is gone, others live on until they expire.
 * The answer's audiences are checked as well: an API server that does not know about audiences would accept any token.
 * Source: Kubernetes TokenReview v1, KEP-1205 (bound tokens).
 */
export function createTokenReviewer(options: TokenReviewerOptions): ReviewToken {
  const { client, trustDomain, audience = install.tokenAudience, timeoutMs = 8_000 } = options
  return async (token) => {
    if (token === '' || Buffer.byteLength(token) > maxTokenBytes) return `a token has 1 to ${maxTokenBytes} bytes`
    const ask = (): Promise<KubeObject> => client.create(reviewOf(token, audience))
    const review = await withTimeout(ask().catch((error: unknown) => {
      // Our own token is too old, not the one to be reviewed: it is read anew.
      if (!isStatus(error, 401)) throw error
      client.refresh()
      return ask()
    }), timeoutMs).catch((error: unknown) => {
      // The request's own body must not get into a log: it has the token.
      const message = messageOf(error)
      throw new Error(`the token could not be reviewed: ${message}; see that the API server answers and that the controller may create tokenreviews`)
    })
    return judge(record(review['status']), audience, trustDomain)
  }
}

function reviewOf(token: string, audience: string): KubeObject {
  // A TokenReview has no name: the API server keeps none.
  return { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: {} as KubeObject['metadata'], spec: { token, audiences: [audience] } }
}

/** @returns a string that says why the token proves nothing */
function judge(status: Readonly<Record<string, unknown>>, audience: string, trustDomain: string): ReviewedToken | string {
  if (status['authenticated'] !== true) {
    const error = typeof status['error'] === 'string' && status['error'] !== '' ? status['error'].slice(0, 300) : 'it has expired, its pod or service account is gone, or it is not for this cluster'
    return `the token is not accepted: ${error}`
  }
  const audiences: unknown = status['audiences']
  if (!Array.isArray(audiences) || !audiences.includes(audience)) return `the token is not for the audience ${audience}: mount a projected serviceAccountToken with that audience`
  const user = record(status['user'])
  const identity = identityOf(user['username'], trustDomain)
  if (identity === undefined) return 'the token is not that of a service account'
  const extra = record(user['extra'])
  const name = only(extra[podName])
  const uid = only(extra[podUid])
  if (name === undefined || uid === undefined) return 'the token is not bound to a pod: mount a projected serviceAccountToken in place of a token Secret or `kubectl create token`'
  return { identity, pod: { name, uid } }
}

function identityOf(username: unknown, trustDomain: string): Identity | undefined {
  const [, namespace, serviceAccount] = (typeof username === 'string' ? usernamePattern.exec(username) : undefined) ?? []
  if (namespace === undefined || serviceAccount === undefined) return undefined
  const identity = parseSpiffeId(`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`)
  // Whatever the id could be misread as must not come of it.
  return identity?.namespace === namespace && identity.serviceAccount === serviceAccount ? identity : undefined
}

/** The one value of an extra field. */
function only(value: unknown): string | undefined {
  const [first, ...rest] = Array.isArray(value) ? (value as unknown[]) : []
  return typeof first === 'string' && first !== '' && rest.length === 0 ? first : undefined
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function withTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
