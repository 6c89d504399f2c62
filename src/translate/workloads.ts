import type { Pod } from '../api/core.ts'
import type { WorkloadEntry } from '../model/entries.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { isEnrolled } from './labels.ts'
import type { FixedOptions } from './options.ts'

/** The SPIFFE id under which a pod speaks. */
export function podIdentity(pod: Pod, trustDomain: string): string {
  return formatSpiffeId({ trustDomain, namespace: pod.metadata.namespace ?? '', serviceAccount: serviceAccountOf(pod) })
}

/** What an entry of a pod is made from, besides the pod. */
export type WorkloadView = {
  readonly inMesh: (namespace: string) => boolean
}

/** The entry of a pod that can be reached: it has an address and is not over. Without a node agent none is reached by HBONE. */
export function workloadEntry(pod: Pod, view: WorkloadView, { trustDomain, nodeAgent }: FixedOptions): WorkloadEntry | undefined {
  const addresses = addressesOf(pod)
  if (isOver(pod) || addresses.length === 0) return undefined
  return {
    kind: 'workload',
    namespace: pod.metadata.namespace ?? '',
    name: pod.metadata.name,
    addresses,
    serviceAccount: serviceAccountOf(pod),
    identity: podIdentity(pod, trustDomain),
    enrolled: nodeAgent && isEnrolled(pod, view.inMesh),
    ...(pod.spec?.nodeName === undefined ? {} : { node: pod.spec.nodeName }),
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

function addressesOf(pod: Pod): readonly string[] {
  const all = [pod.status?.podIP ?? '', ...(pod.status?.podIPs ?? []).map(({ ip }) => ip)]
  return [...new Set(all.filter((ip) => ip !== '').map((ip) => ip.toLowerCase()))]
}
