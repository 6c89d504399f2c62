import type { ResourceSet } from '../api/resources.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { TranslateOptions } from './options.ts'
import { compareText } from './order.ts'
import { readServices, type ServiceInfo } from './services.ts'
import { readWaypoints, type Waypoints } from './waypoints.ts'

/** What every route is judged against: the objects, read once. */
export interface Mesh {
  readonly resources: ResourceSet
  readonly options: TranslateOptions
  readonly services: ReadonlyMap<NamespacedName, ServiceInfo>
  /** Services that can be parents of routes, by namespace, in name order. */
  readonly parentServices: ReadonlyMap<string, readonly ServiceInfo[]>
  readonly waypoints: Waypoints
}

/** Reads the objects that routes refer to. */
export function readMesh(resources: ResourceSet, options: TranslateOptions): Mesh {
  const services = readServices(resources)
  const parentServices = new Map<string, ServiceInfo[]>()
  for (const service of services.values()) {
    if (service.type !== 'virtual') continue
    const list = parentServices.get(service.namespace)
    if (list === undefined) parentServices.set(service.namespace, [service])
    else list.push(service)
  }
  for (const list of parentServices.values()) list.sort((a, b) => compareText(a.name, b.name))
  return { resources, options, services, parentServices, waypoints: readWaypoints(resources) }
}

/** The waypoint that applies routes of one level on a Service: the route's namespace's, or the Service's own unless it stays at L4. */
export function servingWaypoint(
  mesh: Mesh,
  level: 'producer' | 'consumer',
  routeNamespace: string,
  service: ServiceInfo,
): NamespacedName | undefined {
  if (level === 'producer' && service.atL4) return undefined
  return mesh.waypoints.active.get(level === 'producer' ? service.namespace : routeNamespace)?.key
}
