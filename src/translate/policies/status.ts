import { generationOf, namespaceOf } from '../../api/meta.ts'
import type { MTLSPolicy } from '../../api/policies.ts'
import { refOf } from '../../api/resources.ts'
import { namespacedName, type NamespacedName } from '../../model/refs.ts'
import { controllerName, type Condition, type ObjectStatus, type ParentRef } from '../../model/status.ts'
import { fails, holds, sentences, unknown } from '../conditions.ts'
import { waypointLabel } from '../labels.ts'
import { faultOf } from '../screen.ts'
import { isServed, type NamespaceView } from './guards.ts'
import { modeOf, type MtlsUse } from './mtls.ts'
import type { ReadPolicy } from './read.ts'

const gatewayGroup = 'gateway.networking.k8s.io'

/** What statuses of policies need to know besides the namespace. */
export interface PolicyStatusView {
  /** Whether every ready replica of a waypoint holds the present configuration; undefined: it is not known. */
  readonly ready: (waypoint: NamespacedName) => boolean | undefined
  /** See `waypointAdvice`. */
  readonly advice: (namespace: string) => string
  /** Whether there is a route of the kind, in the policy's namespace. */
  readonly hasRoute: (kind: string, key: NamespacedName) => boolean
}

type Service = NamespaceView['services'][number]

/** What one reference of a policy leads to. */
interface Reach {
  /** Why there is nothing to guard. */
  readonly missing?: string
  /** In words. */
  readonly scope: string
  readonly services: readonly Service[]
  /** Pods that are guarded as such. */
  readonly pods: readonly NamespaceView['pods'][number][]
  /** Only the waypoint can tell what is meant. */
  readonly byWaypoint: boolean
}

/** The status of an AuthorizationPolicy: one entry for each target, or one for its namespace. */
export function authorizationStatus(policy: ReadPolicy, view: NamespaceView, more: PolicyStatusView, selected: readonly NamespaceView['pods'][number][]): ObjectStatus {
  const { targetRefs, selector } = policy.object.spec
  const ancestors: readonly { readonly ref: ParentRef; readonly reach: Reach }[] =
    targetRefs === undefined
      ? [{
          ref: { group: '', kind: 'Namespace', name: view.namespace },
          reach: selector === undefined
            ? { scope: `everything in namespace ${view.namespace}`, services: view.services, pods: view.pods, byWaypoint: false }
            : { scope: `the pods that it selects, ${selected.length} now`, services: [], pods: selected, byWaypoint: false },
        }]
      : targetRefs.map(({ group, kind, name }) => ({ ref: { group, kind, namespace: view.namespace, name }, reach: reachOf(view, more, group, kind, name) }))
  return {
    kind: 'policy',
    ref: refOf(policy.object),
    ancestors: unique(ancestors).map(({ ref, reach }) => ({ ancestorRef: ref, controllerName, conditions: conditionsOf(policy, view, more, reach) })),
  }
}

function unique<T extends { readonly ref: ParentRef }>(ancestors: readonly T[]): readonly T[] {
  return [...new Map(ancestors.map((each) => [JSON.stringify(each.ref), each])).values()]
}

function reachOf(view: NamespaceView, more: PolicyStatusView, group: string, kind: string, name: string): Reach {
  const key = namespacedName(view.namespace, name)
  const nothing = { scope: '', services: [], pods: [], byWaypoint: false }
  if (kind === 'Service' && group === '') {
    const service = view.services.find(({ info }) => info.name === name)
    if (service === undefined) return { ...nothing, missing: `Service ${key} does not exist, or is no destination in the mesh` }
    return { ...nothing, scope: `Service ${key}`, services: [service] }
  }
  if (kind === 'Gateway' && group === gatewayGroup) {
    if (view.waypoint?.key !== key) return { ...nothing, missing: `Gateway ${key} is not the active waypoint of its namespace` }
    return { ...nothing, scope: `every Service behind waypoint ${key}`, services: view.services.filter((each) => isServed(each, view.waypoint)) }
  }
  if ((kind === 'HTTPRoute' || kind === 'GRPCRoute') && group === gatewayGroup) {
    if (!more.hasRoute(kind, key)) return { ...nothing, missing: `${kind} ${key} does not exist` }
    const tables = view.tables.filter(({ routes }) => routes.includes(`${kind}/${name}`))
    const served = new Set(tables.filter(({ level }) => level === 'producer').map(({ service }) => service))
    if (tables.length === 0) return { ...nothing, missing: `${kind} ${key} is attached to no Service` }
    return { ...nothing, scope: `requests that ${kind} ${key} serves`, services: view.services.filter(({ info }) => served.has(info.key)), byWaypoint: true }
  }
  return { ...nothing, missing: `${kind} of group "${group}" can be no target` }
}

function conditionsOf(policy: ReadPolicy, view: NamespaceView, more: PolicyStatusView, reach: Reach): readonly Condition[] {
  const generation = generationOf(policy.object)
  const accepted =
    reach.missing !== undefined ? fails('Accepted', 'TargetNotFound', reach.missing, generation)
    : policy.faults.length > 0 ? fails('Accepted', 'Invalid', `${sentences(policy.faults)}; such a rule allows nobody, or denies everybody`, generation)
    : holds('Accepted', 'Accepted', `Applies to ${reach.scope}`, generation)
  return [accepted, enforcement(policy, view, more, reach, generation)]
}

