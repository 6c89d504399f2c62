import type { PolicyEntry, PortGuard, RouteGuard, ServiceGuard } from './policy.ts'
import type { RouteRules } from './route.ts'

/** What a Service port speaks: `http` sniffs HTTP/1.1 and HTTP/2, `auto` goes by the first bytes. */
export type PortProtocol = 'http' | 'http2' | 'tls' | 'tcp' | 'auto'

export interface ServicePort {
  readonly name?: string
  readonly port: number
  readonly protocol: PortProtocol
}

/** A Service as traffic sees it: how it is recognised (addresses, ports) and who serves it. */
export interface ServiceEntry {
  readonly kind: 'service'
  readonly namespace: string
  readonly name: string
  /** Every address family; empty if headless or if the manifest carries none. */
  readonly clusterIPs: readonly string[]
  readonly headless: boolean
  readonly ports: readonly ServicePort[]
  /** Key of the waypoint that applies its producer routes; undefined: it stays at L4. */
  readonly waypoint?: EntryKey
  /** What its waypoint judges; undefined: nothing. */
  readonly guard?: ServiceGuard
  /** Why nobody may go there: policies guard it that nothing on the way can enforce. */
  readonly closed?: string
  /** Seconds for which a client's further connections go to the endpoint of its last one: `sessionAffinity: ClientIP`. */
  readonly affinitySeconds?: number
  /** `Local`: only endpoints on the client's own node serve it, and without one it is refused. */
  readonly internalTrafficPolicy?: 'Local'
}

export interface Endpoint {
  /** IP address, without brackets. */
  readonly address: string
  readonly port: number
  /** `draining`: terminating but still serving, used only while there is no `ready` one. */
  readonly condition: 'ready' | 'draining'
  /** How it is reached: in plain, or by HBONE on `port` of the same address, where `identity` must answer. */
  readonly transport: { readonly kind: 'plain' } | { readonly kind: 'hbone'; readonly port: number; readonly identity: string }
  /** Pod name, if there is one. */
  readonly pod?: string
  readonly node?: string
  readonly zone?: string
  /** Zones whose clients shall prefer it (topology hints). */
  readonly forZones?: readonly string[]
  /** Nodes whose clients shall prefer it. */
  readonly forNodes?: readonly string[]
}

/** The endpoints of a Service, per Service port. Ports that no EndpointSlice mentions have an empty list. */
export interface EndpointsEntry {
  readonly kind: 'endpoints'
  readonly namespace: string
  readonly name: string
  readonly ports: readonly { readonly port: number; readonly endpoints: readonly Endpoint[] }[]
}

/** The merged routes of one level on one Service port. Present only if at least one route is attached there. */
export interface RouteTableEntry {
  readonly kind: 'routes'
  /** `producer`: for every caller; `consumer`: only for callers in `namespace`, in place of the producer's. */
  readonly level: 'producer' | 'consumer'
  /** Namespace of the routes, whose waypoint applies them. */
  readonly namespace: string
  readonly service: { readonly namespace: string; readonly name: string }
  readonly port: number
  readonly routes: RouteRules
  /** Routes among them that policies are about, sorted; undefined: none. */
  readonly guards?: readonly RouteGuard[]
  /** Keys of the waypoints of other namespaces that judge what these routes send there, sorted; undefined: none. */
  readonly via?: readonly EntryKey[]
}

/** A pod, for traffic that is sent straight to its address and for naming callers. */
export interface WorkloadEntry {
  readonly kind: 'workload'
  readonly namespace: string
  readonly name: string
  /** Empty while a pod that shall be captured has none yet. */
  readonly addresses: readonly string[]
  readonly serviceAccount: string
  /** SPIFFE id. */
  readonly identity: string
  /** Whether it is a mesh member, reached by HBONE. */
  readonly enrolled: boolean
  readonly node?: string
  /** With a node agent, by which the agent knows the pod again. */
  readonly uid?: string
  /** Whether its node's agent shall capture its traffic; `enrolled` follows when it does. */
  readonly capture?: boolean
  /** Whether it takes connections that are not mTLS; undefined: `permissive`. */
  readonly mtls?: 'permissive' | 'strict'
  /** Keys of the policies that guard all of its ports, sorted; undefined: none. */
  readonly policies?: readonly EntryKey[]
  /** Ports that are guarded by more than that, sorted; undefined: none. */
  readonly ports?: readonly PortGuard[]
  /** Ports that nobody may be sent to, because policies guard them and nothing at the pod enforces those; undefined: none. */
  readonly closed?: 'all' | readonly number[]
}

/** An active waypoint: where it is dialled and who must answer. */
export interface WaypointEntry {
  readonly kind: 'waypoint'
  readonly namespace: string
  readonly name: string
  /** SPIFFE id. */
  readonly identity: string
  /** Empty while none is known: traffic that needs it fails closed. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
}

/** Who may speak for others: every waypoint of the mesh. Present while there are policies. */
export interface SpeakersEntry {
  readonly kind: 'speakers'
  readonly namespace: ''
  readonly name: 'mesh'
  /** Namespaces of waypoints, by SPIFFE id. */
  readonly waypoints: Readonly<Record<string, string>>
}

/** A namespace whose pods are captured. With a node agent only: it lets none of its pods start uncaptured, the first one neither. */
export interface EnrolmentEntry {
  readonly kind: 'enrolment'
  readonly namespace: string
  /** The namespace's. */
  readonly name: string
}

export type Entry = EnrolmentEntry | ServiceEntry | EndpointsEntry | RouteTableEntry | WorkloadEntry | WaypointEntry | PolicyEntry | SpeakersEntry

/** `kind/…`: see `entryKey`. */
export type EntryKey = string

/** The key of an entry in a Snapshot; equal for entries that replace each other. */
export function entryKey(entry: Entry): EntryKey {
  if (entry.kind !== 'routes') return `${entry.kind}/${entry.namespace}/${entry.name}`
  return routesKey(entry.level, entry.namespace, entry.service, entry.port)
}

/** Key of the Service `namespace/name`. */
export function serviceKey(namespace: string, name: string): EntryKey {
  return `service/${namespace}/${name}`
}

/** Key of the endpoints of the Service `namespace/name`. */
export function endpointsKey(namespace: string, name: string): EntryKey {
  return `endpoints/${namespace}/${name}`
}

/** Key of the waypoint made for Gateway `namespace/name`. */
export function waypointKey(namespace: string, name: string): EntryKey {
  return `waypoint/${namespace}/${name}`
}

/** Key of the one entry of its kind. */
export const speakersKey: EntryKey = 'speakers//mesh'

/** Key of the AuthorizationPolicy `namespace/name`. */
export function policyKey(namespace: string, name: string): EntryKey {
  return `policy/${namespace}/${name}`
}

/** Key of the route table of one level on one Service port. */
export function routesKey(
  level: RouteTableEntry['level'],
  namespace: string,
  service: { readonly namespace: string; readonly name: string },
  port: number,
): EntryKey {
  return `routes/${level}/${namespace}/${service.namespace}/${service.name}/${port}`
}
