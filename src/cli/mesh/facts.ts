import type { Gateway, GatewayClass } from '../../api/gateway.ts'
import type { StatusCondition } from '../../api/meta.ts'
import { parseInfo, type CaInfo } from '../../control/ca/info.ts'
import { caNames } from '../../control/ca/names.ts'
import { printable } from '../../kit/printable.ts'
import type { KubeClient } from '../../kube/client.ts'
import { isStatus, KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { collectionPath, pathInfo } from '../../kube/paths.ts'
import type { PodPorts } from '../../kube/port-forward.ts'
import { gatewayNameLabel, install, managedBy, managedByLabel, ports } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import { findServed } from '../../sources/kube/served.ts'
import { waypointClass } from '../../translate/waypoints.ts'
import { controllerSelector } from '../installation.ts'
import { inParallel, readPods, type MeshPod } from './pods.ts'

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
  readonly lease: { readonly holder: string; readonly renewedMs: number; readonly durationMs: number } | undefined
  /** Undefined: no controller could be asked. */
  readonly subscriptions: readonly Subscription[] | undefined
  readonly waypoints: readonly WaypointFacts[]
  readonly ca: CaInfo | undefined
  /** What could not be read and why, a line each. */
  readonly notes: readonly string[]
}

/** Milliseconds until a controller's page must be there. */
const adminTimeoutMs = 5_000

/**
 * Reads what runs.
 * @throws {KubeError} if the installation's own namespace can not be read
 */
export async function readFacts(client: KubeClient, podPorts: PodPorts, namespace: string): Promise<MeshFacts> {
  const notes = new Set<string>()
  const note = (line: string): void => void notes.add(line)
  const deployment = await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: install.controller })
  const [controllers, lease, waypoints, ca] = await Promise.all([
    readPods(client, `/api/v1/namespaces/${namespace}/pods`, controllerSelector, note),
    readLease(client, namespace),
    readWaypoints(client, note),
    readCa(client, namespace),
  ])
  return { deployment, controllers, lease, subscriptions: await readSubscriptions(podPorts, controllers, note), waypoints, ca, notes: [...notes] }
}

async function readLease(client: KubeClient, namespace: string): Promise<MeshFacts['lease']> {
  const lease = await client.read({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name: install.controller })
  const { holderIdentity = '', renewTime = '', leaseDurationSeconds = 15 } = (lease?.['spec'] ?? {}) as { readonly holderIdentity?: string; readonly renewTime?: string; readonly leaseDurationSeconds?: number }
  return holderIdentity === '' ? undefined : { holder: holderIdentity, renewedMs: Date.parse(renewTime), durationMs: leaseDurationSeconds * 1000 }
}

/** The CA's own account, which holds no keys. */
async function readCa(client: KubeClient, namespace: string): Promise<CaInfo | undefined> {
  const configMap = await client.read({ apiVersion: 'v1', kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
  return parseInfo((configMap?.['data'] as Readonly<Record<string, string>> | undefined)?.[caNames.infoKey])
}

async function readWaypoints(client: KubeClient, note: (line: string) => void): Promise<readonly WaypointFacts[]> {
  const gateways = await listGateways(client, note)
  if (gateways.length === 0) return []
  const pods = await readPods(client, '/api/v1/pods', `${managedByLabel}=${managedBy},${gatewayNameLabel}`, note)
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

/** Gateways of the class waypoint, in the order of their names. */
async function listGateways(client: KubeClient, note: (line: string) => void): Promise<readonly KubeObject[]> {
  const info = pathInfo('Gateway')
  if (info === undefined) return []
  try {
    const { apiVersion } = await findServed(client, 'Gateway')
    const { items } = (await client.get(collectionPath(info, undefined, apiVersion.replace(/^.*\//, '')))) as { readonly items: readonly KubeObject[] }
    return items.filter((each) => (each['spec'] as Partial<Gateway['spec']> | undefined)?.gatewayClassName === waypointClass).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  } catch (error) {
    if (isStatus(error, 403)) note('waypoints are not known: you may not list gateways in all namespaces')
    else if (isStatus(error, 404)) note('there are no waypoints: the cluster has no Gateway API; see waymark check --pre')
    else throw error
    return []
  }
}

function keyOf({ metadata }: KubeObject): string {
  return namespacedName(metadata.namespace ?? '', metadata.name)
}

async function readSubscriptions(podPorts: PodPorts, controllers: readonly MeshPod[], note: (line: string) => void): Promise<readonly Subscription[] | undefined> {
  const all = await inParallel(controllers.filter(({ ready }) => ready), 4, async (pod) => {
    try {
      const list = JSON.parse(await podPorts.get(pod, ports.admin, '/subscribers', adminTimeoutMs)) as readonly Omit<Subscription, 'controller'>[]
      return list.map(({ kind, namespace, pod: subscriber, hash }) => ({ controller: pod.name, kind, namespace, pod: subscriber, hash }))
    } catch (error) {
      if (isStatus(error, 403)) note(`who is connected to which controller is not known: that needs the right to create pods/portforward in namespace ${pod.namespace}`)
      else note(`controller ${pod.name} does not tell who is connected: ${error instanceof KubeError ? printable(error.message) : String(error)}`)
      return undefined
    }
  })
  const known = all.filter((each) => each !== undefined)
  return known.length === 0 ? undefined : known.flat()
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
