import type { KubeObject } from '../../../src/kube/object.ts'
import { gatewayNameLabel, managedBy, managedByLabel, ports } from '../../../src/model/install.ts'
import { nodeNamespace, nodes, pods, services, waypointPlace, type PodName, type PodPlace } from './topology.ts'

/** Namespaces of the rig's pods. The first two can be enrolled; `back` may have a waypoint. */
export const namespaceOf = { a: 'front', k: 'front', b: 'front', c: 'back', plain: 'outside', stranger: 'outside' } as const satisfies Readonly<Record<PodName, string>>

/** The pods, with their namespaces. */
export function membersOf(): readonly { readonly pod: PodPlace & { readonly name: PodName }; readonly namespace: string }[] {
  return Object.values(pods).map((pod) => ({ pod, namespace: namespaceOf[pod.name] }))
}

/** A pod that runs and is ready; its service account has its name. */
export function podObject({ namespace, name, node, addresses, serviceAccount = name, labels = {}, hostNetwork = false }: {
  readonly namespace: string; readonly name: string; readonly node: 1 | 2; readonly addresses: readonly string[]
  readonly serviceAccount?: string; readonly labels?: Readonly<Record<string, string>>; readonly hostNetwork?: boolean
}): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, uid: `uid-${name}`, labels: { app: name, ...labels } },
    spec: { nodeName: nodeNamespace(node), serviceAccountName: serviceAccount, hostNetwork, containers: [{ name: 'app', image: 'none' }] },
    status: { phase: 'Running', podIP: addresses[0] ?? '', podIPs: addresses.map((ip) => ({ ip })), conditions: [{ type: 'Ready', status: 'True' }] },
  }
}

/** A namespace, in the mesh or not. */
export function namespaceObject(name: string, enrolled: boolean): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...(enrolled ? { 'waymark.dev/mesh': 'enabled' } : {}) } } }
}

/** What is behind a Service's port. */
export function slices(namespace: string, service: string, port: number, ...behind: readonly { readonly name: string; readonly node: 1 | 2; readonly address: string; readonly address6: string }[]): readonly KubeObject[] {
  return (['IPv4', 'IPv6'] as const).map((addressType) => ({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: { namespace, name: `${service}-${addressType.toLowerCase()}`, labels: { 'kubernetes.io/service-name': service } }, addressType,
    ports: [{ name: 'p', port, protocol: 'TCP' }],
    endpoints: behind.map((pod) => ({
      addresses: [addressType === 'IPv4' ? pod.address : pod.address6], conditions: { ready: true, serving: true, terminating: false },
      nodeName: nodeNamespace(pod.node), targetRef: { kind: 'Pod', namespace, name: pod.name, uid: `uid-${pod.name}` },
    })),
  }))
}

/** The cluster: nodes, namespaces of which none is enrolled, pods, and for each of the rig's cluster IPs a Service. */
export function objects(): readonly KubeObject[] {
  const list: KubeObject[] = ([1, 2] as const).map((node) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeNamespace(node), labels: {} }, status: { addresses: [{ type: 'InternalIP', address: nodes[node].address }] } }))
  for (const name of new Set(Object.values(namespaceOf))) list.push(namespaceObject(name, false))
  for (const { pod, namespace } of membersOf()) list.push(podObject({ namespace, name: pod.name, node: pod.node, addresses: [pod.address, pod.address6] }))
  for (const [name, { address, address6 }] of Object.entries(services)) {
    const pod = pods[name as keyof typeof services]
    const namespace = namespaceOf[pod.name]
    list.push({
      apiVersion: 'v1', kind: 'Service', metadata: { namespace, name },
      spec: { type: 'ClusterIP', clusterIP: address, clusterIPs: [address, address6], ipFamilies: ['IPv4', 'IPv6'], selector: { app: name }, ports: [{ name: 'p', port: 80, targetPort: 8080, protocol: 'TCP' }] },
    }, ...slices(namespace, name, 8080, pod))
  }
  return list
}

/** The Gateway of a namespace. */
export function gateway(namespace: string): KubeObject {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { namespace, name: 'waypoint', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: ports.hbone, protocol: 'HBONE' }] },
  }
}

/** The pod of a waypoint and, as Kubernetes would tell them, the endpoints of its Service. */
export function waypointPod(namespace: string, name: string): readonly KubeObject[] {
  const { node, address, address6 } = waypointPlace
  return [
    podObject({ namespace, name, node, addresses: [address, address6], serviceAccount: 'waypoint', labels: { [managedByLabel]: managedBy, [gatewayNameLabel]: 'waypoint' } }),
    ...slices(namespace, 'waypoint', ports.hbone, { ...waypointPlace, name }),
  ]
}

