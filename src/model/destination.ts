import { isIP } from 'node:net'
import {
  endpointsKey, routesKey, type Endpoint, type EndpointsEntry, type ServiceEntry, type ServicePort, type WaypointEntry, type WorkloadEntry,
} from './entries.ts'
import { ofFamily } from './families.ts'
import type { Identity } from './identity.ts'
import type { ReasonCode } from './reasons.ts'
import type { Snapshot } from './snapshot.ts'

/** Destinations by name and by address, made once for a Snapshot. */
export interface DestinationIndex {
  readonly snapshot: Snapshot
  readonly services: ReadonlyMap<string, ServiceEntry>
  readonly workloads: ReadonlyMap<string, WorkloadEntry>
  /** The active waypoint of each namespace that has one. */
  readonly waypoints: ReadonlyMap<string, WaypointEntry>
}

/** Where a caller's connection goes, and by which rule. */
export type Decision =
  | {
      readonly kind: 'waypoint'
      /** `consumer`: the caller's own waypoint, for its namespace has consumer routes; `producer`: the Service's. */
      readonly level: 'producer' | 'consumer'
      readonly waypoint: WaypointEntry
      readonly service: ServiceEntry
      readonly port: ServicePort
      /** Original destination, as the CONNECT names it. */
      readonly authority: string
    }
  | { readonly kind: 'endpoints'; readonly service: ServiceEntry; readonly port: ServicePort; readonly endpoints: readonly Endpoint[] }
  | { readonly kind: 'workload'; readonly workload: WorkloadEntry; readonly address: string; readonly port: number }
  | { readonly kind: 'refused'; readonly reason: ReasonCode; readonly detail: string }

/** Where a captured connection goes: as `Decision`, or to an address that the mesh does not know, in plain. */
export type CapturedDecision = Decision | { readonly kind: 'outside'; readonly address: string; readonly port: number }

/** What becomes of captured connections to addresses that are neither a Service's nor a pod's; a setting of the mesh. */
export type UnknownDestinations = 'pass' | 'refuse'

/** Makes the index of a Snapshot: one pass over its entries. */
export function indexDestinations(snapshot: Snapshot, clusterDomain = 'cluster.local'): DestinationIndex {
  const services = new Map<string, ServiceEntry>()
  const workloads = new Map<string, WorkloadEntry>()
  const waypoints = new Map<string, WaypointEntry>()
  for (const entry of snapshot.values()) {
    if (entry.kind === 'service') {
      services.set(`${entry.name}.${entry.namespace}.svc.${clusterDomain}`, entry)
      for (const address of entry.clusterIPs) services.set(address, entry)
    } else if (entry.kind === 'workload') {
      for (const address of entry.addresses) workloads.set(address, entry)
    } else if (entry.kind === 'waypoint' && !waypoints.has(entry.namespace)) {
      waypoints.set(entry.namespace, entry)
    }
  }
  return { snapshot, services, workloads, waypoints }
}

/**
 * Reads a host as a resolver in the caller's namespace would: `svc`, `svc.ns`, `svc.ns.svc`, `svc.ns.svc.<cluster domain>`,
 * any case, one trailing dot; addresses stay as they are, without brackets.
 * @returns the full name or the address
 */
export function resolveHost(host: string, namespace: string, clusterDomain = 'cluster.local'): string {
  // A captured connection's destination, spelled as the system spells it.
  if (isIP(host) !== 0) return host.toLowerCase()
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase().replace(/\.$/, '')
  if (isIP(name) !== 0) return name
  if (name.endsWith(`.svc.${clusterDomain}`)) return name
  const parts = name.split('.')
  if (parts.length === 1) return `${name}.${namespace}.svc.${clusterDomain}`
  if (parts.length === 2) return `${name}.svc.${clusterDomain}`
  if (parts.length === 3 && parts[2] === 'svc') return `${name}.${clusterDomain}`
  return name
}

/**
 * Decides where a caller's traffic to `host:port` goes: its own waypoint if its namespace has consumer routes for that Service
 * and port, else the Service's waypoint, else straight to an endpoint; a pod's address goes straight to the pod.
 * Source: GEP-1294 (consumer routes replace the producer's for their own namespace only).
 */
