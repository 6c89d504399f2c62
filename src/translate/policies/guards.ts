import type { Pod } from '../../api/core.ts'
import type { Endpoint, EndpointsEntry, EntryKey } from '../../model/entries.ts'
import type { PortGuard, RouteGuard, ServiceGuard } from '../../model/policy.ts'
import { namespacedName, type NamespacedName } from '../../model/refs.ts'
import { matchesSelector } from '../listeners.ts'
import { compareText } from '../order.ts'
import type { ServiceInfo } from '../services.ts'
import type { ReadPolicy } from './read.ts'

/** Everything in one namespace that policies can be about. */
export interface NamespaceView {
  readonly namespace: string
  /** In name order. */
  readonly policies: readonly ReadPolicy[]
  /** Destinations, with their endpoints. */
  readonly services: readonly { readonly info: ServiceInfo; readonly endpoints: EndpointsEntry }[]
  readonly pods: readonly GuardedPod[]
  /** The active waypoint. */
  readonly waypoint: { readonly key: NamespacedName; readonly name: string; readonly identity: string } | undefined
  /** Tables of routes of the namespace. */
  readonly tables: readonly RouteTableView[]
}

export interface GuardedPod {
  readonly pod: Pod
  readonly key: NamespacedName
  readonly addresses: readonly string[]
  /** Whether an agent stands before it. */
  readonly member: boolean
  /** Whether its addresses are the node's, which other pods have as well, and the kubelet. */
  readonly onHost: boolean
}

export interface RouteTableView {
  readonly key: EntryKey
  readonly service: NamespacedName
  readonly level: 'producer' | 'consumer'
  /** `kind/name` of the routes in it. */
  readonly routes: readonly string[]
}

/** What policies mean for a Service. */
export interface ServiceFacts {
  readonly guard?: ServiceGuard
  readonly closed?: string
}

/** What they mean for a pod. */
export interface PodFacts {
  readonly policies?: readonly EntryKey[]
  readonly ports?: readonly PortGuard[]
  readonly closed?: 'all' | readonly number[]
}

/** What they mean for all of a namespace. */
export interface Guards {
  readonly services: ReadonlyMap<NamespacedName, ServiceFacts>
  readonly pods: ReadonlyMap<NamespacedName, PodFacts>
  readonly tables: ReadonlyMap<EntryKey, readonly RouteGuard[]>
}

/** Whether a Service's traffic passes the waypoint of its namespace. */
export function isServed({ info }: NamespaceView['services'][number], waypoint: NamespaceView['waypoint']): boolean {
  return waypoint !== undefined && info.type === 'virtual' && !info.atL4
}

const closedReason = 'policies guard it, it has no waypoint, and not all of its pods are in the mesh, so nothing enforces them'

