import type { KubernetesObject, StatusCondition } from './meta.ts'

/** Source: gateway.networking.k8s.io/v1 GatewayClass. */
export interface GatewayClass extends KubernetesObject {
  readonly kind: 'GatewayClass'
  readonly spec: { readonly controllerName: string; readonly description?: string | undefined }
  readonly status?: { readonly conditions?: readonly StatusCondition[] | undefined } | undefined
}

/** A label selector. Source: metav1.LabelSelector. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined
  readonly matchExpressions?:
    | readonly {
        readonly key: string
        readonly operator: string
        readonly values?: readonly string[] | undefined
      }[]
    | undefined
}

export interface AllowedRoutes {
  readonly namespaces?:
    | {
        /** Default `Same`. */
        readonly from?: 'All' | 'Selector' | 'Same' | 'None' | undefined
        readonly selector?: LabelSelector | undefined
      }
    | undefined
  readonly kinds?: readonly { readonly group?: string | undefined; readonly kind: string }[] | undefined
}

export interface Listener {
  readonly name: string
  readonly hostname?: string | undefined
  readonly port: number
  /** `HBONE` for a waypoint's mesh listener. */
  readonly protocol: string
  readonly allowedRoutes?: AllowedRoutes | undefined
}

/** What is made for a Gateway. Source: GEP-1867. */
export interface GatewayInfrastructure {
  /** Go on everything that is made. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly parametersRef?: { readonly group: string; readonly kind: string; readonly name: string } | undefined
}

/** Source: gateway.networking.k8s.io/v1 Gateway. */
export interface Gateway extends KubernetesObject {
  readonly kind: 'Gateway'
  readonly spec: {
    readonly gatewayClassName: string
    readonly listeners?: readonly Listener[] | undefined
    readonly addresses?: readonly { readonly type?: string | undefined; readonly value?: string | undefined }[] | undefined
    readonly infrastructure?: GatewayInfrastructure | undefined
  }
  readonly status?:
    | {
        readonly addresses?: readonly { readonly type?: string | undefined; readonly value: string }[] | undefined
        readonly conditions?: readonly StatusCondition[] | undefined
      }
    | undefined
}

/** Source: gateway.networking.k8s.io/v1 ReferenceGrant. */
export interface ReferenceGrant extends KubernetesObject {
  readonly kind: 'ReferenceGrant'
  readonly spec: {
    readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[]
    /** No `name`: every object of that kind in this namespace. */
    readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string | undefined }[]
  }
}
