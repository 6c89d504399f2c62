import { endpointsKey, serviceKey, speakersKey, type Entry, type EntryKey, type RouteTableEntry } from '../model/entries.ts'
import type { BackendTarget, Filter } from '../model/route.ts'
import type { Snapshot } from '../model/snapshot.ts'

/** Who asks for configuration, and so what it may see. */
export type Subscriber =
  /** A waypoint: its namespace's Services, routes and policies, and what those routes send traffic to. */
  | { readonly kind: 'waypoint'; readonly namespace: string }
  /** A workload's entry to the mesh: every destination, but of the routes only its own namespace's consumer level. */
  | { readonly kind: 'entry'; readonly namespace: string }
  /** A node's agent: every destination and every workload, and for which Service ports namespaces have consumer routes. */
  | { readonly kind: 'agent'; readonly namespace: string }
  /** Another controller: no configuration, but what the subscribers of this one have acknowledged. */
  | { readonly kind: 'controller'; readonly namespace: string }

/** The part of `snapshot` that `subscriber` needs and may see; entries keep their object identity. */
export function slice(snapshot: Snapshot, subscriber: Subscriber): Snapshot {
  const referenced = new Set<EntryKey>()
  if (subscriber.kind === 'waypoint') {
    for (const entry of snapshot.values()) for (const key of referencesOf(entry, subscriber.namespace)) referenced.add(key)
  }
  return new Map([...snapshot].filter(([key, entry]) => isIn(subscriber, entry) || referenced.has(key)).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

/** Whether an entry is in the subscriber's slice for its own sake, not because a route refers to it. */
export function isIn({ kind, namespace }: Subscriber, entry: Entry): boolean {
  switch (kind) {
    case 'waypoint':
      return entry.kind !== 'workload' && entry.kind !== 'enrolment' && entry.namespace === namespace
    case 'entry':
      if (entry.kind === 'policy' || entry.kind === 'speakers' || entry.kind === 'enrolment') return false
      return entry.kind !== 'routes' || (entry.level === 'consumer' && entry.namespace === namespace)
    case 'agent':
      return entry.kind !== 'routes' || entry.level === 'consumer'
    case 'controller':
      return false
  }
}

const references = new WeakMap<RouteTableEntry, readonly EntryKey[]>()

const speakers: readonly EntryKey[] = [speakersKey]

/** Keys that come into the slice of the waypoint of `namespace` because this entry sends traffic there, or needs them to judge; some twice. */
export function referencesOf(entry: Entry | undefined, namespace: string): readonly EntryKey[] {
  if (entry?.kind === 'service' && entry.guard !== undefined && entry.namespace === namespace) return speakers
  if (entry?.kind !== 'routes' || entry.namespace !== namespace) return []
  let found = references.get(entry)
  if (found === undefined) {
    found = [entry.service, ...targetsOf(entry)].flatMap((each) => [serviceKey(each.namespace, each.name), endpointsKey(each.namespace, each.name)])
    found = [...found, ...(entry.via ?? [])]
    references.set(entry, found)
  }
  return found
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
