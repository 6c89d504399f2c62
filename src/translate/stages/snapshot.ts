import { isDeepStrictEqual } from 'node:util'
import type { Pod } from '../../api/core.ts'
import type { ResourceSet } from '../../api/resources.ts'
import { edited } from '../../model/edited.ts'
import { entryKey, speakersKey, type Entry, type EntryKey, type ServiceEntry, type WorkloadEntry } from '../../model/entries.ts'
import { namespacedName } from '../../model/refs.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { Warning } from '../../model/status.ts'
import { endpointsEntry, sliceWarnings, type EndpointsView } from '../endpoints.ts'
import { meshLabel } from '../labels.ts'
import { createListReading, createReading, createSameList, createSorting, keepEqual, keepLast, keepMap, perObject } from '../memo.ts'
import { tableEntry, type Table, type Tables } from '../merge.ts'
import type { FixedOptions } from '../options.ts'
import { compareNames, compareText } from '../order.ts'
import { serviceEntry, type ServiceInfo, type ServiceView } from '../services.ts'
import { waypointAddresses, type AddressSources } from '../waypoint-addresses.ts'
import { waypointEntry } from '../waypoints.ts'
import { workloadEntry, type WorkloadView } from '../workloads.ts'
import { createPolicyStage, type Policies } from './policies.ts'
import type { Services } from './services.ts'
import type { AllWaypoints } from './waypoints.ts'

/** What a snapshot is made from. */
export interface SnapshotParts {
  readonly services: Pick<Services, 'byKey' | 'sorted'>
  readonly waypoints: AllWaypoints
  readonly tables: Tables
  /** Those that are not as they were at the last time. */
  readonly changedTables: ReadonlySet<EntryKey>
  readonly sources: AddressSources
}

interface SnapshotResult {
  readonly snapshot: Snapshot
  readonly policies: Policies
  readonly warnings: readonly Warning[]
}

/** An entry with its key, which is made once: thousands of them are put into a Map for each change. */
type Pair = readonly [EntryKey, Entry]

/** Makes the snapshot; entries of what did not change are the same objects as before. */
export function createSnapshotStage(fixed: FixedOptions): (resources: ResourceSet, parts: SnapshotParts) => SnapshotResult {
  const endpoints = createEndpointsSection(fixed)
  const tables = createTablesSection()
  const services = createServicesSection()
  const waypoints = createWaypointsSection(fixed)
  const workloads = createWorkloadsSection(fixed)
  const readPolicies = createPolicyStage(fixed)
  const guarded = { tables: createAdding(), services: createAdding(), workloads: createAdding() }
  const policyPair = perObject(({ key, entry }: Policies['entries'][number]): Pair => [key, entry])
  const speakersPair = perObject((entry: Entry): Pair => [speakersKey, entry])
  const readMembers = createMemberStage()
  const enrolments = createEnrolmentsSection(fixed)
  const join = createJoin()
  return (resources, parts) => {
    const { Pod, Namespace } = resources
    const members = readMembers(Namespace)
    const { pairs, warnings } = endpoints(parts.services.sorted, parts.sources.slices, Pod, members)
    const [ofTables, ofServices, ofWorkloads] = [tables(parts.tables), services(parts), workloads(Pod, members)]
    const policies = readPolicies({ resources, services: parts.services, waypoints: parts.waypoints, tables: parts.tables, endpoints: pairs, workloads: ofWorkloads })
    const byName = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string => namespacedName(namespace, name)
    // Sections stand in the order of their keys' first word.
    const snapshot = join([
      pairs,
      enrolments(members),
      policies.entries.map(policyPair),
      guarded.tables(ofTables, policies.tables, ([key]) => key, (facts) => facts),
      guarded.services(ofServices, policies.services, ([, entry]) => byName(entry as ServiceEntry), (facts) => facts),
      policies.speakers === undefined ? none : [speakersPair(policies.speakers)],
      waypoints(parts),
      guarded.workloads(ofWorkloads, policies.pods, ([, entry]) => byName(entry as WorkloadEntry), (facts) => facts),
    ])
    return { snapshot, policies, warnings }
  }
}

/**
 * Adds to entries what policies say of them. The same fact about the same entry gives the same pair as before; without facts the
 * section stays as it is.
 */
function createAdding(): <Fact extends object>(
  pairs: readonly Pair[], facts: ReadonlyMap<string, Fact>, nameOf: (pair: Pair) => string, fieldsOf: (fact: Fact) => object,
) => readonly Pair[] {
  const known = new WeakMap<Pair, { readonly fact: object; readonly pair: Pair }>()
  return (pairs, facts, nameOf, fieldsOf) => {
    if (facts.size === 0) return pairs
    return pairs.map((pair) => {
      const fact = facts.get(nameOf(pair))
      if (fact === undefined) return pair
      const found = known.get(pair)
      if (found?.fact === fact) return found.pair
      const made: Pair = [pair[0], { ...pair[1], ...fieldsOf(fact) }]
      known.set(pair, { fact, pair: made })
      return made
    })
  }
}

/** Puts sections together; entries that came out equal to those before stay the same objects, so that whoever compares need not look into them. */
function createJoin(): (sections: readonly (readonly Pair[])[]) => Snapshot {
  let snapshot: Snapshot = new Map()
  let last: readonly (readonly Pair[])[] = []
  const kept = ([key, entry]: Pair): Entry => {
    const old = snapshot.get(key)
    return old !== undefined && isDeepStrictEqual(old, entry) ? old : entry
  }
  return (sections) => {
    const changes = changedPairs(last, sections)
    last = sections
    if (changes === undefined) {
      snapshot = new Map(sections.flatMap((section) => section.map((pair): Pair => [pair[0], kept(pair)])))
      return snapshot
    }
    const real = changes.map((pair): Pair => [pair[0], kept(pair)]).filter(([key, entry]) => snapshot.get(key) !== entry)
    if (real.length > 0) snapshot = edited(snapshot, real)
    return snapshot
  }
}

