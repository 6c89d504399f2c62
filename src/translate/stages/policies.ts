import { isDeepStrictEqual } from 'node:util'
import type { MTLSPolicy } from '../../api/policies.ts'
import type { ResourceSet } from '../../api/resources.ts'
import { waypointKey, type EndpointsEntry, type Entry, type EntryKey, type RouteTableEntry, type SpeakersEntry, type WorkloadEntry } from '../../model/entries.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import { namespacedName, type NamespacedName } from '../../model/refs.ts'
import type { ObjectStatus } from '../../model/status.ts'
import { isCapturable } from '../labels.ts'
import { matchesSelector } from '../listeners.ts'
import { createGrouping, keepEqual, keepMap, perObject, sameItems } from '../memo.ts'
import type { Table, Tables } from '../merge.ts'
import type { FixedOptions } from '../options.ts'
import { compareNames, compareText } from '../order.ts'
import { guardsOf, type Guards, type GuardedPod, type NamespaceView, type PodFacts, type ServiceFacts } from '../policies/guards.ts'
import { mtlsModes, type MtlsMode, type MtlsModes } from '../policies/mtls.ts'
import { readPolicy, type ReadPolicy } from '../policies/read.ts'
import { targetsOf } from '../targets.ts'
import { authorizationStatus, mtlsStatus, type PolicyStatusView } from '../policies/status.ts'
import { isDestination, type ServiceInfo } from '../services.ts'
import type { Services } from './services.ts'
import type { AllWaypoints } from './waypoints.ts'

/** What policies are worked out from. */
export interface PolicyParts {
  readonly resources: ResourceSet
  readonly services: Pick<Services, 'byKey' | 'sorted'>
  readonly waypoints: AllWaypoints
  readonly tables: Tables
  /** Entries of endpoints and workloads. */
  readonly endpoints: readonly (readonly [EntryKey, Entry])[]
  readonly workloads: readonly (readonly [EntryKey, Entry])[]
}

/** What policies add to the snapshot; equal facts are the same objects as before. */
export interface Policies {
  /** In key order. */
  readonly entries: readonly ReadPolicy[]
  readonly services: ReadonlyMap<NamespacedName, ServiceFacts>
  readonly pods: ReadonlyMap<NamespacedName, PodFacts & { readonly mtls?: MtlsMode }>
  readonly tables: ReadonlyMap<EntryKey, TableFacts>
  /** Who may speak for others; undefined: nobody judges. */
  readonly speakers: SpeakersEntry | undefined
  /** In the order of kinds and names. */
  readonly statuses: (view: PolicyStatusView) => readonly ObjectStatus[]
}

/** What policies mean for a table of routes. */
export type TableFacts = Pick<RouteTableEntry, 'guards' | 'via'>

const none: readonly never[] = []
const noPolicies: Policies = { entries: none, services: new Map(), pods: new Map(), tables: new Map(), speakers: undefined, statuses: () => none }

interface Worked {
  readonly basis: readonly unknown[]
  readonly view: NamespaceView
  readonly guards: Guards
}

