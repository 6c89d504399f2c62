import type { Gateway, GatewayClass } from '../../api/gateway.ts'
import type { StatusCondition } from '../../api/meta.ts'
import { parseInfo, type CaInfo } from '../../control/ca/info.ts'
import { caNames } from '../../control/ca/names.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { collectionPath, pathInfo } from '../../kube/paths.ts'
import type { PodPorts } from '../../kube/port-forward.ts'
import { gatewayNameLabel, install, managedBy, managedByLabel, ports } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import { findServed } from '../../sources/kube/served.ts'
import { waypointClass } from '../../translate/waypoints.ts'
import { controllerSelector } from '../installation.ts'
import { readAgents, type AgentFacts } from './agents.ts'
import { inParallel, readPage, readPods, type Asking, type MeshPod, type Note } from './pods.ts'

/** What one subscriber of a controller runs, as that controller says. */
export interface Subscription {
  /** Pod of the controller. */
  readonly controller: string
  readonly kind: string
  readonly namespace: string
  readonly pod: string
  /** Content hash of the configuration that it acknowledged last; '' : none yet. */
  readonly hash: string
}

/** A waypoint: its Gateway and its pods. */
export interface WaypointFacts {
  readonly namespace: string
  readonly name: string
  readonly gateway: KubeObject
  readonly conditions: readonly StatusCondition[]
  readonly addresses: readonly string[]
  readonly pods: readonly MeshPod[]
}

/** What runs of the mesh in a cluster. */
export interface MeshFacts {
  /** The controller's Deployment; undefined: the mesh is not installed in this namespace. */
  readonly deployment: KubeObject | undefined
  readonly controllers: readonly MeshPod[]
  /** Who leads; undefined: nobody. `unknown`: it may not be read. */
  readonly lease: { readonly holder: string; readonly renewedMs: number; readonly durationMs: number } | 'unknown' | undefined
  /** Undefined: no controller could be asked. */
  readonly subscriptions: readonly Subscription[] | undefined
  /** Whether every controller that runs told of its subscribers: only then does one that is missing there run nothing. */
  readonly allSubscriptions: boolean
  /** Undefined: they may not be listed. */
  readonly waypoints: readonly WaypointFacts[] | undefined
  readonly agents: AgentFacts
  readonly ca: CaInfo | undefined
  /** What could not be read. */
  readonly notes: readonly Note[]
}

/**
 * Reads what runs.
 * @throws {KubeError} if the installation's own namespace can not be read
 */
export async function readFacts(client: KubeClient, podPorts: PodPorts, namespace: string): Promise<MeshFacts> {
  const notes = new Map<string, Note>()
  const asking: Asking = { client, podPorts, note: (note) => void notes.set(note.message, note) }
  const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: install.controller })
  const [controllers, lease, waypoints, agents, ca] = await Promise.all([
    readPods(asking, `/api/v1/namespaces/${namespace}/pods`, controllerSelector),
    readLease(asking, namespace),
    readWaypoints(asking),
    readAgents(asking, namespace),
    readCa(client, namespace),
  ])
  const told = await readSubscriptions(asking, controllers)
  const known = told.filter((each) => each !== undefined)
  return {
    deployment, controllers, lease, waypoints, agents, ca,
    subscriptions: known.length === 0 ? undefined : known.flat(),
    allSubscriptions: told.length > 0 && known.length === told.length,
    notes: [...notes.values()],
  }
}

async function readLease({ client, note }: Asking, namespace: string): Promise<MeshFacts['lease']> {
  let lease: KubeObject | undefined
  try {
    lease = await client.read({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name: install.controller })
  } catch (error) {
    if (!isStatus(error, 403)) throw error
    note({ message: 'which controller leads is not known', advice: `ask for the right to get leases in namespace ${namespace}` })
    return 'unknown'
  }
  const { holderIdentity = '', renewTime = '', leaseDurationSeconds = 15 } = (lease?.['spec'] ?? {}) as { readonly holderIdentity?: string; readonly renewTime?: string; readonly leaseDurationSeconds?: number }
  return holderIdentity === '' ? undefined : { holder: holderIdentity, renewedMs: Date.parse(renewTime), durationMs: leaseDurationSeconds * 1000 }
}

/** The CA's own account, which holds no keys. */
async function readCa(client: KubeClient, namespace: string): Promise<CaInfo | undefined> {
  const configMap = await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
  return parseInfo((configMap?.['data'] as Readonly<Record<string, string>> | undefined)?.[caNames.infoKey])
}

async function readWaypoints(asking: Asking): Promise<readonly WaypointFacts[] | undefined> {
  const gateways = await listGateways(asking)
  if (gateways === undefined || gateways.length === 0) return gateways === undefined ? undefined : []
  const pods = await readPods(asking, '/api/v1/pods', `${managedByLabel}=${managedBy},${gatewayNameLabel}`)
  return gateways.map((gateway) => {
    const { namespace = '', name } = gateway.metadata
    const status = gateway['status'] as Gateway['status']
    return {
      namespace, name, gateway,
      conditions: status?.conditions ?? [],
      addresses: (status?.addresses ?? []).map(({ value }) => value),
      pods: pods.filter((pod) => pod.namespace === namespace && pod.labels[gatewayNameLabel] === name),
    }
  })
}

/** Gateways of the class waypoint, in the order of their names; undefined: they may not be listed. */
async function listGateways({ client, note }: Asking): Promise<readonly KubeObject[] | undefined> {
  const info = pathInfo('Gateway')
  if (info === undefined) return []
  try {
    const { apiVersion } = await findServed(client, 'Gateway')
    const { items } = (await client.get(collectionPath(info, undefined, apiVersion.replace(/^.*\//, '')))) as { readonly items: readonly KubeObject[] }
    return items.filter((each) => (each['spec'] as Partial<Gateway['spec']> | undefined)?.gatewayClassName === waypointClass).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  } catch (error) {
    if (!isStatus(error, 403, 404)) throw error
    const isForbidden = error.status === 403
    if (isForbidden) note({ message: 'waypoints are not known: you may not list gateways in all namespaces', advice: 'ask for that right, or use a context whose user has it' })
    else note({ message: 'there are no waypoints: the cluster has no Gateway API', advice: 'see waymark check --pre' })
    return isForbidden ? undefined : []
  }
}

function keyOf({ metadata }: KubeObject): string {
  return namespacedName(metadata.namespace ?? '', metadata.name)
}

/** Of each controller that runs; undefined: it does not tell. */
async function readSubscriptions(asking: Asking, controllers: readonly MeshPod[]): Promise<readonly (readonly Subscription[] | undefined)[]> {
  return inParallel(controllers.filter(({ ready, metrics }) => ready || metrics !== undefined), 4, async (pod) => {
    const page = await readPage(asking, pod, ports.admin, '/subscribers')
    if (page === undefined) return undefined
    const list = JSON.parse(page) as readonly Omit<Subscription, 'controller'>[]
    return list.map(({ kind, namespace, pod: subscriber, hash }) => ({ controller: pod.name, kind, namespace, pod: subscriber, hash }))
  })
}

/** Who looks after the class `waypoint`; undefined: it is not there. */
export async function waypointClassOf(client: KubeClient): Promise<GatewayClass | undefined> {
  try {
    const { apiVersion } = await findServed(client, 'GatewayClass')
    return (await client.read({ apiVersion, kind: 'GatewayClass', name: waypointClass })) as GatewayClass | undefined
  } catch (error) {
    if (isStatus(error, 404)) return undefined
    throw error
  }
}
