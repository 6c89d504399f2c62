import { help } from '../../control/findings.ts'
import type { StatusCondition } from '../../api/meta.ts'
import { KubeError } from '../../kube/errors.ts'
import type { PodPorts } from '../../kube/port-forward.ts'
import { gatewayNameLabel } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import { hashOf } from '../../publish/hash.ts'
import { slice } from '../../publish/slice.ts'
import type { Translation } from '../../translate/options.ts'
import { differenceOf, keysOf, readSnapshot } from '../mesh/difference.ts'
import type { MeshFacts, WaypointFacts } from '../mesh/facts.ts'
import { inParallel, type MeshPod } from '../mesh/pods.ts'
import { count, failure, ok, some, warning, type Line } from './report.ts'

/** How long a waypoint may hear nothing of a controller, which speaks at least each half minute; seconds. */
const silenceSeconds = 300
/** How much of a certificate's life must be left, seconds: it is renewed at half of it. */
const certificateSeconds = 600

/** Pods that run another configuration than the present one, by `namespace/name`: the keys of what differs, as far as that is known. */
export type Behind = ReadonlyMap<string, readonly string[]>

/**
 * Finds the pods that are behind. The hashes that controllers know are compared first; a pod that seems behind is asked itself, for another
 * build than this command's may reckon hashes in another way.
 */
export async function findBehind({ waypoints, subscriptions, allSubscriptions }: Pick<MeshFacts, 'waypoints' | 'subscriptions' | 'allSubscriptions'>, { snapshot, infra }: Pick<Translation, 'snapshot' | 'infra'>, podPorts: PodPorts): Promise<Behind> {
  const behind = new Map<string, readonly string[]>()
  if (subscriptions === undefined || !allSubscriptions) return behind
  for (const { namespace, name, pods } of waypoints ?? []) {
    if (!infra.some((each) => each.namespace === namespace && each.name === name)) continue
    const wanted = slice(snapshot, { kind: 'waypoint', namespace })
    const hash = hashOf(wanted)
    const suspects = pods.filter((pod) => pod.ready && !subscriptions.some((each) => each.kind === 'waypoint' && each.namespace === namespace && each.pod === pod.name && each.hash === hash))
    await inParallel(suspects, 4, async (pod) => {
      const keys = await differingKeys(podPorts, pod, wanted)
      if (keys === undefined || keys.length > 0) behind.set(namespacedName(namespace, pod.name), keys ?? [])
    })
  }
  return behind
}

/** @returns undefined if the pod does not tell */
async function differingKeys(podPorts: PodPorts, pod: MeshPod, wanted: Snapshot): Promise<readonly string[] | undefined> {
  try {
    return keysOf(differenceOf(await readSnapshot(podPorts, pod), wanted))
  } catch (error) {
    if (error instanceof KubeError) return undefined
    throw error
  }
}

/** Whether each waypoint is accepted, runs, and runs the present configuration. */
export function judgeWaypoints({ waypoints = [], allSubscriptions }: Pick<MeshFacts, 'waypoints' | 'allSubscriptions'>, behind: Behind): readonly Line[] {
  if (waypoints.length === 0) return [ok('no namespace has a waypoint yet: waymark waypoint apply NAMESPACE gives one')]
  return waypoints.flatMap((waypoint) => judgeWaypoint(waypoint, behind, allSubscriptions))
}

function judgeWaypoint(waypoint: WaypointFacts, behind: Behind, isKnown: boolean): readonly Line[] {
  const { namespace, name, pods, gateway, conditions } = waypoint
  const key = namespacedName(namespace, name)
  const describe = `kubectl -n ${namespace} describe gateway ${name}`
  const generation = gateway.metadata.generation ?? 1
  const current = (type: string): StatusCondition | undefined => conditions.find((each) => each.type === type && (each.observedGeneration ?? generation) >= generation)
  const [accepted, programmed] = [current('Accepted'), current('Programmed')]
  if (accepted === undefined) return [failure(`${key}: no controller has judged the Gateway as it is now`, `see the controllers above; ${describe}`)]
  if (accepted.status !== 'True') return [failure(`${key}: ${inWords(accepted)}`, help[accepted.reason]?.advice ?? `correct what the message names; ${describe}`)]
  const ready = pods.filter((pod) => pod.ready)
  const lines = [
    ...(programmed?.status === 'True' ? [] : [failure(`${key}: ${programmed === undefined ? 'whether it is programmed is not told' : inWords(programmed)}`, adviceForPods(waypoint))]),
    ...judgePods(waypoint, ready),
    ...pods.flatMap((pod) => judgeConfiguration(key, pod, behind.get(namespacedName(namespace, pod.name)))),
    ...pods.flatMap((pod) => judgePod(key, pod)),
  ]
  const [are, run] = pods.length === 1 ? ['is', 'runs'] : ['are', 'run']
  return lines.length > 0 ? lines : [ok(`${key}: ${ready.length} of ${count(pods.length, 'pod')} ${are} ready${isKnown ? ` and ${run} the present configuration` : ''}`)]
}

function judgeConfiguration(key: string, { namespace, name }: MeshPod, differing: readonly string[] | undefined): readonly Line[] {
  if (differing === undefined) return []
  return [failure(`${key}: pod ${name} does not run the present configuration`, `see what differs: waymark config-dump --diff -n ${namespace} ${name}; and kubectl -n ${namespace} logs ${name}`, some(differing))]
}

function inWords({ type, status, reason, message }: StatusCondition): string {
  return `${type}=${status} (${reason}): ${message}`
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
