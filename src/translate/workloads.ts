import type { Pod } from '../api/core.ts'
import type { WorkloadEntry } from '../model/entries.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { isCapturable, isEnrolled, isMember } from './labels.ts'
import type { FixedOptions } from './options.ts'

/** The SPIFFE id under which a pod speaks. */
export function podIdentity(pod: Pod, trustDomain: string): string {
  return formatSpiffeId({ trustDomain, namespace: pod.metadata.namespace ?? '', serviceAccount: serviceAccountOf(pod) })
}

/** What an entry of a pod is made from, besides the pod. */
export type WorkloadView = {
  readonly inMesh: (namespace: string) => boolean
}

/**
 * The entry of a pod that can be reached: it has an address and is not over. Without a node agent none is reached by HBONE. A pod of a mesh
 * namespace has its entry as soon as it has a node: it may not start before that one's agent knows whether to capture it.
 */
export function workloadEntry(pod: Pod, view: WorkloadView, { trustDomain, nodeAgent }: FixedOptions): WorkloadEntry | undefined {
  const addresses = podAddresses(pod)
  const capture = nodeAgent === 'reported' && isEnrolled(pod, view.inMesh) && isCapturable(pod) && pod.spec?.nodeName !== undefined
  const awaited = nodeAgent === 'reported' && pod.spec?.nodeName !== undefined && view.inMesh(pod.metadata.namespace ?? '')
  if (isOver(pod) || (addresses.length === 0 && !awaited)) return undefined
  return {
    kind: 'workload',
    namespace: pod.metadata.namespace ?? '',
    name: pod.metadata.name,
    addresses,
    serviceAccount: serviceAccountOf(pod),
    identity: podIdentity(pod, trustDomain),
    enrolled: isMember(pod, view.inMesh, nodeAgent),
    ...(pod.spec?.nodeName === undefined ? {} : { node: pod.spec.nodeName }),
    ...(nodeAgent === 'reported' && pod.metadata.uid !== undefined ? { uid: pod.metadata.uid, capture } : {}),
  }
}

/** Whether a pod has ended for good; its address may already be another pod's. */
export function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

function serviceAccountOf(pod: Pod): string {
  const name = pod.spec?.serviceAccountName
  return name === undefined || name === '' ? 'default' : name
}

/** Every address of a pod, lower case, the first one first; empty while it has none. */
export function podAddresses(pod: Pick<Pod, 'status'>): readonly string[] {
  const all = [pod.status?.podIP ?? '', ...(pod.status?.podIPs ?? []).map(({ ip }) => ip)]
  return [...new Set(all.filter((ip) => ip !== '').map((ip) => ip.toLowerCase()))]
}
