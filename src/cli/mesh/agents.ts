import type { Pod } from '../../api/core.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { install, ports } from '../../model/install.ts'
import type { AgentDump } from '../../node/dump.ts'
import { isCapturable, meshLabel } from '../../translate/labels.ts'
import { inParallel, readPage, readPods, type Asking, type MeshPod } from './pods.ts'

/** Selects the agents' pods. */
export const agentSelector = 'app.kubernetes.io/name=waymark,app.kubernetes.io/component=agent'

/** An agent's pod, and what the agent on its node says of itself. */
export interface AgentPod extends MeshPod {
  /** Undefined: it could not be read. */
  readonly dump: AgentDump | undefined
}

/** The agents of a cluster. */
export interface AgentFacts {
  /** Undefined: there is none. */
  readonly daemonSet: KubeObject | undefined
  /** Nodes that shall have an agent, and that have one that is ready, as the DaemonSet's status says. */
  readonly desired: number
  readonly ready: number
  readonly pods: readonly AgentPod[]
}

/** Reads what agents there are and asks each. @throws {KubeError} if the pods of the namespace may not be listed */
export async function readAgents(asking: Asking, namespace: string): Promise<AgentFacts> {
  const daemonSet = await readDaemonSet(asking.client, namespace, () => asking.note({
    message: 'on which nodes agents should be is not known: you may not get daemonsets', advice: `ask for that right in namespace ${namespace}`,
  }))
  const { desiredNumberScheduled: desired = 0, numberReady: ready = 0 } = (daemonSet?.['status'] ?? {}) as { readonly desiredNumberScheduled?: number; readonly numberReady?: number }
  // Agents that retire have nothing to tell.
  const retire = argsOf(daemonSet).includes('--retire')
  const found = await readPods(retire ? { ...asking, note: () => {} } : asking, `/api/v1/namespaces/${namespace}/pods`, agentSelector)
  const pods = await inParallel(found, 8, async (pod): Promise<AgentPod> => ({ ...pod, dump: !retire && (pod.ready || pod.metrics !== undefined) ? await readDump(asking, pod) : undefined }))
  return { daemonSet, desired, ready, pods }
}

/** The agents' DaemonSet; undefined: there is none, or `onForbidden` was told. */
export async function readDaemonSet(client: KubeClient, namespace: string, onForbidden: () => void = () => {}): Promise<KubeObject | undefined> {
  try {
    return await client.read({ apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name: install.agent })
  } catch (error) {
    if (!isStatus(error, 403)) throw error
    onForbidden()
    return undefined
  }
}

/** What the agent of a pod's node knows and does. While one agent replaces another, the older one answers. */
export async function readDump(asking: Asking, pod: { readonly namespace: string; readonly name: string }): Promise<AgentDump | undefined> {
  const text = await readPage(asking, pod, ports.admin, '/dump')
  return text === undefined ? undefined : (JSON.parse(text) as AgentDump)
}

/** Arguments of the first container of a Deployment's or DaemonSet's pods. */
export function argsOf(owner: KubeObject | undefined): readonly string[] {
  const spec = (owner?.['spec'] ?? {}) as { readonly template?: { readonly spec?: { readonly containers?: readonly { readonly args?: readonly string[] }[] } } }
  return spec.template?.spec?.containers?.[0]?.args ?? []
}

/** Whether controllers were told that there are agents. */
export function knowsAgents(deployment: KubeObject | undefined): boolean {
  return argsOf(deployment).includes('--node-agent')
}

/** Why no agent shall capture a pod, in words; undefined: one shall. @param inMesh whether a namespace has the mesh label */
export function whyLeftAlone(pod: Pod, inMesh: (namespace: string) => boolean): string | undefined {
  const { namespace = '', labels } = pod.metadata
  if (!inMesh(namespace)) return `namespace ${namespace} is not labelled ${meshLabel}=enabled`
  if (!isCapturable(pod)) return 'it is a waypoint, which speaks mutual TLS itself'
  if (labels?.[meshLabel] === 'disabled') return `it is labelled ${meshLabel}=disabled`
  return pod.spec?.hostNetwork === true ? 'it is on the host\'s network' : undefined
}
