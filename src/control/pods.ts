import type { Pod } from '../api/core.ts'

/** Whether a pod takes new work: it is ready and not on its way out. */
export function isReadyPod(pod: Pod): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false
  return (pod.status?.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True')
}
