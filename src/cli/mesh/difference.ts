import type { Entry, EntryKey } from '../../model/entries.ts'
import { delta, type Snapshot } from '../../model/snapshot.ts'
import { printable } from '../../kit/printable.ts'
import { KubeError } from '../../kube/errors.ts'
import type { PodName, PodPorts } from '../../kube/port-forward.ts'
import { ports } from '../../model/install.ts'

/** A snapshot of a large cluster takes its time, milliseconds. */
const snapshotTimeoutMs = 30_000

/** The configuration that a pod runs, as it says itself. @throws {KubeError} also if the pod answers with something else */
export async function readSnapshot(podPorts: PodPorts, pod: PodName): Promise<Snapshot> {
  const { status, text } = await podPorts.get(pod, ports.admin, '/snapshot', snapshotTimeoutMs)
  if (status !== 200) throw new KubeError(0, '', `pod ${pod.namespace}/${pod.name} answers ${status} on its admin port: ${printable(text.slice(0, 300))}`)
  const entries = Object.entries(JSON.parse(text) as Record<EntryKey, Entry>)
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Where a pod's configuration and the present one differ, by key. */
export interface Difference {
  /** Entries that the pod should not have. */
  readonly onlyInPod: Readonly<Record<EntryKey, Entry>>
  /** Entries that the pod lacks. */
  readonly onlyInCluster: Readonly<Record<EntryKey, Entry>>
  readonly different: Readonly<Record<EntryKey, { readonly pod: Entry; readonly cluster: Entry }>>
}

/** Compares what a pod runs with what it should. */
export function differenceOf(runs: Snapshot, wanted: Snapshot): Difference {
  // As JSON has it: absent and undefined are the same.
  const { put, remove } = delta(runs, new Map(Object.entries(JSON.parse(JSON.stringify(Object.fromEntries(wanted))) as Record<EntryKey, Entry>)))
  const different: Record<EntryKey, { readonly pod: Entry; readonly cluster: Entry }> = {}
  const onlyInCluster: Record<EntryKey, Entry> = {}
  for (const [key, cluster] of put) {
    const pod = runs.get(key)
    if (pod === undefined) onlyInCluster[key] = cluster
    else different[key] = { pod, cluster }
  }
  return { onlyInPod: Object.fromEntries([...runs].filter(([key]) => remove.includes(key))), onlyInCluster, different }
}

/** The keys of entries that differ, in order. */
export function keysOf({ onlyInPod, onlyInCluster, different }: Difference): readonly string[] {
  return [onlyInPod, onlyInCluster, different].flatMap((each) => Object.keys(each)).sort()
}
