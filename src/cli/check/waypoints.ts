import { help } from '../../control/findings.ts'
import type { StatusCondition } from '../../api/meta.ts'
import { gatewayNameLabel } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import { hashOf } from '../../publish/hash.ts'
import { slice } from '../../publish/slice.ts'
import type { Translation } from '../../translate/options.ts'
import type { MeshFacts, WaypointFacts } from '../mesh/facts.ts'
import type { MeshPod } from '../mesh/pods.ts'
import { count, failure, ok, warning, type Line } from './report.ts'

/** How long a waypoint may hear nothing of a controller, which speaks at least each half minute; seconds. */
const silenceSeconds = 300
/** How much of a certificate's life must be left, seconds: it is renewed at half of it. */
const certificateSeconds = 600

/** Whether each waypoint is accepted, runs, and runs the present configuration. */
export function judgeWaypoints(facts: Pick<MeshFacts, 'waypoints' | 'subscriptions' | 'allSubscriptions'>, translation: Pick<Translation, 'snapshot' | 'infra'>): readonly Line[] {
  if (facts.waypoints.length === 0) return [ok('no namespace has a waypoint yet: waymark waypoint apply NAMESPACE gives one')]
  return facts.waypoints.flatMap((waypoint) => judgeWaypoint(waypoint, facts.allSubscriptions ? facts.subscriptions : undefined, translation))
}

function judgeWaypoint(waypoint: WaypointFacts, subscriptions: MeshFacts['subscriptions'], { snapshot, infra }: Pick<Translation, 'snapshot' | 'infra'>): readonly Line[] {
  const { namespace, name, pods, gateway, conditions } = waypoint
  const key = namespacedName(namespace, name)
  const describe = `kubectl -n ${namespace} describe gateway ${name}`
  const generation = gateway.metadata.generation ?? 1
  const current = (type: string): StatusCondition | undefined => conditions.find((each) => each.type === type && (each.observedGeneration ?? generation) >= generation)
  const [accepted, programmed] = [current('Accepted'), current('Programmed')]
  if (accepted === undefined) return [failure(`${key}: no controller has judged the Gateway as it is now`, `see the controllers above; ${describe}`)]
  if (accepted.status !== 'True') return [failure(`${key}: ${inWords(accepted)}`, help[accepted.reason]?.advice ?? `correct what the message names; ${describe}`)]
  const isActive = infra.some((each) => each.namespace === namespace && each.name === name)
  const ready = pods.filter((pod) => pod.ready)
  const hash = isActive ? hashOf(slice(snapshot, { kind: 'waypoint', namespace })) : undefined
  const behind = ready.filter((pod) => hash !== undefined && subscriptions !== undefined && !holds(pod, subscriptions, hash))
  const lines = [
    ...(programmed?.status === 'True' ? [] : [failure(`${key}: ${programmed === undefined ? 'whether it is programmed is not told' : inWords(programmed)}`, adviceForPods(waypoint))]),
    ...judgePods(waypoint, ready),
    ...(behind.length === 0 ? [] : [failure(`${key}: ${count(behind.length, 'pod')} of ${ready.length} ready ones ${behind.length === 1 ? 'does' : 'do'} not run the present configuration`,
      `see what differs: waymark config-dump --diff -n ${namespace} ${behind[0]?.name ?? ''}; and kubectl -n ${namespace} logs ${behind[0]?.name ?? ''}`, behind.map((pod) => pod.name))]),
    ...pods.flatMap((pod) => judgePod(key, pod)),
  ]
  const held = subscriptions === undefined ? '' : ' and run the present configuration'
  return lines.length > 0 ? lines : [ok(`${key}: ${ready.length} of ${count(pods.length, 'pod')} are ready${held}`)]
}

function inWords({ type, status, reason, message }: StatusCondition): string {
  return `${type}=${status} (${reason}): ${message}`
}

function holds(pod: MeshPod, subscriptions: NonNullable<MeshFacts['subscriptions']>, hash: string): boolean {
  return subscriptions.some((each) => each.kind === 'waypoint' && each.namespace === pod.namespace && each.pod === pod.name && each.hash === hash)
}

function adviceForPods({ namespace, name }: WaypointFacts): string {
  return `kubectl -n ${namespace} get pods -l ${gatewayNameLabel}=${name}; kubectl -n ${namespace} describe gateway ${name}`
}

function judgePods(waypoint: WaypointFacts, ready: readonly MeshPod[]): readonly Line[] {
  const key = namespacedName(waypoint.namespace, waypoint.name)
  const troubles = waypoint.pods.filter((pod) => !pod.ready).map((pod) => `${pod.name}: ${pod.trouble ?? 'it is not ready'}`)
  if (waypoint.pods.length === 0) return [failure(`${key}: it has no pods`, `a quota or an admission policy may refuse them: kubectl -n ${waypoint.namespace} describe deployment ${waypoint.name}`)]
  if (ready.length === 0) return [failure(`${key}: none of its ${count(waypoint.pods.length, 'pod')} is ready, and traffic that needs it fails`, adviceForPods(waypoint), troubles)]
  return troubles.length === 0 ? [] : [warning(`${key}: ${ready.length} of ${count(waypoint.pods.length, 'pod')} are ready`, adviceForPods(waypoint), troubles)]
}

/** What a pod says of itself. */
function judgePod(key: string, { name, namespace, metrics }: MeshPod): readonly Line[] {
  if (metrics === undefined) return []
  const [connected, silence, expiry] = [metrics.value('waymark_controller_connected'), metrics.value('waymark_controller_silence_seconds'), metrics.value('waymark_certificate_expiry_seconds')]
  const logs = `see kubectl -n ${namespace} logs ${name}`
  const lines: Line[] = []
  if (connected === 0 && (silence ?? 0) > silenceSeconds) lines.push(failure(`${key}: pod ${name} has heard of no controller for ${Math.round(silence ?? 0)} s, and serves with what it has`, `can it reach waymark-controller on port 15012? A NetworkPolicy may be in the way; ${logs}`))
  if (expiry !== undefined && expiry <= 0) lines.push(failure(`${key}: the certificate of pod ${name} has ended: it serves nobody`, logs))
  else if (expiry !== undefined && expiry < certificateSeconds) lines.push(warning(`${key}: the certificate of pod ${name} ends in ${Math.round(expiry)} s and was not renewed`, logs))
  return lines
}