/** Works out where each policy of a namespace is enforced, and what is closed because nothing enforces it. */
export function guardsOf(view: NamespaceView): Guards {
  const { policies, services, pods, waypoint } = view
  const byAddress = new Map(pods.filter(({ onHost }) => !onHost).flatMap((each) => each.addresses.map((address) => [address, each] as const)))
  const byKey = new Map(pods.map((each) => [each.key, each]))
  const podOf = (endpoint: Endpoint): GuardedPod | undefined =>
    byAddress.get(endpoint.address) ?? (endpoint.pod === undefined ? undefined : byKey.get(namespacedName(view.namespace, endpoint.pod)))
  const ofTarget = targetsOf(policies)
  const selecting = policies.filter(({ object }) => object.spec.selector !== undefined)
  const selects = (policy: ReadPolicy, each: GuardedPod | undefined): boolean =>
    each !== undefined && policy.object.spec.selector !== undefined && matchesSelector(policy.object.spec.selector, each.pod.metadata.labels ?? {})
  const onRoutes = routesOf(view, ofTarget)

  const ofPods = new Map<NamespacedName, readonly ReadPolicy[]>()
  for (const each of pods) ofPods.set(each.key, [...ofTarget.everything, ...selecting.filter((policy) => selects(policy, each))])
  const ports = new Map<NamespacedName, Map<number, PortDraft>>()
  /** `address|port` of endpoints that are not in the mesh and that policies guard. */
  const plain = new Set<string>()

  const drafts = services.map((service) => {
    const { info, endpoints } = service
    const served = isServed(service, waypoint)
    const whole = [...ofTarget.everything, ...(ofTarget.services.get(info.name) ?? []), ...(served && waypoint !== undefined ? (ofTarget.gateways.get(waypoint.name) ?? []) : [])]
    const ofRoutes = onRoutes.byService.get(info.key) ?? []
    const via = served && waypoint !== undefined && (ofRoutes.some(enforced) || whole.some((policy) => policy.http && enforced(policy))) ? waypoint.identity : undefined
    const guarded = new Set<EntryKey>()
    for (const port of endpoints.ports) {
      for (const endpoint of port.endpoints) {
        const found = podOf(endpoint)
        const own = found === undefined ? [] : (ofPods.get(found.key) ?? [])
        for (const { key } of own) guarded.add(key)
        if (endpoint.transport.kind === 'plain' && [...whole, ...ofRoutes, ...own].some(enforced)) plain.add(`${endpoint.address}|${endpoint.port}`)
        if (found === undefined) continue
        const draft = portDraft(ports, found.key, endpoint.port)
        draft.servicePorts.add(port.port)
        // What guards all of the pod is not said again for each port.
        for (const policy of whole) if (!own.includes(policy)) draft.policies.add(policy.key)
        for (const { key } of ofRoutes) draft.routePolicies.add(key)
        draft.enforcing ||= [...whole, ...ofRoutes].some(enforced)
        if (via !== undefined) draft.onlyVia.add(via)
      }
    }
    return { service, served, whole, ofRoutes, selected: selectedBy(service, selecting, (policy, endpoint) => selects(policy, podOf(endpoint))) }
  })

  const facts = new Map<NamespacedName, ServiceFacts>()
  for (const { service: { info, endpoints }, served, whole, ofRoutes, selected } of drafts) {
    const all = endpoints.ports.flatMap((port) => port.endpoints)
    const judgedByAgents = all.some((endpoint) => {
      const found = endpoint.transport.kind === 'hbone' ? podOf(endpoint) : undefined
      return found !== undefined && ((ofPods.get(found.key)?.length ?? 0) > 0 || isGuarding(ports.get(found.key)?.get(endpoint.port)))
    })
    const policyKeys = sorted([...whole, ...selected.full])
    const partial = sorted(selected.partial)
    const guard: ServiceGuard | undefined = policyKeys.length === 0 && partial.length === 0 && ofRoutes.length === 0 && !judgedByAgents ? undefined : {
      policies: policyKeys,
      ...(partial.length === 0 ? {} : { partial }),
      ...(judgedByAgents ? { judgedByAgents } : {}),
    }
    const closed = !served && all.some(({ address, port }) => plain.has(`${address}|${port}`))
    if (guard !== undefined || closed) facts.set(info.key, { ...(guard === undefined ? {} : { guard }), ...(closed ? { closed: closedReason } : {}) })
  }
  return { services: facts, pods: podFacts(pods, ofPods, ports), tables: onRoutes.tables }
}

/** Audit policies close nothing. */
function enforced({ entry }: ReadPolicy): boolean {
  return entry.action !== 'audit'
}

interface PortDraft {
  readonly servicePorts: Set<number>
  readonly policies: Set<EntryKey>
  readonly routePolicies: Set<EntryKey>
  readonly onlyVia: Set<string>
  enforcing: boolean
}

function portDraft(ports: Map<NamespacedName, Map<number, PortDraft>>, pod: NamespacedName, port: number): PortDraft {
  const ofPod = ports.get(pod) ?? new Map<number, PortDraft>()
  ports.set(pod, ofPod)
  const found = ofPod.get(port) ?? { servicePorts: new Set(), policies: new Set(), routePolicies: new Set(), onlyVia: new Set(), enforcing: false }
  ofPod.set(port, found)
  return found
}

function isGuarding(draft: PortDraft | undefined): boolean {
  return draft !== undefined && draft.policies.size + draft.routePolicies.size > 0
}

/** Policies by what they are about. */
export interface Targets {
  readonly everything: readonly ReadPolicy[]
  /** By name. */
  readonly services: ReadonlyMap<string, readonly ReadPolicy[]>
  readonly gateways: ReadonlyMap<string, readonly ReadPolicy[]>
  /** By `kind/name`. */
  readonly routes: ReadonlyMap<string, readonly ReadPolicy[]>
}

