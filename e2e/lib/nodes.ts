import { run } from './command.ts'
import type { Kube } from './kube.ts'
import type { KubeObject } from './objects.ts'

/** The first process of a container, as its node sees it. */
export interface NodeProcess {
  /** On kind a node is a container of that name. */
  readonly node: string
  readonly pid: number
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

/**
 * Finds a container's first process by its cgroup, for which every node has what it takes.
 * @throws if the pod's container does not run
 */
export async function processOf(kube: Kube, namespace: string, pod: string, container: string): Promise<NodeProcess> {
  const { spec: { nodeName: node }, status } = (await kube.get('Pod', namespace, pod)) as unknown as RunningPod
  const id = status.containerStatuses?.find(({ name }) => name === container)?.containerID?.replace(/^\w+:\/\//, '')
  const look = `for each in /proc/[0-9]*; do grep -qs '${id ?? ''}' $each/cgroup && grep -qs 'NSpid:.*[[:space:]]1$' $each/status && echo \${each#/proc/}; done; true`
  const [pid = ''] = id === undefined ? [] : (await run('docker', ['exec', node, 'sh', '-c', look])).stdout.trim().split('\n')
  if (pid === '') throw new Error(`container ${container} of ${namespace}/${pod} does not run`)
  return { node, pid: Number(pid) }
}

/** Sends a signal to a container's process; its pod stays, and the kubelet starts the container anew. */
export async function signalProcess({ node, pid }: NodeProcess, signal: 'TERM' | 'KILL'): Promise<void> {
  await run('docker', ['exec', node, 'kill', `-${signal}`, String(pid)])
}

/** What runs `command` in a container by way of its node; a program and its arguments. */
export function insideOf({ node, pid }: NodeProcess, command: readonly string[]): readonly [program: string, args: readonly string[]] {
  return ['docker', ['exec', '-i', node, 'nsenter', '--target', String(pid), '--all', '--', ...command]]
}

/** How often a container of a pod was started anew. */
export function restartsOf(pod: KubeObject, container: string): number {
  return (pod as unknown as RunningPod).status.containerStatuses?.find(({ name }) => name === container)?.restartCount ?? 0
}

/** What a shell on a node says. */
export async function onNode(node: string, script: string): Promise<string> {
  return (await run('docker', ['exec', node, 'sh', '-c', script])).stdout
}

/** Runs a script of a pod's node in the network namespace of the pod, as root of the node may. */
export async function inPodNetwork(kube: Kube, namespace: string, pod: string, container: string, script: string): Promise<string> {
  const { node, pid } = await processOf(kube, namespace, pod, container)
  return onNode(node, `nsenter --net=/proc/${pid}/ns/net sh -c '${script}'`)
}
