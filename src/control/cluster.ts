import { serviceNameLabel } from '../api/core.ts'
import type { ResourceSet } from '../api/resources.ts'
import { formatSpiffeId, type Identity } from '../model/identity.ts'
import { install, ports } from '../model/install.ts'
import type { WaypointInfra } from '../model/infra.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import { mostBytes } from '../publish/publisher.ts'
import type { Subscriber } from '../publish/slice.ts'
import { isMeshNamespace } from '../translate/labels.ts'

/** Where the ready controllers serve configuration, without this one. */
export function otherControllers(resources: ResourceSet, namespace: string, ownIp: string): readonly { readonly host: string; readonly port: number }[] {
  const hosts = new Set<string>()
  for (const slice of resources.EndpointSlice.values()) {
    if (slice.metadata.namespace !== namespace || slice.metadata.labels?.[serviceNameLabel] !== install.controller) continue
    for (const { addresses, conditions } of slice.endpoints ?? []) if (conditions?.ready !== false) for (const address of addresses) hosts.add(address)
  }
  hosts.delete(ownIp)
  return [...hosts].sort().map((host) => ({ host, port: ports.control }))
}

/** Every namespace whose pods need the trust bundle: those of the mesh and those with a waypoint. */
export function meshNamespaces(resources: ResourceSet, infra: readonly WaypointInfra[]): ReadonlySet<string> {
  const namespaces = new Set(infra.map(({ namespace }) => namespace))
  for (const { metadata } of resources.Namespace.values()) {
    if (metadata.deletionTimestamp === undefined && isMeshNamespace(resources, metadata.name)) namespaces.add(metadata.name)
  }
  return namespaces
}

/** The identity of every node's agent: it runs beside the controller. */
export function agentOf(controller: Identity): Identity {
  return { ...controller, serviceAccount: install.agent }
}

/**
 * Whether a verified identity may have a subscriber's configuration: an entry that of its own namespace, a waypoint's only the service
 * account of that namespace's active waypoint, a node's only its agent, and what other controllers know only a controller.
 * @returns a string that says why not
 */
export function mayHave(identity: Identity, subscriber: Subscriber | { readonly kind: 'controller' }, snapshot: Snapshot, controller: Identity): true | string {
  const id = formatSpiffeId(identity)
  if (subscriber.kind === 'controller') return id === formatSpiffeId(controller) || `${id} is not the controller`
  if (subscriber.kind === 'agent') return id === formatSpiffeId(agentOf(controller)) || `${id} is no node agent`
  if (subscriber.namespace !== identity.namespace) return `${id} may not have the configuration of namespace ${subscriber.namespace}`
  if (subscriber.kind === 'entry') return true
  for (const entry of snapshot.values()) {
    if (entry.kind === 'waypoint' && entry.namespace === subscriber.namespace && entry.identity === id) return true
  }
  return `${id} is not the active waypoint of namespace ${subscriber.namespace}`
}

/**
 * What keeps waypoints from running their configuration: what is in the way of their objects, else that it is too large to be sent.
 * @param tooLarge bytes, by namespace
 */
export function withTooLarge(
  problems: ReadonlyMap<NamespacedName, string>,
  tooLarge: ReadonlyMap<string, number>,
  waypoints: readonly Pick<WaypointInfra, 'namespace' | 'name'>[],
): ReadonlyMap<NamespacedName, string> {
  if (tooLarge.size === 0) return problems
  const all = new Map(problems)
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`
  for (const { namespace, name } of waypoints) {
    const bytes = tooLarge.get(namespace)
    const key = namespacedName(namespace, name)
    if (bytes === undefined || all.has(key)) continue
    all.set(key, `the configuration of namespace ${namespace} has ${mib(bytes)}, more than the ${mib(mostBytes.waypoint)} that a waypoint takes, and it goes on with what it has; ` +
      'a route whose parent is the Gateway counts once for every Service: name Services as parents, or use fewer rules')
  }
  return all
}
