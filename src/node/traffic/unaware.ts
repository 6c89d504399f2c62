import type { WorkloadEntry } from '../../model/entries.ts'
import { clientHeader, routesHeader, type TunnelFacts } from '../../policy/speaker.ts'
import type { PodConfig } from './view.ts'

/**
 * How long waypoints may take to hear of the first policy of a pod's port, milliseconds. Until it has heard, a waypoint shares its connections to the pod
 * among clients and does not say who they are: judged as its own they would be refused, and with them requests that the policy allows.
 */
export const unawareMs = 1_000

/** Whether policies or waypoints guard one of a pod's ports. */
function isGuarded({ policies = [], ports = [] }: WorkloadEntry, port: number): boolean {
  const guard = ports.find((each) => each.port === port)
  return policies.length > 0 || (guard !== undefined && (guard.policies.length > 0 || (guard.routePolicies ?? []).length > 0 || guard.onlyVia !== undefined))
}

/** Whether a port of the pod is guarded now that was not before. */
export function isNewlyGuarded(before: WorkloadEntry, now: WorkloadEntry): boolean {
  if ((before.policies ?? []).length > 0) return false
  return (now.policies ?? []).length > 0 || (now.ports ?? []).some(({ port }) => isGuarded(now, port) && !isGuarded(before, port))
}

/**
 * Whether a tunnel is that of a waypoint which may not have heard yet that the port is guarded. It is let in as before: a waypoint judges by the same policies
 * as soon as it has them, and says from then on for whom it comes. Nobody else is.
 */
export function isUnaware({ before, view }: PodConfig, { peerId, headers }: TunnelFacts, port: number): boolean {
  return before !== undefined && headers[clientHeader] === undefined && headers[routesHeader] === undefined && view.speakers.has(peerId) && !isGuarded(before, port)
}
