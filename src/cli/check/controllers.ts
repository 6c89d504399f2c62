import { install } from '../../model/install.ts'
import { controllerSelector } from '../installation.ts'
import type { MeshFacts } from '../mesh/facts.ts'
import { versionOf, type MeshPod } from '../mesh/pods.ts'
import { count, failure, ok, warning, type Line } from './report.ts'

/** A Lease that was not renewed for so long has no holder any more, even if this machine's clock is off a little; milliseconds. */
const staleLeaseMs = 60_000

type Controllers = Pick<MeshFacts, 'deployment' | 'controllers' | 'lease'>

/** Whether the controllers run, and on how many nodes. */
export function judgeControllers({ deployment, controllers }: Controllers): readonly Line[] {
  const namespace = deployment?.metadata.namespace ?? install.namespace
  const { replicas: wanted = 1 } = (deployment?.['spec'] ?? {}) as { readonly replicas?: number }
  const ready = controllers.filter((pod) => pod.ready)
  const nodes = new Set(ready.map(({ node }) => node))
  const troubles = controllers.filter((pod) => !pod.ready).map(({ name, trouble }) => `${name}: ${trouble ?? 'it is not ready'}`)
  const see = `kubectl -n ${namespace} describe pods -l ${controllerSelector}; kubectl -n ${namespace} logs deployment/${install.controller}`
  const state = `${ready.length} of ${count(wanted, 'controller')} ${ready.length === 1 ? 'is' : 'are'} ready`
  if (ready.length === 0) {
    const consequence = 'waypoints serve on with what they have, changes have no effect, and certificates are not renewed'
    if (wanted === 0) return [failure(`the Deployment ${install.controller} is scaled to 0: ${consequence}`, `kubectl -n ${namespace} scale deployment ${install.controller} --replicas 2`)]
    return [failure(`${state}: ${consequence}`, `see ${see}`, controllers.length === 0 ? ['it has no pods: a quota or an admission policy may refuse them'] : troubles)]
  }
  if (ready.length < wanted) return [warning(state, `the others take over meanwhile; see ${see}`, troubles)]
  const [restarting] = controllers.filter(({ restarts }) => restarts >= 5)
  return [
    ok(`${state}, on ${count(nodes.size, 'node')}`),
    ...(wanted === 1 ? [warning('there is only one controller: while it restarts, changes have no effect', 'run two: waymark install --replicas 2 --apply, or controller.replicas of the chart')] : []),
    ...(restarting === undefined ? [] : [warning(`controller ${restarting.name} was restarted ${restarting.restarts} times`, `see kubectl -n ${namespace} logs ${restarting.name} --previous`)]),
  ]
}

/** Whether one of them holds the Lease. */
export function judgeLeader({ lease, controllers, deployment }: Controllers, nowMs: number): readonly Line[] {
  // A note of its own says so.
  if (lease === 'unknown') return []
  const namespace = deployment?.metadata.namespace ?? install.namespace
  const logs = `see kubectl -n ${namespace} logs deployment/${install.controller}, and kubectl -n ${namespace} get lease ${install.controller}`
  if (lease === undefined) return [failure('no controller leads: nothing is written, neither statuses nor waypoints', logs)]
  if (!controllers.some(({ name }) => name === lease.holder)) return [failure(`the controller that leads, ${lease.holder}, is gone, and no other has taken over`, `wait ${Math.ceil(lease.durationMs / 1000)} s and look again; if it stays so, ${logs}`)]
  if (!(nowMs - lease.renewedMs < staleLeaseMs)) {
    return [failure(`controller ${lease.holder} leads, but has not said so since ${Number.isNaN(lease.renewedMs) ? 'an unknown time' : new Date(lease.renewedMs).toISOString()}`, `if this machine's clock is right, ${logs}`)]
  }
  return [ok(`controller ${lease.holder} leads`)]
}

/** Whether this command, the controllers and the waypoints are of one version. */
export function judgeVersions({ controllers, waypoints = [] }: Pick<MeshFacts, 'controllers' | 'waypoints'>, own: string): readonly Line[] {
  const ofControllers = versionsOf(controllers)
  const pods = waypoints.flatMap((each) => each.pods)
  const ofWaypoints = versionsOf(pods)
  const lines: Line[] = []
  if (ofControllers.size > 1) lines.push(warning(`controllers are of several versions: ${[...ofControllers].sort().join(', ')}`, 'wait for the rollout to end; if it hangs, see why its pods are not ready'))
  const [version] = ofControllers
  if (ofControllers.size === 1 && version !== undefined && minorOf(version) !== minorOf(own)) {
    lines.push(warning(`this command is ${own}, the controllers are ${version}`, `use the command of ${version}: the image has it, and what it says of configurations may be wrong otherwise`))
  }
  const others = pods.filter((pod) => !ofControllers.has(versionOf(pod) ?? version ?? ''))
  if (ofWaypoints.size > 0 && ofControllers.size > 0 && others.length > 0) {
    lines.push(warning(`waypoints are of another version than the controllers (${[...ofControllers].sort().join(', ')})`, 'wait for their rollout to end, or see the image of their parameters',
      others.map((pod) => `${pod.namespace}/${pod.name}: ${versionOf(pod) ?? 'unknown'} (${pod.image})`)))
  }
  if (lines.length > 0) return lines
  if (version === undefined) return [ok(`this command is ${own}; the controllers do not tell of what version they are`)]
  return [ok(`this command${ofWaypoints.size === 0 ? ' and the controllers' : ', the controllers and the waypoints'} are of ${version === own ? `version ${own}` : `versions that fit (${own}, ${version})`}`)]
}

function versionsOf(pods: readonly MeshPod[]): ReadonlySet<string> {
  return new Set(pods.map(versionOf).filter((each) => each !== undefined))
}

function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.')
}
