import { isIP, isIPv6 } from 'node:net'
import type { EndpointSlice, EndpointSpec, Service } from '../api/core.ts'
import type { ResourceSet } from '../api/resources.ts'
import { gatewayNameLabel, managedBy, managedByLabel } from '../model/install.ts'
import type { NamespacedName } from '../model/refs.ts'
import { meshPort, type SocketAddress, type TranslateOptions } from './options.ts'
import { compareText } from './order.ts'
import type { ActiveWaypoint } from './waypoints.ts'

/** Addresses as a Gateway's status has them. */
export type StatusAddresses = readonly { readonly type: 'IPAddress' | 'Hostname'; readonly value: string }[]

/** Where addresses of waypoints can be found. */
export interface AddressSources {
  readonly services: ResourceSet['Service']
  /** By Service. */
  readonly slices: ReadonlyMap<NamespacedName, readonly EndpointSlice[]>
  readonly options: Pick<TranslateOptions, 'waypointAddresses' | 'hbonePort'>
}

/** Whether a Service is the one that the controller made for the Gateway of its name: part of the mesh, not a destination in it. */
export function isWaypointService({ metadata }: Service): boolean {
  return metadata.labels?.[managedByLabel] === managedBy && metadata.labels[gatewayNameLabel] === metadata.name
}

/**
 * Where a waypoint is dialled: what the options say; else its own Service's ready endpoints, one address for each pod, those that
 * end only while there is no other; else, if there is no such Service, its Gateway's `status.addresses` at the mesh port.
 */
export function waypointAddresses(
  waypoint: ActiveWaypoint,
  { services, options, slices }: AddressSources,
): readonly SocketAddress[] {
  const known = options.waypointAddresses?.get(waypoint.key)
  if (known !== undefined) return known.map(({ host, port }) => ({ host, port }))
  const service = ownService(waypoint, services)
  if (service !== undefined) return addressesOfPods(slices.get(waypoint.key) ?? [], (service.spec?.clusterIP ?? '').includes(':'))
  return (waypoint.gateway?.status?.addresses ?? []).map(({ value }) => ({ host: value, port: options.hbonePort ?? meshPort }))
}

/** The addresses of a waypoint for its Gateway's status: its Service's cluster IPs, else where it is dialled. */
export function statusAddresses(waypoint: ActiveWaypoint, sources: AddressSources): StatusAddresses {
  const service = sources.options.waypointAddresses?.has(waypoint.key) === true ? undefined : ownService(waypoint, sources.services)
  const hosts =
    service === undefined
      ? waypointAddresses(waypoint, sources).map(({ host }) => host)
      : [service.spec?.clusterIP, ...(service.spec?.clusterIPs ?? [])].filter((ip) => ip !== undefined && ip !== '' && ip !== 'None')
  return [...new Set(hosts)].map((value) => ({ type: isIP(value ?? '') === 0 ? 'Hostname' : 'IPAddress', value: value ?? '' }))
}

function ownService(waypoint: ActiveWaypoint, services: AddressSources['services']): Service | undefined {
  const service = services.get(waypoint.key)
  return service !== undefined && isWaypointService(service) ? service : undefined
}

interface PodAddress extends SocketAddress {
  readonly ready: boolean
}

/** One address for each pod: a second one would be a second session to the same process. The Service's first family goes before. */
function addressesOfPods(slices: readonly EndpointSlice[], ipv6First: boolean): readonly SocketAddress[] {
  const byPod = new Map<string, PodAddress>()
  for (const slice of slices) {
    const port = (slice.ports ?? []).find((each) => (each.protocol ?? 'TCP') === 'TCP')?.port
    if (port === undefined || slice.addressType === 'FQDN') continue
    for (const endpoint of slice.endpoints ?? []) {
      const usable = usability(endpoint)
      const host = endpoint.addresses[0]?.toLowerCase()
      if (usable === undefined || host === undefined) continue
      const pod = endpoint.targetRef?.name ?? host
      const found = byPod.get(pod)
      const better = found === undefined || (usable === 'ready' && !found.ready) || (isIPv6(host) === ipv6First && isIPv6(found.host) !== ipv6First)
      if (better) byPod.set(pod, { host, port, ready: usable === 'ready' })
    }
  }
  const all = [...byPod.values()]
  const ready = all.filter((each) => each.ready)
  return (ready.length === 0 ? all : ready).map(({ host, port }) => ({ host, port })).sort((a, b) => compareText(a.host, b.host) || a.port - b.port)
}

function usability({ conditions }: EndpointSpec): 'ready' | 'draining' | undefined {
  const ready = conditions?.ready ?? true
  if (conditions?.terminating === true) return (conditions.serving ?? ready) ? 'draining' : undefined
  return ready ? 'ready' : undefined
}