function enforcement(policy: ReadPolicy, view: NamespaceView, more: PolicyStatusView, reach: Reach, generation: number): Condition {
  const type = 'Enforced'
  if (reach.missing !== undefined) return fails(type, 'TargetNotFound', 'There is nothing that it could guard', generation)
  if (policy.httpOnPods.length > 0) {
    const what = policy.entry.action === 'allow' ? 'they allow nobody' : 'what they say of requests is left out, so that they mean more than they say'
    return fails(type, 'HttpOnPods', `${sentences(policy.httpOnPods)} speak of requests, which nobody reads before pods: ${what}`, generation)
  }
  const served = reach.services.filter((each) => isServed(each, view.waypoint))
  const others = reach.services.filter((each) => !isServed(each, view.waypoint))
  if ((policy.http || reach.byWaypoint) && others.length > 0) {
    const names = sentences(others.map(({ info }) => info.key), ', ')
    return fails(type, 'WaypointMissing', `No waypoint reads requests to ${names}, so what it says of them counts against every caller; ${adviceFor(others, view, more)}`, generation)
  }
  const closed = others.filter(({ endpoints }) => endpoints.ports.some((port) => port.endpoints.some(({ transport }) => transport.kind === 'plain')))
  if (closed.length > 0) {
    const names = sentences(closed.map(({ info }) => info.key), ', ')
    const effect = policy.entry.action === 'audit' ? 'nobody tells of what it is about' : 'nobody in the mesh may go there'
    return fails(type, 'NotInMesh', `Not all pods of ${names} are in the mesh and no waypoint stands before them: ${effect}`, generation)
  }
  const onHost = reach.pods.filter((each) => each.onHost).length
  const outside = reach.pods.filter(({ member }) => !member).length
  if (reach.services.length === 0 && onHost > 0) {
    const rest = outside === onHost ? '' : `; ${outside - onHost} more are not in the mesh`
    return fails(type, 'HostNetwork', `${onHost} of ${reach.pods.length} pods have the address of their node: nobody judges what comes to them there, and only what Services lead there can be kept away${rest}`, generation)
  }
  if (reach.services.length === 0 && outside > 0) {
    return fails(type, 'NotInMesh', `${outside} of ${reach.pods.length} pods are not in the mesh: nobody in the mesh may go to them directly, and nothing keeps others from it`, generation)
  }
  const { waypoint } = view
  const plain = outside > 0 || served.some(({ endpoints }) => endpoints.ports.some((port) => port.endpoints.some(({ transport }) => transport.kind === 'plain')))
  const but = plain ? '; some of its endpoints are not in the mesh: what comes to them from elsewhere is judged by nobody' : ''
  if (waypoint === undefined || (served.length === 0 && !reach.byWaypoint)) return holds(type, 'Enforced', `The agents of the pods' nodes enforce it${but}`, generation)
  const ready = more.ready(waypoint.key)
  if (ready === undefined) return unknown(type, 'Pending', `Waypoint ${waypoint.key} enforces it; what it holds is not known here`, generation)
  if (!ready) return fails(type, 'Pending', `Waypoint ${waypoint.key} does not hold the present configuration yet`, generation)
  return holds(type, 'Enforced', `Waypoint ${waypoint.key} enforces it${but}`, generation)
}

/** The one thing to do so that a waypoint stands before these Services. */
function adviceFor(services: readonly Service[], { namespace, waypoint }: NamespaceView, { advice }: PolicyStatusView): string {
  if (waypoint === undefined) return advice(namespace)
  const atL4 = services.find(({ info }) => info.atL4)
  return atL4 === undefined ? 'a headless Service can have none' : `to change that: kubectl label service -n ${namespace} ${atL4.info.name} ${waypointLabel}-`
}

/** The status of an MTLSPolicy, with one entry for its namespace. */
export function mtlsStatus(policy: MTLSPolicy, use: MtlsUse): ObjectStatus {
  const generation = generationOf(policy)
  const fault = faultOf(policy)
  const scope = { mesh: 'the whole mesh', namespace: `namespace ${namespaceOf(policy)}`, pods: 'the pods that it selects' }[use.scope]
  const accepted =
    fault !== undefined ? fails('Accepted', 'Invalid', `It can not be read, and counts as Strict: ${fault}`, generation)
    : use.behind !== undefined ? fails('Accepted', 'Conflicted', `MTLSPolicy ${use.behind} is older and speaks for ${scope} as well`, generation)
    : holds('Accepted', 'Accepted', `Speaks for ${scope}`, generation)
  return {
    kind: 'policy',
    ref: refOf(policy),
    ancestors: [{ ancestorRef: { group: '', kind: 'Namespace', name: namespaceOf(policy) }, controllerName, conditions: [accepted, mtlsEnforcement(policy, use, generation)] }],
  }
}

function mtlsEnforcement(policy: MTLSPolicy, { pods, decides, outside, behind }: MtlsUse, generation: number): Condition {
  if (behind !== undefined) return fails('Enforced', 'Overridden', `MTLSPolicy ${behind} counts in its place`, generation)
  if (pods > 0 && decides === 0) return fails('Enforced', 'Overridden', `For all ${pods} pods that it is about others count: more specific ones, or older ones`, generation)
  if (outside > 0 && modeOf(policy) === 'strict') return fails('Enforced', 'NotInMesh', `${outside} of ${decides} pods are not in the mesh, and take connections in plain all the same`, generation)
  return holds('Enforced', 'Enforced', `It counts for ${decides} of the ${pods} pods that it is about`, generation)
}
