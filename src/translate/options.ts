import type { WaypointInfra } from '../model/infra.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { ObjectStatus, Warning } from '../model/status.ts'

/** Where a process listens. */
export interface SocketAddress {
  /** IP address without brackets, or a host name. */
  readonly host: string
  readonly port: number
}

/** What `translate` must know besides the objects. */
export interface TranslateOptions {
  readonly trustDomain: string
  /**
   * Where active waypoints listen, by `namespace/name` of their Gateway; whoever runs them knows.
   * One that is missing here is dialled at the ready endpoints of the Service that was made for it, else at its Gateway's `status.addresses`.
   */
  readonly waypointAddresses?: ReadonlyMap<NamespacedName, readonly SocketAddress[]>
  /** Waypoints of which every ready replica holds the present configuration. Absent: not known, and statuses say `Unknown`. */
  readonly readyWaypoints?: ReadonlySet<NamespacedName>
  /** Port on which mesh members accept HBONE; default 15008. */
  readonly hbonePort?: number
  /**
   * Whether something on the nodes ends HBONE for enrolled pods; default true: for all. False: endpoints are reached in plain, and no
   * workload counts as enrolled, for that is what says how a pod is reached. `reported`: for those pods that carry `capturedAnnotation`,
   * and workloads say which ones agents shall capture.
   */
  readonly nodeAgent?: boolean | 'reported'
  /** The namespace of the installation, whose MTLSPolicies without a selector are about the whole mesh; default `waymark-system`. */
  readonly rootNamespace?: string
  /** What keeps a waypoint from being made or changed, by `namespace/name` of its Gateway, in words for its status. */
  readonly infraProblems?: ReadonlyMap<NamespacedName, string>
}

/** The options that stay the same while a process lives, with their defaults. */
export type FixedOptions = Required<Pick<TranslateOptions, 'trustDomain' | 'hbonePort' | 'nodeAgent' | 'rootNamespace'>>

/** What the objects mean. */
export interface Translation {
  /** In key order. */
  readonly snapshot: Snapshot
  /** In the order GatewayClass, Gateway, routes by kind, policies, and by `namespace/name` within each. */
  readonly statuses: readonly ObjectStatus[]
  readonly warnings: readonly Warning[]
  /** What must run, one for each active waypoint, by namespace. */
  readonly infra: readonly WaypointInfra[]
}

/** The port on which a waypoint's listener stands and mesh members accept HBONE. */
export const meshPort = 15008
