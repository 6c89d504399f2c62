import type { Identity } from '../../model/identity.ts'
import type { PolicyAction, PolicyEntry, PolicyRule } from '../../model/policy.ts'
import type { Attributes, RequestAttributes } from '../attributes.ts'

export function identity(namespace: string, serviceAccount: string): Identity {
  return { trustDomain: 'cluster.local', namespace, serviceAccount }
}

export function policy(action: PolicyAction, name: string, ...rules: readonly PolicyRule[]): PolicyEntry {
  return { kind: 'policy', namespace: 'books', name, action, rules }
}

/** A request of shop/till for GET / of port 9080, or what is said of it. */
export function attributes(changes: Partial<Attributes> = {}, request: Partial<RequestAttributes> = {}): Attributes {
  return {
    caller: identity('shop', 'till'), address: '10.1.2.3', ports: [9080],
    request: { method: 'GET', path: '/', authority: 'reviews.books:9080', headers: [], grpc: false, ...request },
    ...changes,
  }
}
