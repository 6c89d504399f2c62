import { versionOf, type MeshPod } from './pods.ts'

/** A pod of the mesh as `status` shows it. */
export interface PodRecord {
  readonly pod: string
  readonly ready: boolean
  readonly version: string | undefined
  readonly image: string
  readonly node: string | undefined
  readonly restarts: number
  readonly trouble: string | undefined
}

/** What is shown of every pod. */
export function describePod(pod: MeshPod): PodRecord {
  const { name, ready, image, node, restarts, trouble } = pod
  return { pod: name, ready, version: versionOf(pod), image, node, restarts, trouble }
}

/** Whether it is ready, in a word, or why not. */
export function readiness(pod: Pick<PodRecord, 'ready' | 'trouble'>): string {
  return pod.ready ? 'yes' : `no: ${pod.trouble ?? 'unknown'}`
}
