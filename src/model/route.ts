import type { ReasonCode } from './reasons.ts'

/** Where a rule comes from; stable over reloads, so it labels metrics, logs and `explain`. */
export interface RuleId {
  readonly routeKind: 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute' | 'TCPRoute'
  readonly namespace: string
  readonly name: string
  /** Position of the rule in its route, from 0. */
  readonly rule: number
}

/** How a string is compared. `regex` is RE2 and matches the whole value. */
export interface StringMatch {
  readonly type: 'exact' | 'regex'
  readonly value: string
}

/** A header or query parameter match; header names are in lower case, query names exact. */
export interface NamedMatch extends StringMatch {
  readonly name: string
}

/** All fields are AND-ed. Source: HTTPRouteMatch. */
export interface HttpMatch {
  /** `prefix` goes by whole segments. */
  readonly path: { readonly type: 'exact' | 'prefix' | 'regex'; readonly value: string }
  readonly method?: string
  readonly headers: readonly NamedMatch[]
  readonly query: readonly NamedMatch[]
}

/** All fields are AND-ed; no service and no method means every call. Source: GRPCRouteMatch. */
export interface GrpcMatch {
  readonly service?: StringMatch
  readonly method?: StringMatch
  readonly headers: readonly NamedMatch[]
}

/** Header edits in the order set, add, remove; names in lower case. */
export interface HeaderEdits {
  readonly set: readonly (readonly [name: string, value: string])[]
  readonly add: readonly (readonly [name: string, value: string])[]
  readonly remove: readonly string[]
}

/** A path change: the whole path, or the prefix that the rule matched. */
export type PathModifier =
  | { readonly type: 'full'; readonly value: string }
  | { readonly type: 'prefix'; readonly value: string }

export type Filter =
  | ({ readonly kind: 'request-headers' } & HeaderEdits)
  | ({ readonly kind: 'response-headers' } & HeaderEdits)
  | {
      readonly kind: 'redirect'
      readonly scheme?: 'http' | 'https'
      readonly hostname?: string
      readonly port?: number
      readonly path?: PathModifier
      readonly status: 301 | 302 | 303 | 307 | 308
    }
  | { readonly kind: 'rewrite'; readonly hostname?: string; readonly path?: PathModifier }
  | {
      readonly kind: 'mirror'
      readonly target: BackendTarget
      /** Share of the requests that is copied: numerator / denominator. */
      readonly numerator: number
      readonly denominator: number
    }
  | {
      readonly kind: 'cors'
      readonly allowOrigins: readonly string[]
      readonly allowCredentials: boolean
      readonly allowMethods: readonly string[]
      readonly allowHeaders: readonly string[]
      readonly exposeHeaders: readonly string[]
      /** Seconds. */
      readonly maxAge: number
    }
  /** A filter that can't be honoured (an ExtensionRef that does not resolve): the rule answers 500, it is never skipped. */
  | { readonly kind: 'unresolved'; readonly detail: string }

/** Where a backend's traffic goes. `invalid` keeps its share of the traffic and answers it with `reason`. */
export type BackendTarget =
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: 'invalid'; readonly reason: ReasonCode; readonly detail: string }

export interface WeightedBackend {
  readonly target: BackendTarget
  /** Share = weight / sum of weights; 0 = no traffic. */
  readonly weight: number
  readonly filters: readonly Filter[]
}

/** Milliseconds; a missing field or 0 is "off". */
export interface Timeouts {
  readonly requestMs?: number
  readonly backendRequestMs?: number
}

/** Source: GEP-1731. */
export interface RetryPolicy {
  /** Number of retries after the first try. */
  readonly attempts: number
  /** HTTP statuses that are retried. */
  readonly codes: readonly number[]
  /** Base of the jittered back-off, milliseconds. */
  readonly backoffMs: number
}

/** Source: GEP-1619. */
export interface SessionPersistence {
  readonly type: 'cookie' | 'header'
  /** Cookie or header name. */
  readonly name: string
  /** Milliseconds; a session older than this is picked anew. */
  readonly absoluteTimeoutMs?: number
  /** Milliseconds; a session unused for this long is picked anew. */
  readonly idleTimeoutMs?: number
  /** `permanent` cookies carry an expiry, `session` cookies do not. */
  readonly lifetime: 'session' | 'permanent'
}

interface RuleBase {
  readonly id: RuleId
  readonly backends: readonly WeightedBackend[]
}

export interface HttpRule extends RuleBase {
  readonly kind: 'http'
  /** OR-ed; never empty (no match in the route becomes prefix `/`). */
  readonly matches: readonly HttpMatch[]
  readonly filters: readonly Filter[]
  readonly timeouts: Timeouts
  readonly retry?: RetryPolicy
  readonly persistence?: SessionPersistence
}

export interface GrpcRule extends RuleBase {
  readonly kind: 'grpc'
  /** OR-ed; never empty. */
  readonly matches: readonly GrpcMatch[]
  readonly filters: readonly Filter[]
  readonly persistence?: SessionPersistence
}

export interface TlsRule extends RuleBase {
  readonly kind: 'tls'
  /** Exact or `*.` wildcard; empty matches every SNI. */
  readonly hostnames: readonly string[]
}

export interface TcpRule extends RuleBase {
  readonly kind: 'tcp'
}

/**
 * All routes of one level on one Service port, merged. Rules stand in tie-break order: oldest route first, then
 * `namespace/name`, then position in the route. Rules with a better match still win over earlier ones.
 */
export type RouteRules =
  | { readonly protocol: 'http'; readonly rules: readonly HttpRule[] }
  | { readonly protocol: 'grpc'; readonly rules: readonly GrpcRule[] }
  | { readonly protocol: 'tls'; readonly rules: readonly TlsRule[] }
  | { readonly protocol: 'tcp'; readonly rules: readonly TcpRule[] }
