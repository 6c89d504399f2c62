import { isReadyPod } from './pods.ts'
import type { Pod } from '../api/core.ts'
import type { ResourceSet } from '../api/resources.ts'
import type { WaypointEntry } from '../model/entries.ts'
import { gatewayNameLabel } from '../model/install.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'

/** What one connected waypoint pod runs. */
export interface Holding {
  readonly namespace: string
  readonly pod: string
  /** Content hash of the slice that it acknowledged last. */
  readonly hash: string
}

/** Which waypoints run the present configuration. */
export interface Programmed {
  /** At least one pod is ready, and every ready pod holds the present configuration. */
  readonly ready: ReadonlySet<NamespacedName>
  /** Waypoints whose ready pods do not all hold it yet: worth a short wait. */
  readonly behind: ReadonlySet<NamespacedName>
}

/**
 * Judges what pods acknowledged against what they should run.
 * @param expected the content hash of a namespace's slice now
 */
export function programmed(
  waypoints: Iterable<WaypointEntry>,
  resources: ResourceSet,
  holdings: Iterable<Holding>,
  expected: (namespace: string) => string | undefined,
): Programmed {
  const held = new Map<string, Set<string>>()
  for (const { namespace, pod, hash } of holdings) {
    const key = namespacedName(namespace, pod)
    const hashes = held.get(key) ?? new Set()
    held.set(key, hashes.add(hash))
  }
  const pods = waypointPods(resources)
  const ready = new Set<NamespacedName>()
  const behind = new Set<NamespacedName>()
  for (const { namespace, name } of waypoints) {
    const key = namespacedName(namespace, name)
    const wanted = expected(namespace)
    const able = (pods.get(key) ?? []).filter(isReadyPod)
    if (able.length === 0 || wanted === undefined) continue
    const all = able.every((pod) => held.get(namespacedName(namespace, pod.metadata.name))?.has(wanted) === true)
    ;(all ? ready : behind).add(key)
  }
  return { ready, behind }
}

/** What was found among pods: they are many, and of most changes none is about them. */
const found = new WeakMap<ResourceSet['Pod'], ReadonlyMap<NamespacedName, readonly Pod[]>>()

/** The pods of each waypoint, by `namespace/name` of its Gateway. */
export function waypointPods({ Pod }: ResourceSet): ReadonlyMap<NamespacedName, readonly Pod[]> {
  const known = found.get(Pod) ?? podsByWaypoint(Pod)
  found.set(Pod, known)
  return known
}

function podsByWaypoint(all: ResourceSet['Pod']): ReadonlyMap<NamespacedName, readonly Pod[]> {
  const pods = new Map<NamespacedName, Pod[]>()
  for (const pod of all.values()) {
    const gateway = pod.metadata.labels?.[gatewayNameLabel]
    if (gateway === undefined) continue
    const key = namespacedName(pod.metadata.namespace ?? '', gateway)
    const list = pods.get(key)
    if (list === undefined) pods.set(key, [pod])
    else list.push(pod)
  }
  return pods
}