/** Works out policies, namespace by namespace: again only where something changed, and nothing at all while there are none. */
export function createPolicyStage(fixed: FixedOptions): (parts: PolicyParts) => Policies {
  const read = perObject(readPolicy)
  const byNamespace = {
    policies: createGrouping<ReadPolicy>(({ entry }) => entry.namespace, (a, b) => compareText(a.entry.name, b.entry.name)),
    services: createGrouping<ServiceInfo>(({ namespace }) => namespace, (a, b) => compareText(a.name, b.name)),
    endpoints: createGrouping<Entry>(({ namespace }) => namespace),
    pods: createGrouping<GuardedPod>(({ pod }) => pod.metadata.namespace ?? ''),
    tables: createGrouping<Table>(({ namespace }) => namespace),
  }
  const guarded = createGuardedPods()
  const podsOfAll = createGrouping<GuardedPod>(() => '')
  let worked: ReadonlyMap<string, Worked> = new Map()
  let before: Policies = noPolicies
  let modes: { readonly basis: readonly unknown[]; readonly value: MtlsModes } | undefined
  const writeStatuses = createPolicyStatuses()

  return ({ resources, services, waypoints, tables, endpoints, workloads }) => {
    const { AuthorizationPolicy, MTLSPolicy } = resources
    if (AuthorizationPolicy.size === 0 && MTLSPolicy.size === 0) {
      worked = new Map()
      before = noPolicies
      return noPolicies
    }
    const pods = guarded(resources.Pod, workloads)
    const entries = [...AuthorizationPolicy.values()].map(read).sort((a, b) => compareText(a.key, b.key))
    const groups = {
      policies: byNamespace.policies(new Map(entries.map((each) => [each.key, each]))),
      services: byNamespace.services(new Map(services.sorted.filter(isDestination).map((each) => [each.key, each]))),
      endpoints: byNamespace.endpoints(new Map(endpoints)),
      pods: byNamespace.pods(pods),
      tables: byNamespace.tables(tables),
    }
    const now = new Map<string, Worked>()
    for (const [namespace, policies] of groups.policies) {
      const [ownServices = none, ownEndpoints = none, ownPods = none, ownTables = none] =
        [groups.services.get(namespace), groups.endpoints.get(namespace), groups.pods.get(namespace), groups.tables.get(namespace)]
      const serving = waypoints.serving.get(namespace)
      const basis = [policies, ownServices, ownEndpoints, ownPods, ownTables, serving]
      const old = worked.get(namespace)
      if (old !== undefined && sameItems(old.basis, basis)) {
        now.set(namespace, old)
        continue
      }
      const entryOf = new Map((ownEndpoints as readonly EndpointsEntry[]).map((entry) => [entry.name, entry]))
      const view: NamespaceView = {
        namespace,
        policies,
        services: ownServices.flatMap((info) => {
          const found = entryOf.get(info.name)
          return found === undefined ? [] : [{ info, endpoints: found }]
        }),
        pods: ownPods,
        waypoint: serving === undefined ? undefined : { key: serving.key, name: serving.name, identity: formatSpiffeId({ trustDomain: fixed.trustDomain, namespace, serviceAccount: serving.name }) },
        tables: ownTables.map(({ key, service, level, routes }) => ({ key, service: service.key, level, routes: routes.map(({ route }) => `${route.kind}/${route.metadata.name}`) })),
      }
      now.set(namespace, { basis, view, guards: guardsOf(view) })
    }
    worked = now
    const all = [...now.values()]
    const mtlsBasis = [MTLSPolicy, podsOfAll(pods).get('') ?? none]
    if (modes === undefined || !sameItems(modes.basis, mtlsBasis)) {
      modes = { basis: mtlsBasis, value: mtlsModes([...MTLSPolicy.values()], [...pods.values()], fixed.rootNamespace) }
    }
    const { byPod, uses } = modes.value
    const merged = <T>(of: (guards: Guards) => ReadonlyMap<string, T>): Map<string, T> => new Map(all.flatMap(({ guards }) => [...of(guards)]))
    const ofPods = new Map<NamespacedName, PodFacts & { readonly mtls?: MtlsMode }>(merged((guards) => guards.pods))
    for (const [key, mtls] of byPod) ofPods.set(key, { ...ofPods.get(key), mtls })
    const ofServices = keepMap(before.services, keepEqual(before.services, merged((guards) => guards.services)))
    const ofTables = tableFacts(tables, merged((guards) => guards.tables), (key) => {
      const [namespace = ''] = key.split('/')
      const service = services.byKey.get(key)
      const serving = waypoints.serving.get(namespace)
      const judged = ofServices.get(key)?.guard !== undefined && service?.type === 'virtual' && !service.atL4
      return judged && serving !== undefined ? waypointKey(namespace, serving.name) : undefined
    })
    before = {
      entries: sameItems(before.entries, entries) ? before.entries : entries,
      services: ofServices,
      pods: keepMap(before.pods, keepEqual(before.pods, ofPods)),
      tables: keepMap(before.tables, keepEqual(before.tables, ofTables)),
      speakers: keep(before.speakers, AuthorizationPolicy.size === 0 ? undefined : speakersEntry(waypoints, fixed)),
      statuses: (view) => writeStatuses(all.map((each) => each.view), [...MTLSPolicy.values()].sort(compareNames), uses, view),
    }
    return before
  }
}

