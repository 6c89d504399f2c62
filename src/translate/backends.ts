import type { BackendObjectReference, BackendRef } from '../api/routes.ts'
import { namespacedName } from '../model/refs.ts'
import type { BackendTarget, Filter, RuleId, WeightedBackend } from '../model/route.ts'
import { problem, type Problem, type RuleDraft } from './rules.ts'
import type { PortInfo, ServiceInfo } from './services.ts'

const gatewayGroup = 'gateway.networking.k8s.io'

/** Protocols that a route of this kind can not speak to a backend. Source: GEP-1911; TLS is not originated without a BackendTLSPolicy. */
const unusable: Readonly<Record<RuleId['routeKind'], ReadonlySet<string>>> = {
  HTTPRoute: new Set(['tcp', 'tls', 'https', 'kubernetes.io/wss', 'mongo', 'mysql', 'postgres', 'postgresql', 'redis']),
  GRPCRoute: new Set(['tcp', 'tls', 'https', 'kubernetes.io/ws', 'kubernetes.io/wss', 'mongo', 'mysql', 'postgres', 'postgresql', 'redis']),
  TLSRoute: new Set(),
  TCPRoute: new Set(),
}

/** The backends of a rule with their weights; an unusable one keeps its share, which is answered with 500. */
export function backendsOf<Ref extends BackendRef>(
  draft: RuleDraft,
  refs: readonly Ref[] | undefined,
  filtersOf: (ref: Ref) => readonly Filter[],
): readonly WeightedBackend[] {
  return (refs ?? []).map((ref) => ({ target: backendTarget(draft, ref), weight: ref.weight ?? 1, filters: filtersOf(ref) }))
}

/** Where a backendRef leads. In another namespace too: a mesh route gives its caller nothing that it could not reach by itself. */
export function backendTarget(draft: RuleDraft, ref: BackendObjectReference): BackendTarget {
  return resolve(draft, ref, 'backend')
}

/**
 * Where a mirror leads. Copies carry the callers' requests to somebody whom they did not address, so that in another namespace
 * it takes a ReferenceGrant. An unusable mirror stays in the rule with an invalid target: the copies go nowhere, the status says why.
 */
export function mirrorTarget(draft: RuleDraft, ref: BackendObjectReference): BackendTarget {
  const namespace = ref.namespace ?? draft.id.namespace
  if (namespace !== draft.id.namespace && isService(ref) && !isGranted(draft, namespace, ref.name)) {
    const grant = `a ReferenceGrant in namespace ${namespace} from ${draft.id.routeKind} of namespace ${draft.id.namespace}`
    return invalid(draft, 'RefNotPermitted', `mirror to Service ${namespace}/${ref.name} needs ${grant}`)
  }
  return resolve(draft, ref, 'mirror')
}

function resolve(draft: RuleDraft, ref: BackendObjectReference, use: 'backend' | 'mirror'): BackendTarget {
  if (!isService(ref)) {
    const kind = ref.group === undefined || ref.group === '' ? (ref.kind ?? 'Service') : `${ref.group}/${ref.kind ?? 'Service'}`
    return invalid(draft, 'InvalidKind', `${use} ${ref.name} is of kind ${kind}; only Services can be backends`)
  }
  const key = namespacedName(ref.namespace ?? draft.id.namespace, ref.name)
  const service = draft.mesh.service(key)
  if (service === undefined) return invalid(draft, 'BackendNotFound', `${use} Service ${key} does not exist`)
  if (service.type === 'external') {
    return invalid(draft, 'InvalidKind', `${use} Service ${key} is of type ExternalName, which has no endpoints in the cluster`)
  }
  if (service.type === 'waypoint') {
    return invalid(draft, 'InvalidKind', `${use} Service ${key} was made for the waypoint of its name, which is no backend`)
  }
  if (ref.port === undefined) return invalid(draft, 'BackendNotFound', `${use} Service ${key} needs a port`)
  const port = service.ports.find((each) => each.port === ref.port)
  if (port === undefined) {
    if (service.otherPorts.has(ref.port)) return invalid(draft, 'UnsupportedProtocol', `${use} Service ${key} port ${ref.port} is not TCP`)
    return invalid(draft, 'BackendNotFound', `${use} Service ${key} has no port ${ref.port}`)
  }
  if (!isUsable(draft, service, port)) {
    const why = `has appProtocol ${port.appProtocol ?? ''}, which is no protocol for the backends of ${draft.id.routeKind}s`
    return invalid(draft, 'UnsupportedProtocol', `${use} Service ${key} port ${port.port} ${why}`)
  }
  return { kind: 'service', namespace: service.namespace, name: service.name, port: port.port }
}

/** A port's name only hints at its protocol, its `appProtocol` states it, and a route attached to the port outranks both. */
function isUsable({ id, ownPorts }: RuleDraft, service: ServiceInfo, port: PortInfo): boolean {
  if (port.appProtocol === undefined || ownPorts.has(`${service.key}:${port.port}`)) return true
  return !unusable[id.routeKind].has(port.appProtocol.toLowerCase())
}

function isService({ group = '', kind = 'Service' }: BackendObjectReference): boolean {
  return kind === 'Service' && (group === '' || group === 'core')
}

/** Source: ReferenceGrant. */
function isGranted({ mesh, id }: RuleDraft, namespace: string, name: string): boolean {
  for (const { spec } of mesh.grants(namespace)) {
    const from = spec.from.some((each) => each.group === gatewayGroup && each.kind === id.routeKind && each.namespace === id.namespace)
    const to = spec.to.some((each) => each.group === '' && each.kind === 'Service' && [undefined, '', name].includes(each.name))
    if (from && to) return true
  }
  return false
}

function invalid(draft: RuleDraft, reason: Problem['reason'], message: string): BackendTarget {
  problem(draft, reason, message)
  return { kind: 'invalid', reason: 'invalid-backend', detail: message }
}
