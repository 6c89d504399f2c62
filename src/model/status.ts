import type { ObjectRef } from './refs.ts'

/** Our controller's name in `status.parents[].controllerName` and in the GatewayClass. */
export const controllerName = 'waymark.dev/waypoint-controller'

/** A condition without its `lastTransitionTime`: time belongs to whoever writes it. */
export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number
}

/** As in the route's own `spec.parentRefs`. */
export interface ParentRef {
  readonly group?: string
  readonly kind?: string
  readonly namespace?: string
  readonly name: string
  readonly sectionName?: string
  readonly port?: number
}

/** One of our entries of `status.parents[]`. */
export interface RouteParentStatus {
  readonly parentRef: ParentRef
  readonly controllerName: string
  readonly conditions: readonly Condition[]
}

/** One of our entries of a policy's `status.ancestors[]`. Source: GEP-713. */
export interface PolicyAncestorStatus {
  readonly ancestorRef: ParentRef
  readonly controllerName: string
  readonly conditions: readonly Condition[]
}

export interface ListenerStatus {
  readonly name: string
  readonly attachedRoutes: number
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[]
  readonly conditions: readonly Condition[]
}

/** The status that an object of ours should have now. */
export type ObjectStatus =
  | { readonly kind: 'route'; readonly ref: ObjectRef; readonly parents: readonly RouteParentStatus[] }
  | { readonly kind: 'policy'; readonly ref: ObjectRef; readonly ancestors: readonly PolicyAncestorStatus[] }
  | {
      readonly kind: 'gateway'
      readonly ref: ObjectRef
      readonly addresses: readonly { readonly type: 'IPAddress' | 'Hostname'; readonly value: string }[]
      readonly conditions: readonly Condition[]
      readonly listeners: readonly ListenerStatus[]
    }
  | {
      readonly kind: 'gatewayclass'
      readonly ref: ObjectRef
      readonly conditions: readonly Condition[]
      readonly supportedFeatures: readonly { readonly name: string }[]
    }

/** Something a person should know about an object that is not wrong enough for its status. */
export interface Warning {
  readonly ref: ObjectRef
  /** Path of the field in the object, `spec.rules[0].filters[1]`, or '' for the object. */
  readonly field: string
  readonly message: string
  /** What to do about it. */
  readonly advice: string
}