export function decide(index: DestinationIndex, caller: Identity, host: string, port: number, clusterDomain = 'cluster.local'): Decision {
  return unlessClosed(decideOpen(index, caller, host, port, clusterDomain))
}

function decideOpen(index: DestinationIndex, caller: Identity, host: string, port: number, clusterDomain: string): Decision {
  const name = resolveHost(host, caller.namespace, clusterDomain)
  const service = index.services.get(name)
  if (service === undefined) {
    const workload = index.workloads.get(name)
    if (workload !== undefined) return { kind: 'workload', workload, address: name, port }
    const detail = /[.:]/.test(host) ? `${host} is not a Service or a pod of this mesh` : `namespace ${caller.namespace} has no Service ${host}`
    return { kind: 'refused', reason: 'unknown-destination', detail }
  }
  const servicePort = service.ports.find((each) => each.port === port)
  if (servicePort === undefined) {
    const known = service.ports.map((each) => each.port).join(', ')
    const detail = `Service ${service.namespace}/${service.name} has no port ${port}; it has ${known === '' ? 'none' : known}`
    return { kind: 'refused', reason: 'unknown-destination', detail }
  }
  const waypoint = waypointFor(index, caller, service, port)
  if (waypoint === undefined) {
    const endpoints = index.snapshot.get(endpointsKey(service.namespace, service.name)) as EndpointsEntry | undefined
    const all = endpoints?.ports.find((each) => each.port === port)?.endpoints ?? []
    return { kind: 'endpoints', service, port: servicePort, endpoints: ofFamily(all, isIP(name) === 0 ? service.clusterIPs[0] : name) }
  }
  if (waypoint.entry === undefined || waypoint.entry.addresses.length === 0) {
    return { kind: 'refused', reason: 'no-waypoint', detail: `${waypoint.key} has no address yet` }
  }
  const address = isIP(name) === 0 ? (service.clusterIPs[0] ?? name) : name
  const authority = `${address.includes(':') ? `[${address}]` : address}:${port}`
  return { kind: 'waypoint', level: waypoint.level, waypoint: waypoint.entry, service, port: servicePort, authority }
}

/**
 * Decides where a captured connection goes, as `decide` does. Only an address that nothing in the mesh has can be passed through: a port
 * that a known Service lacks, and a Service whose waypoint or endpoints are away, are refused whatever the setting says.
 * @param address original destination, an IP address without brackets
 */
export function decideCaptured(
  index: DestinationIndex, caller: Identity, address: string, port: number, unknown: UnknownDestinations,
): CapturedDecision {
  if (index.services.has(address) || index.workloads.has(address)) return decide(index, caller, address, port)
  if (unknown === 'pass') return { kind: 'outside', address, port }
  return { kind: 'refused', reason: 'unknown-destination', detail: `${address} is not a Service or a pod of this mesh` }
}

/** Refuses what policies guard that nothing on the way, or at the pod, can enforce. */
function unlessClosed(decision: Decision): Decision {
  if (decision.kind === 'workload') {
    const { workload: { closed, namespace, name }, port } = decision
    return closed === 'all' || closed?.includes(port) === true ? { kind: 'refused', reason: 'denied', detail: `policies guard ${namespace}/${name}, and nothing there enforces them` } : decision
  }
  // A waypoint on the way enforces them, or refuses by itself.
  if (decision.kind !== 'endpoints' || decision.service.closed === undefined) return decision
  return { kind: 'refused', reason: 'denied', detail: decision.service.closed }
}

interface ChosenWaypoint {
  readonly level: 'producer' | 'consumer'
  readonly key: string
  readonly entry: WaypointEntry | undefined
}

function waypointFor(index: DestinationIndex, caller: Identity, service: ServiceEntry, port: number): ChosenWaypoint | undefined {
  if (caller.namespace !== service.namespace && index.snapshot.has(routesKey('consumer', caller.namespace, service, port))) {
    return { level: 'consumer', key: `waypoint of namespace ${caller.namespace}`, entry: index.waypoints.get(caller.namespace) }
  }
  if (service.waypoint === undefined) return undefined
  return { level: 'producer', key: service.waypoint, entry: index.snapshot.get(service.waypoint) as WaypointEntry | undefined }
}
