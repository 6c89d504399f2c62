import { endpointsKey, serviceKey, type Entry, type EntryKey, type RouteTableEntry } from '../model/entries.ts'
import type { BackendTarget, Filter } from '../model/route.ts'
import type { Snapshot } from '../model/snapshot.ts'

/** Who asks for configuration, and so what it may see. */
export type Subscriber =
  /** A waypoint: its namespace's Services and routes, and what those routes send traffic to. */
  | { readonly kind: 'waypoint'; readonly namespace: string }
  /** A workload's entry to the mesh: every destination, but of the routes only its own namespace's consumer level. */
  | { readonly kind: 'entry'; readonly namespace: string }

/** The part of `snapshot` that `subscriber` needs and may see; entries keep their object identity. */
export function slice(snapshot: Snapshot, subscriber: Subscriber): Snapshot {
  return subscriber.kind === 'entry' ? sliceForEntry(snapshot, subscriber.namespace) : sliceForWaypoint(snapshot, subscriber.namespace)
}

function sliceForEntry(snapshot: Snapshot, namespace: string): Snapshot {
  const part = new Map<EntryKey, Entry>()
  for (const [key, entry] of snapshot) {
    if (entry.kind !== 'routes' || (entry.level === 'consumer' && entry.namespace === namespace)) part.set(key, entry)
  }
  return part
}

function sliceForWaypoint(snapshot: Snapshot, namespace: string): Snapshot {
  const keys = new Set<EntryKey>()
  for (const [key, entry] of snapshot) {
    if (entry.kind === 'workload') continue
    if (entry.namespace === namespace) keys.add(key)
    if (entry.kind === 'routes' && entry.namespace === namespace) {
      for (const service of [entry.service, ...targetsOf(entry)]) {
        keys.add(serviceKey(service.namespace, service.name))
        keys.add(endpointsKey(service.namespace, service.name))
      }
    }
  }
  const part = new Map<EntryKey, Entry>()
  for (const key of [...keys].sort()) {
    const entry = snapshot.get(key)
    if (entry !== undefined) part.set(key, entry)
  }
  return part
}

type ServiceTarget = Extract<BackendTarget, { kind: 'service' }>

function targetsOf(table: RouteTableEntry): ServiceTarget[] {
  const targets: BackendTarget[] = []
  const addMirrors = (filters: readonly Filter[]): void => {
    for (const filter of filters) if (filter.kind === 'mirror') targets.push(filter.target)
  }
  for (const rule of table.routes.rules) {
    if ('filters' in rule) addMirrors(rule.filters)
    for (const backend of rule.backends) {
      targets.push(backend.target)
      addMirrors(backend.filters)
    }
  }
  return targets.filter((target) => target.kind === 'service')
}
