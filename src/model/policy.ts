import type { NamedMatch } from './route.ts'

/**
 * Who a rule speaks of. Fields are AND-ed, the values of one field OR-ed. A caller without an identity (one who speaks in plain) is
 * meant by none of the positive fields.
 */
export interface PolicySource {
  readonly namespaces?: readonly string[]
  readonly notNamespaces?: readonly string[]
  /** `namespace/name`. */
  readonly serviceAccounts?: readonly string[]
  readonly notServiceAccounts?: readonly string[]
  /** `*` stands for any characters but `/`; `*` alone for every identity. */
  readonly spiffeIds?: readonly string[]
  readonly notSpiffeIds?: readonly string[]
  /** `address/bits` or an address. */
  readonly cidrs?: readonly string[]
  readonly notCidrs?: readonly string[]
}

/** `prefix` goes by whole segments. */
export interface PolicyPath {
  readonly type: 'exact' | 'prefix' | 'regex'
  readonly value: string
}

/** A call of gRPC; no method means every one. */
export interface PolicyCall {
  readonly service?: string
  readonly method?: string
}

/** What a rule speaks of. Fields are AND-ed, the values of one field OR-ed, but for `headers`, which must all match. */
export interface PolicyOperation {
  /** Of the Service or of its pods. */
  readonly ports?: readonly number[]
  readonly notPorts?: readonly number[]
  readonly methods?: readonly string[]
  readonly notMethods?: readonly string[]
  readonly paths?: readonly PolicyPath[]
  readonly notPaths?: readonly PolicyPath[]
  /** Lower case, without port; `*.` at the beginning stands for one label or more. */
  readonly hosts?: readonly string[]
  readonly notHosts?: readonly string[]
  readonly headers?: readonly NamedMatch[]
  /** None of them may match. */
  readonly notHeaders?: readonly NamedMatch[]
  readonly grpc?: readonly PolicyCall[]
  readonly notGrpc?: readonly PolicyCall[]
}

/** One of `from` and one of `to`; a list that is not there leaves that open. */
export interface PolicyRule {
  readonly from?: readonly PolicySource[]
  readonly to?: readonly PolicyOperation[]
  /** It can not be read: in an Allow policy it means nobody, in a Deny policy everybody. */
  readonly broken?: true
}

/** `audit`: only told of, as if it were `deny`. */
export type PolicyAction = 'allow' | 'deny' | 'audit'

/** An AuthorizationPolicy. Services, routes, pods and their ports say by key which policies guard them. */
export interface PolicyEntry {
  readonly kind: 'policy'
  readonly namespace: string
  readonly name: string
  readonly action: PolicyAction
  /** OR-ed. None in an Allow policy: it allows nothing, so that only what others allow is allowed. */
  readonly rules: readonly PolicyRule[]
}

/** What guards the requests that one route serves, besides what guards the Service. */
export interface RouteGuard {
  /** `kind/name`, of the namespace of the table. */
  readonly route: string
  /** Keys of policies, sorted. */
  readonly policies: readonly string[]
}

/** What guards a Service at its waypoint. It is there too if only some of its producer routes are guarded. */
export interface ServiceGuard {
  /** Keys of policies, sorted. */
  readonly policies: readonly string[]
  /**
   * Keys of Allow policies of some of its pods, sorted: whom they allow may pass here, but whom they do not is judged by the agents of
   * those pods alone.
   */
  readonly partial?: readonly string[]
  /** The agents of its pods judge as well: they must be told who the original client is. */
  readonly judgedByAgents?: true
}

/** What guards one port of a pod, besides what guards all of it. */
export interface PortGuard {
  /** The pod's own. */
  readonly port: number
  /** Ports of the Services that lead there, sorted. */
  readonly servicePorts: readonly number[]
  /** Keys of policies, sorted. */
  readonly policies: readonly string[]
  /** Keys of policies that are about single routes of those Services, sorted: only a waypoint can tell whether they mean a request. */
  readonly routePolicies?: readonly string[]
  /** SPIFFE ids of the only peers that may reach it; undefined: anyone whom the policies let. */
  readonly onlyVia?: readonly string[]
}