const foreignTargets = perObject((table: Table): readonly NamespacedName[] => {
  const targets = table.routes.flatMap(({ compiled }) => compiled.rules.flatMap((rule) => targetsOf(rule)))
  return [...new Set(targets.filter((target) => target.namespace !== table.namespace).map((target) => namespacedName(target.namespace, target.name)))]
})

/** Which tables policies are about, and which waypoints judge what tables send elsewhere. @param judgeOf key of the waypoint that judges what is sent to a Service */
function tableFacts(
  tables: Tables,
  guards: ReadonlyMap<EntryKey, NonNullable<TableFacts['guards']>>,
  judgeOf: (service: NamespacedName) => EntryKey | undefined,
): ReadonlyMap<EntryKey, TableFacts> {
  const facts = new Map<EntryKey, TableFacts>()
  for (const [key, table] of tables) {
    const own = guards.get(key)
    const via = [...new Set(foreignTargets(table).map(judgeOf).filter((each) => each !== undefined))].sort(compareText)
    if (own === undefined && via.length === 0) continue
    facts.set(key, { ...(own === undefined ? {} : { guards: own }), ...(via.length === 0 ? {} : { via }) })
  }
  return facts
}

function speakersEntry({ active }: AllWaypoints, { trustDomain }: FixedOptions): SpeakersEntry {
  const all = [...active.values()].map(({ namespace, name }) => [formatSpiffeId({ trustDomain, namespace, serviceAccount: name }), namespace] as const)
  return { kind: 'speakers', namespace: '', name: 'mesh', waypoints: Object.fromEntries(all.sort(([a], [b]) => compareText(a, b))) }
}

/** `now`, or the equal object before it. */
function keep<T>(before: T, now: T): T {
  return isDeepStrictEqual(before, now) ? before : now
}

/** Pods with what their workload entries say; what did not change stays the same object. */
function createGuardedPods(): (pods: ResourceSet['Pod'], workloads: PolicyParts['workloads']) => ReadonlyMap<NamespacedName, GuardedPod> {
  let before: ReadonlyMap<NamespacedName, GuardedPod> = new Map()
  const sources = new WeakMap<GuardedPod, Entry>()
  return (pods, workloads) => {
    const now = new Map<NamespacedName, GuardedPod>()
    for (const [, entry] of workloads as readonly (readonly [EntryKey, WorkloadEntry])[]) {
      const key = namespacedName(entry.namespace, entry.name)
      const pod = pods.get(key)
      // Policies are about applications, not about the mesh itself.
      if (pod === undefined || !isCapturable(pod)) continue
      const old = before.get(key)
      if (old?.pod === pod && sources.get(old) === entry) {
        now.set(key, old)
        continue
      }
      const { addresses, enrolled } = entry
      const made: GuardedPod = { pod, key, addresses, member: enrolled, onHost: pod.spec?.hostNetwork === true }
      sources.set(made, entry)
      now.set(key, made)
    }
    before = now
    return now
  }
}

function createPolicyStatuses(): (views: readonly NamespaceView[], mtls: readonly MTLSPolicy[], uses: MtlsModes['uses'], more: PolicyStatusView) => readonly ObjectStatus[] {
  let before: ReadonlyMap<string, ObjectStatus> = new Map()
  return (views, mtls, uses, more) => {
    const now = new Map<string, ObjectStatus>()
    for (const view of [...views].sort((a, b) => compareText(a.namespace, b.namespace))) {
      for (const policy of view.policies) {
        const { selector } = policy.object.spec
        const selected = selector === undefined ? none : view.pods.filter(({ pod }) => matchesSelector(selector, pod.metadata.labels ?? {}))
        now.set(policy.key, authorizationStatus(policy, view, more, selected))
      }
    }
    for (const policy of mtls) {
      const use = uses.get(policy)
      if (use !== undefined) now.set(`mtls/${policy.metadata.namespace ?? ''}/${policy.metadata.name}`, mtlsStatus(policy, use))
    }
    before = keepEqual(before, now)
    return [...before.values()]
  }
}
