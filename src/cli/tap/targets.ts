import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { PodName } from '../../kube/port-forward.ts'
import { gatewayNameLabel, managedBy, managedByLabel } from '../../model/install.ts'
import type { TapFilter } from '../../telemetry/tap-filter.ts'
import { podAddresses } from '../../translate/workloads.ts'
import { agentSelector } from '../mesh/agents.ts'
import { UsageError } from '../usage.ts'

/** What somebody wants to look at. */
export type TapTarget =
  | { readonly kind: 'namespace'; readonly name: string }
  /** `namespace` undefined: that of the context. */
  | { readonly kind: 'pod' | 'service'; readonly namespace: string | undefined; readonly name: string }

/** A process that is asked. */
export interface TappedProcess {
  readonly role: 'waypoint' | 'agent'
  readonly pod: PodName
  readonly node: string | undefined
}

/** Whom to ask, and for what. */
export interface FoundTapped {
  readonly processes: readonly TappedProcess[]
  readonly filter: TapFilter
  /** What is not seen, a line each. */
  readonly notes: readonly string[]
}

/** Processes that are asked at a time at most. */
const mostProcesses = 64

/** Reads `NAMESPACE`, `pod/NAME` or `svc/NAME`. @param namespace that of `-n` @throws {UsageError} */
export function parseTapTarget(what: string, namespace: string | undefined): TapTarget {
  const [kind, name, ...rest] = what.split('/')
  const kinds = { pod: 'pod', po: 'pod', svc: 'service', service: 'service', ns: 'namespace', namespace: 'namespace' } as const
  if (name === undefined && kind !== undefined && kind !== '') return { kind: 'namespace', name: kind }
  const known = kinds[kind as keyof typeof kinds] as (typeof kinds)[keyof typeof kinds] | undefined
  if (known === undefined || name === undefined || name === '' || rest.length > 0) throw new UsageError(`${what} is neither a namespace nor pod/NAME or svc/NAME`)
  return known === 'namespace' ? { kind: known, name } : { kind: known, namespace, name }
}

interface PodItem {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly deletionTimestamp?: string }
  readonly spec?: { readonly nodeName?: string; readonly serviceAccountName?: string; readonly hostNetwork?: boolean }
  readonly status?: { readonly phase?: string; readonly podIP?: string; readonly podIPs?: readonly { readonly ip: string }[] }
}

/** @returns words that say why there is nothing to look at */
export async function findTapped(client: KubeClient, target: TapTarget): Promise<FoundTapped | string> {
  const notes: string[] = []
  const list = async (path: string, labelSelector: string | undefined): Promise<readonly PodItem[]> => {
    const { items } = (await client.get(path, labelSelector === undefined ? {} : { labelSelector })) as { readonly items: readonly PodItem[] }
    return items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === 'Running')
  }
  const everywhere = async (what: string, labelSelector: string): Promise<readonly PodItem[]> => {
    try {
      return await list('/api/v1/pods', labelSelector)
    } catch (error) {
      if (!isStatus(error, 403)) throw error
      notes.push(`what ${what} see is not shown: you may not list pods in all namespaces`)
      return []
    }
  }
  const namespace = target.kind === 'namespace' ? target.name : (target.namespace ?? client.namespace)
  const found = await placeOf(client, target, namespace, list)
  if (typeof found === 'string') return found
  const agents = await everywhere('agents', agentSelector)
  const waypoints = await everywhere('waypoints', `${managedByLabel}=${managedBy},${gatewayNameLabel}`)
  // The Service's clients may be on any node; a pod's connections pass its own.
  const near = agents.filter(({ spec }) => target.kind === 'service' || found.nodes.has(spec?.nodeName ?? ''))
  const all = [
    ...waypoints.filter(({ metadata }) => metadata.namespace === namespace).map((pod) => describe('waypoint', pod)),
    ...near.map((pod) => describe('agent', pod)),
    ...waypoints.filter(({ metadata }) => metadata.namespace !== namespace).map((pod) => describe('waypoint', pod)),
  ]
  if (all.length === 0) return `neither a waypoint nor an agent runs that could see anything of ${namespace}${notes.length === 0 ? '; see waymark status' : `: ${notes.join('; ')}`}`
  if (all.length > mostProcesses) notes.push(`only ${mostProcesses} of ${all.length} processes are asked, those of namespace ${namespace} first`)
  return { processes: all.slice(0, mostProcesses), filter: found.filter, notes }
}

function describe(role: TappedProcess['role'], { metadata: { namespace, name }, spec }: PodItem): TappedProcess {
  return { role, pod: { namespace, name }, node: spec?.nodeName }
}

interface Place {
  readonly filter: TapFilter
  readonly nodes: ReadonlySet<string>
}

async function placeOf(client: KubeClient, target: TapTarget, namespace: string, list: (path: string, labelSelector: string | undefined) => Promise<readonly PodItem[]>): Promise<Place | string> {
  const { name } = target
  switch (target.kind) {
    case 'namespace': {
      if ((await client.read({ apiVersion: 'v1', kind: 'Namespace', name })) === undefined) return `there is no namespace ${name}; write pod/NAME or svc/NAME for a pod or a Service`
      const pods = await list(`/api/v1/namespaces/${name}/pods`, undefined)
      return { filter: { namespace: name }, nodes: new Set(pods.flatMap(({ spec }) => spec?.nodeName ?? [])) }
    }
    case 'pod': {
      const pod = (await client.read({ apiVersion: 'v1', kind: 'Pod', namespace, name })) as unknown as PodItem | undefined
      if (pod === undefined) return `there is no pod ${namespace}/${name}; -n names another namespace`
      const account = pod.spec?.serviceAccountName ?? 'default'
      return { filter: { pod: `${namespace}/${name}`, addresses: podAddresses(pod), account: `${namespace}/${account}` }, nodes: new Set([pod.spec?.nodeName ?? '']) }
    }
    case 'service': {
      if ((await client.read({ apiVersion: 'v1', kind: 'Service', namespace, name })) === undefined) return `there is no Service ${namespace}/${name}; -n names another namespace`
      const { items } = (await client.get(`/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, { labelSelector: `kubernetes.io/service-name=${name}` })) as {
        readonly items: readonly { readonly endpoints?: readonly { readonly addresses: readonly string[] }[] | null }[]
      }
      return { filter: { service: `${namespace}/${name}`, addresses: items.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses)) }, nodes: new Set() }
    }
  }
}