function targetsOf(policies: readonly ReadPolicy[]): Targets {
  const everything: ReadPolicy[] = []
  const services = new Map<string, ReadPolicy[]>()
  const gateways = new Map<string, ReadPolicy[]>()
  const routes = new Map<string, ReadPolicy[]>()
  const add = (map: Map<string, ReadPolicy[]>, name: string, policy: ReadPolicy): void => {
    const list = map.get(name)
    if (list === undefined) map.set(name, [policy])
    else if (list.at(-1) !== policy) list.push(policy)
  }
  for (const policy of policies) {
    const { targetRefs, selector } = policy.object.spec
    if (targetRefs === undefined && selector === undefined) everything.push(policy)
    for (const { kind, name } of targetRefs ?? []) {
      if (kind === 'Service') add(services, name, policy)
      else if (kind === 'Gateway') add(gateways, name, policy)
      else add(routes, `${kind}/${name}`, policy)
    }
  }
  return { everything, services, gateways, routes }
}

function routesOf({ tables }: NamespaceView, { routes }: Targets): { readonly tables: Guards['tables']; readonly byService: ReadonlyMap<NamespacedName, readonly ReadPolicy[]> } {
  const guarded = new Map<EntryKey, readonly RouteGuard[]>()
  const byService = new Map<NamespacedName, ReadPolicy[]>()
  if (routes.size === 0) return { tables: guarded, byService }
  for (const { key, service, level, routes: inTable } of tables) {
    const found = inTable.flatMap((route) => (routes.has(route) ? [{ route, policies: sorted(routes.get(route) ?? []) }] : [])).sort((a, b) => compareText(a.route, b.route))
    if (found.length === 0) continue
    guarded.set(key, found)
    if (level === 'producer') byService.set(service, [...(byService.get(service) ?? []), ...found.flatMap(({ route }) => routes.get(route) ?? [])])
  }
  return { tables: guarded, byService }
}

/**
 * What policies of pods mean at the waypoint of a Service. Agents judge them pod by pod; the waypoint must let pass whom an Allow allows
 * beside the Service's own, and where there is no agent, or no other pod, it judges them itself.
 */
function selectedBy(
  { endpoints }: NamespaceView['services'][number],
  selecting: readonly ReadPolicy[],
  selects: (policy: ReadPolicy, endpoint: Endpoint) => boolean,
): { readonly full: readonly ReadPolicy[]; readonly partial: readonly ReadPolicy[] } {
  const full: ReadPolicy[] = []
  const partial: ReadPolicy[] = []
  const all = endpoints.ports.flatMap((port) => port.endpoints)
  for (const policy of selecting) {
    const selected = all.filter((endpoint) => selects(policy, endpoint))
    if (selected.length === 0) continue
    if (selected.length === all.length || selected.some(({ transport }) => transport.kind === 'plain')) full.push(policy)
    else if (policy.entry.action === 'allow') partial.push(policy)
  }
  return { full, partial }
}

function podFacts(
  pods: readonly GuardedPod[],
  ofPods: ReadonlyMap<NamespacedName, readonly ReadPolicy[]>,
  ports: ReadonlyMap<NamespacedName, ReadonlyMap<number, PortDraft>>,
): ReadonlyMap<NamespacedName, PodFacts> {
  const facts = new Map<NamespacedName, PodFacts>()
  for (const { key, member, onHost } of pods) {
    // What is said of it would be said of the node's address: nobody stands there, and whatever else has that address is none of its policies' business.
    if (onHost) continue
    const own = ofPods.get(key) ?? []
    // Rules about the ports of Services need to know which they are.
    const guards = [...(ports.get(key) ?? [])].filter(([, draft]) => own.length > 0 || isGuarding(draft) || draft.onlyVia.size > 0).sort(([a], [b]) => a - b).map(([port, draft]): PortGuard => ({
      port,
      servicePorts: [...draft.servicePorts].sort((a, b) => a - b),
      policies: [...draft.policies].sort(compareText),
      ...(draft.routePolicies.size === 0 ? {} : { routePolicies: [...draft.routePolicies].sort(compareText) }),
      ...(draft.onlyVia.size === 0 ? {} : { onlyVia: [...draft.onlyVia].sort(compareText) }),
    }))
    if (own.length === 0 && guards.length === 0) continue
    const closed = member ? undefined : own.some(enforced) ? 'all' : guards.map(({ port }) => port).filter((port) => ports.get(key)?.get(port)?.enforcing === true)
    facts.set(key, {
      ...(own.length === 0 ? {} : { policies: sorted(own) }),
      ...(guards.length === 0 ? {} : { ports: guards }),
      ...(closed === undefined || closed.length === 0 ? {} : { closed }),
    })
  }
  return facts
}

function sorted(policies: readonly ReadPolicy[]): readonly EntryKey[] {
  return [...new Set(policies.map(({ key }) => key))].sort(compareText)
}
