import { randomUUID } from 'node:crypto'
import type { KubeObject } from '../../src/kube/object.ts'

/** Source: authentication.k8s.io/v1 TokenReview. */
export interface TokenReviewStatus {
  readonly authenticated: boolean
  readonly user?: { readonly username: string; readonly uid?: string; readonly groups?: readonly string[]; readonly extra?: Readonly<Record<string, readonly string[]>> }
  readonly audiences?: readonly string[]
  readonly error?: string
}

export interface TokenReviewSpec {
  readonly token: string
  readonly audiences?: readonly string[]
}

/** What a projected token is bound to. */
export interface TokenClaims {
  readonly namespace: string
  readonly serviceAccount: string
  /** Default: the API server's own. */
  readonly audiences?: readonly string[]
  /** The token ends with this pod. */
  readonly pod?: { readonly name: string; readonly uid: string }
}

/** Tokens that the server gave out. */
export interface Tokens {
  readonly issue: (claims: TokenClaims) => string
  readonly revoke: (token: string) => void
  readonly claims: (token: string) => TokenClaims | undefined
  readonly review: (spec: TokenReviewSpec) => TokenReviewStatus
}

/** Audience of the API server itself. */
export const serverAudience = 'https://kubernetes.default.svc.cluster.local'

/** @param lookup finds a pod or service account by its plural name; tokens end with what they are bound to */
export function createTokens(lookup: (plural: 'pods' | 'serviceaccounts', namespace: string, name: string) => KubeObject | undefined): Tokens {
  const issued = new Map<string, TokenClaims>()
  return {
    issue: (claims) => {
      const token = `simulated-${randomUUID()}`
      issued.set(token, claims)
      return token
    },
    revoke: (token) => void issued.delete(token),
    claims: (token) => issued.get(token),
    review: ({ token, audiences = [serverAudience] }) => {
      const claims = issued.get(token)
      if (claims === undefined) return { authenticated: false, error: 'invalid bearer token' }
      const { namespace, serviceAccount, pod } = claims
      const shared = (claims.audiences ?? [serverAudience]).filter((audience) => audiences.includes(audience))
      if (shared.length === 0) return { authenticated: false, error: 'invalid bearer token, token audiences do not fit' }
      if (pod !== undefined && lookup('pods', namespace, pod.name)?.metadata.uid !== pod.uid) {
        return { authenticated: false, error: `invalid bearer token, Pod ${pod.name} is gone` }
      }
      return {
        authenticated: true,
        audiences: shared,
        user: {
          username: `system:serviceaccount:${namespace}:${serviceAccount}`,
          uid: lookup('serviceaccounts', namespace, serviceAccount)?.metadata.uid ?? '',
          groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
          ...(pod === undefined
            ? {}
            : { extra: { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] } }),
        },
      }
    },
  }
}
