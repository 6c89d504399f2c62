import { printable } from '../../kit/printable.ts'

/** The part of a Pod's status that tells how it is. Source: core/v1 PodStatus. */
export interface PodStatus {
  readonly phase?: string
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
  readonly containerStatuses?: readonly ContainerStatus[]
}

interface ContainerStatus {
  readonly ready: boolean
  readonly image?: string
  readonly restartCount?: number
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } }
  readonly lastState?: { readonly terminated?: { readonly exitCode?: number; readonly reason?: string } }
}

/** Why a pod's containers do not run, in words; undefined: they run, ready or not. */
export function troubleOf({ conditions, containerStatuses = [] }: PodStatus): string | undefined {
  const scheduled = conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False') return `no node takes it: ${printable(scheduled.message ?? 'unknown')}`
  return containerStatuses.map(troubleOfContainer).find((each) => each !== undefined)
}

function troubleOfContainer({ ready, image = '', state, lastState }: ContainerStatus): string | undefined {
  const { reason = '', message = '' } = state?.waiting ?? {}
  if (/^(?:ErrImage|ImagePull|InvalidImage)/.test(reason)) return `${reason}: the image ${printable(image)} can not be had; push it, load it into the cluster, or name another`
  const ended = lastState?.terminated
  if (ended !== undefined && !ready) return `it ended with code ${ended.exitCode ?? '?'}${reason === '' ? '' : ` (${printable(reason)})`}; kubectl logs --previous says why`
  if (reason === 'ContainerCreating') return 'its container is being made; if that lasts, kubectl describe says what it waits for'
  return reason === '' ? undefined : printable(`${reason} ${message}`.trim())
}
