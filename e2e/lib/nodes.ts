import { run } from './command.ts'
import type { Kube } from './kube.ts'
import type { KubeObject } from './objects.ts'

/** A container as its node knows it. */
export interface NodeContainer {
  /** On kind a node is a container of that name. */
  readonly node: string
  readonly id: string
}

interface RunningPod {
  readonly spec: { readonly nodeName: string }
  readonly status: { readonly containerStatuses?: readonly ContainerStatus[] }
}

interface ContainerStatus {
  readonly name: string
  readonly containerID?: string
  readonly restartCount: number
}

/** @throws if the pod's container does not run */
export async function containerOf(kube: Kube, namespace: string, pod: string, container: string): Promise<NodeContainer> {
  const { spec, status } = (await kube.get('Pod', namespace, pod)) as unknown as RunningPod
  const id = status.containerStatuses?.find(({ name }) => name === container)?.containerID?.replace(/^\w+:\/\//, '')
  if (id === undefined) throw new Error(`container ${container} of ${namespace}/${pod} does not run`)
  return { node: spec.nodeName, id }
}

/** Runs `crictl` on a node. */
export async function onNode(node: string, args: readonly string[], timeoutMs = 60_000): Promise<string> {
  return (await run('docker', ['exec', node, 'crictl', ...args], { timeoutMs })).stdout
}

/**
 * Ends a container's process; its pod stays, and the kubelet starts the container anew.
 * @param graceSeconds from SIGTERM to SIGKILL; 0: SIGKILL at once
 */
export async function stopContainer({ node, id }: NodeContainer, graceSeconds: number): Promise<void> {
  await onNode(node, ['stop', '--timeout', String(graceSeconds), id], (graceSeconds + 60) * 1000)
}

/** How often a container of a pod was started anew. */
export function restartsOf(pod: KubeObject, container: string): number {
  return (pod as unknown as RunningPod).status.containerStatuses?.find(({ name }) => name === container)?.restartCount ?? 0
}