/** Pairs that are other ones than before, under the same keys in the same order; undefined: some keys came or went. */
function changedPairs(before: readonly (readonly Pair[])[], now: readonly (readonly Pair[])[]): readonly Pair[] | undefined {
  const changed: Pair[] = []
  for (const [which, section] of now.entries()) {
    const old = before[which]
    if (old === section) continue
    if (old?.length !== section.length) return undefined
    for (let at = 0; at < section.length; at++) {
      const pair = section[at]
      if (pair === undefined || pair === old[at]) continue
      if (pair[0] !== old[at]?.[0]) return undefined
      changed.push(pair)
    }
  }
  return changed
}

/** Namespaces with the mesh label. */
type Members = ReadonlyMap<string, true>

function createMemberStage(): (namespaces: ResourceSet['Namespace']) => Members {
  let members: Members = new Map()
  return keepLast((namespaces) => {
    const now = [...namespaces.values()].filter(({ metadata }) => metadata.labels?.[meshLabel] === 'enabled')
    members = keepMap(members, new Map(now.map(({ metadata }) => [metadata.name, true as const])))
    return members
  })
}

/** Namespaces that agents must know before their first pod comes. */
function createEnrolmentsSection({ nodeAgent }: FixedOptions): (members: Members) => readonly Pair[] {
  return keepLast((members: Members) =>
    nodeAgent === 'reported' ? [...members.keys()].sort(compareText).map((name): Pair => [`enrolment/${name}/${name}`, { kind: 'enrolment', namespace: name, name }]) : none)
}

type EndpointsSection = (
  ...args: [readonly ServiceInfo[], AddressSources['slices'], ResourceSet['Pod'], Members]
) => { readonly pairs: readonly Pair[]; readonly warnings: readonly Warning[] }

function createEndpointsSection(fixed: FixedOptions): EndpointsSection {
  const read = createListReading((service: ServiceInfo, view: EndpointsView) => ({
    pair: pairOf(endpointsEntry(service, view, fixed)),
    warnings: sliceWarnings(service, view.slices(service.key)),
  }))
  let before: AddressSources['slices'] = new Map()
  return keepLast((services, slices, pods, members) => {
    const view: EndpointsView = { slices: (service) => slices.get(service) ?? none, pod: (key) => pods.get(key), inMesh: (namespace) => members.has(namespace) }
    const old = before
    before = slices
    const results = read(services, view, [pods, members], ({ key }) => slices.get(key) !== old.get(key))
    return { pairs: results.map(({ pair }) => pair).filter((pair) => pair !== undefined), warnings: results.flatMap(({ warnings }) => warnings) }
  })
}

const none: readonly never[] = []

function createTablesSection(): (tables: Tables) => readonly Pair[] {
  const sort = createSorting<Table>((a, b) => compareText(a.key, b.key))
  const read = perObject((table: Table) => pairOf(tableEntry(table)))
  const keep = createKeeping()
  return (tables) => keep(sort(tables).values.map(read))
}

function createServicesSection(): (parts: SnapshotParts) => readonly Pair[] {
  const read = createListReading((service: ServiceInfo, view: ServiceView) => pairOf(serviceEntry(service, view)))
  const keep = createKeeping()
  return ({ services, waypoints, tables, changedTables }) => {
    const view: ServiceView = {
      waypoint: (namespace) => waypoints.serving.get(namespace)?.name,
      routeKind: (key) => {
        const table = tables.get(key)
        return table?.waypoint === undefined ? undefined : table.routes[0].route.kind
      },
    }
    return keep(read(services.sorted, view, [waypoints.serving], ({ ports }) => ports.some(({ producerKey }) => changedTables.has(producerKey))))
  }
}

function createWaypointsSection({ trustDomain }: FixedOptions): (parts: SnapshotParts) => readonly Pair[] {
  let before: Snapshot = new Map()
  const keep = createKeeping()
  const pairFor = perObject((entry: Entry): Pair => [entryKey(entry), entry])
  return ({ waypoints, sources }) => {
    const entries = [...waypoints.active.values()].map((waypoint) => waypointEntry(waypoint, trustDomain, waypointAddresses(waypoint, sources)))
    before = keepEqual(before, new Map(entries.map((entry): Pair => [entryKey(entry), entry]).sort(([a], [b]) => compareText(a, b))))
    return keep([...before.values()].map(pairFor))
  }
}

function createWorkloadsSection(fixed: FixedOptions): (pods: ResourceSet['Pod'], members: Members) => readonly Pair[] {
  const sort = createSorting<Pod>(compareNames)
  const read = createReading((pod: Pod, view: WorkloadView) => pairOf(workloadEntry(pod, view, fixed)))
  const keep = createKeeping()
  return keepLast((pods, members) => {
    const view: WorkloadView = { inMesh: (namespace) => members.has(namespace) }
    return keep(sort(pods).values.map((pod) => read(pod, view)))
  })
}

function pairOf(entry: Entry | undefined): Pair | undefined {
  return entry === undefined ? undefined : [entryKey(entry), entry]
}

/** Leaves out what is no entry; the same entries are the same list. */
function createKeeping(): (pairs: readonly (Pair | undefined)[]) => readonly Pair[] {
  const keep = createSameList<Pair>()
  return (pairs) => keep(pairs.filter((pair) => pair !== undefined))
}
