/** Who a workload is: the parts of its SPIFFE id `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface Identity {
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
}

/** A SPIFFE id longer than this many bytes is refused. Source: SPIFFE-ID §2.3. */
export const maxSpiffeIdBytes = 2048

const trustDomainPattern = /^[a-z0-9._-]{1,255}$/
const namePattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/

/** The SPIFFE id of `identity` as a URI. */
export function formatSpiffeId(identity: Identity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`
}

/**
 * Reads a SPIFFE id of this mesh's one shape; anything else (other scheme, upper case in the trust domain, port, query,
 * fragment, percent-encoding, empty or dot segments, trailing slash, more or fewer segments) is not an identity.
 * @returns undefined if `uri` is not exactly such an id
 * Source: SPIFFE-ID §2, restricted to Kubernetes namespaces and service accounts.
 */
export function parseSpiffeId(uri: string): Identity | undefined {
  if (uri.length > maxSpiffeIdBytes || !uri.startsWith('spiffe://')) return undefined
  const [trustDomain, ns, namespace, sa, serviceAccount, ...rest] = uri.slice('spiffe://'.length).split('/')
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return undefined
  if (ns !== 'ns' || sa !== 'sa' || rest.length > 0) return undefined
  if (!isTrustDomain(trustDomain) || !namePattern.test(namespace) || !namePattern.test(serviceAccount)) return undefined
  return { trustDomain, namespace, serviceAccount }
}

/** Whether `name` may be a trust domain: lower-case letters, digits, `.`, `-`, `_`. Source: SPIFFE-ID §2.1. */
export function isTrustDomain(name: string): boolean {
  return trustDomainPattern.test(name)
}

/** Whether two identities are the same workload identity. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.trustDomain === b.trustDomain && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount
}
