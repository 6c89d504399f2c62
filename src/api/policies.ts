import type { LabelSelector } from './gateway.ts'
import type { KubernetesObject, StatusCondition } from './meta.ts'
import type { ParentReference } from './routes.ts'

/** What a policy is about, in its own namespace. */
export interface PolicyTargetRef {
  readonly group: string
  readonly kind: string
  readonly name: string
}

/** Who: all fields must fit. */
export interface SourceSpec {
  readonly namespaces?: readonly string[] | undefined
  readonly notNamespaces?: readonly string[] | undefined
  /** `namespace/name`, or the name of one of the policy's own namespace. */
  readonly serviceAccounts?: readonly string[] | undefined
  readonly notServiceAccounts?: readonly string[] | undefined
  readonly spiffeIds?: readonly string[] | undefined
  readonly notSpiffeIds?: readonly string[] | undefined
  readonly cidrs?: readonly string[] | undefined
  readonly notCidrs?: readonly string[] | undefined
}

export interface PathSpec {
  /** Default PathPrefix. */
  readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression' | undefined
  readonly value: string
}

export interface HeaderSpec {
  /** Default Exact. */
  readonly type?: 'Exact' | 'RegularExpression' | undefined
  readonly name: string
  readonly value: string
}

export interface CallSpec {
  readonly service?: string | undefined
  readonly method?: string | undefined
}

/** What: all fields must fit. */
export interface OperationSpec {
  readonly ports?: readonly number[] | undefined
  readonly notPorts?: readonly number[] | undefined
  readonly methods?: readonly string[] | undefined
  readonly notMethods?: readonly string[] | undefined
  readonly paths?: readonly PathSpec[] | undefined
  readonly notPaths?: readonly PathSpec[] | undefined
  readonly hosts?: readonly string[] | undefined
  readonly notHosts?: readonly string[] | undefined
  readonly headers?: readonly HeaderSpec[] | undefined
  readonly notHeaders?: readonly HeaderSpec[] | undefined
  readonly grpc?: readonly CallSpec[] | undefined
  readonly notGrpc?: readonly CallSpec[] | undefined
}

export interface AuthorizationRuleSpec {
  readonly from?: readonly SourceSpec[] | undefined
  readonly to?: readonly OperationSpec[] | undefined
}

/** Source: GEP-713. */
export interface PolicyStatusObject {
  readonly ancestors?:
    | readonly {
        readonly ancestorRef: ParentReference
        readonly controllerName: string
        readonly conditions?: readonly StatusCondition[] | undefined
      }[]
    | undefined
}

/** Source: crds/waymark/authorizationpolicies.yaml. */
export interface AuthorizationPolicy extends KubernetesObject {
  readonly kind: 'AuthorizationPolicy'
  readonly spec: {
    readonly targetRefs?: readonly PolicyTargetRef[] | undefined
    readonly selector?: LabelSelector | undefined
    /** Default Allow. */
    readonly action?: 'Allow' | 'Deny' | 'Audit' | undefined
    readonly rules?: readonly AuthorizationRuleSpec[] | undefined
  }
  readonly status?: PolicyStatusObject | undefined
}

/** Source: crds/waymark/mtlspolicies.yaml. */
export interface MTLSPolicy extends KubernetesObject {
  readonly kind: 'MTLSPolicy'
  readonly spec: {
    readonly selector?: LabelSelector | undefined
    readonly mode: 'Permissive' | 'Strict'
  }
  readonly status?: PolicyStatusObject | undefined
}
