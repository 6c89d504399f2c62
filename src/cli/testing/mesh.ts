import { startApiServer, type ApiServer } from '../../../test/simulated/api-server.ts'
import { mergePatch } from '../../../test/simulated/fields.ts'
import { caNames } from '../../control/ca/names.ts'
import type { CaInfo } from '../../control/ca/info.ts'
import type { Channel } from '../../api/schema.ts'
import type { Clock } from '../../kit/clock.ts'
import { KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { PodName, PodPage, PodPorts } from '../../kube/port-forward.ts'
import { configLabel, gatewayNameLabel, install, managedBy, managedByLabel, ports } from '../../model/install.ts'
import { policyRules } from '../../model/rbac.ts'
import { namespacedName, type NamespacedName } from '../../model/refs.ts'
import { hashOf } from '../../publish/hash.ts'
import { slice } from '../../publish/slice.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { AgentDump } from '../../node/dump.ts'
import { translate } from '../../translate/translate.ts'
import { gatewayApiDefinitions, installationObjects } from '../installation.ts'
import { readLive } from '../live.ts'
import { versions } from '../version.ts'

const system = install.namespace
const gatewayApi = 'gateway.networking.k8s.io/v1'
/** When these tests take place. */
export const startMs = Date.UTC(2026, 0, 2, 3, 4, 5)
const created = '2026-01-01T03:04:05Z'
const day = 86_400_000
export const controllers = ['waymark-controller-a', 'waymark-controller-b'] as const
const pem = '-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n'

/** A clock on which time passes only by waiting, and then at once. */
export function waitingClock(): Clock {
  let nowMs = startMs
  return {
    now: () => nowMs,
    after: (ms, task) => {
      const timer = setImmediate(() => {
        nowMs += ms
        task()
      })
      return () => clearImmediate(timer)
    },
  }
}

/** What a pod of the simulated mesh says of itself, in place of what it says by default. */
export type Says = Partial<Record<'/metrics' | '/subscribers' | '/readyz' | '/snapshot' | '/dump' | '/tap', PodPage | KubeError>>

/** A cluster with the mesh in it, as the API server and the pods tell it: no process of it runs. */
export interface SimulatedMesh {
  readonly server: ApiServer
  readonly podPorts: PodPorts
  /** What single pods say, by name. */
  readonly says: Map<string, Says>
  /** Pods that were asked for a page so far, as `ns/pod path`. */
  readonly asked: readonly string[]
  /** Writes the statuses that the controllers would write; waypoints are programmed if all of their pods are ready. */
  readonly settle: () => Promise<void>
  /** Changes an object, status and all, by a JSON merge patch. */
  readonly edit: (kind: string, namespace: string | undefined, name: string, patch: object) => void
  readonly remove: (kind: string, namespace: string | undefined, name: string) => void
}

export const caInfo: CaInfo = {
  trustDomain: 'cluster.local', phase: 'steady', generation: 0, sinceMs: startMs - day, problems: [],
  roots: [{ fingerprint: 'ab'.repeat(32), notAfterMs: startMs + 3650 * day, signs: true }],
}

const read = new Map<Channel, readonly KubeObject[]>()

/** Read once: they are the greatest part of every test here. */
function definitions(channel: Channel): readonly KubeObject[] {
  const known = read.get(channel) ?? gatewayApiDefinitions(channel)
  read.set(channel, known)
  return known
}

/** An empty cluster with Gateway API's CRDs of a channel. */
export async function startBare(channel: Channel | 'none' = 'experimental'): Promise<SimulatedMesh> {
  const server = await startApiServer()
  if (channel !== 'none') for (const definition of definitions(channel)) server.put({ ...definition, status: { conditions: [{ type: 'Established', status: 'True' }] } })
  const says: SimulatedMesh['says'] = new Map()
  const asked: string[] = []
  const mesh: SimulatedMesh = {
    server, says, asked,
    podPorts: {
      get: async (pod, port, path) => {
        asked.push(`${pod.namespace}/${pod.name} ${path}`)
        return answerOf(mesh, pod, port, path)
      },
      lines: async function* (pod, port, path, signal) {
        asked.push(`${pod.namespace}/${pod.name} ${path}`)
        const told = says.get(pod.name)?.['/tap']
        if (told instanceof KubeError) throw told
        if (port !== ports.admin) throw new KubeError(0, '', 'socket hang up')
        yield JSON.stringify({ kind: 'tapping', process: pod.name })
        yield* (told?.text ?? '').split('\n')
        if (told === undefined) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      },
    },
    settle: () => settle(server),
    edit: (kind, namespace, name, patch) => {
      const found = server.get({ kind, namespace, name })
      if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
      server.put(mergePatch(found, patch) as KubeObject)
    },
    remove: (kind, namespace, name) => {
      if (!server.delete({ kind, namespace, name })) throw new Error(`there is no ${kind} ${name}`)
    },
  }
  return mesh
}

/** The mesh, in order: two controllers, one of which leads, and the namespace `shop` with a waypoint of two pods, a Service and a route. */
export async function startMesh(): Promise<SimulatedMesh> {
  const mesh = await startBare()
  const { server } = mesh
  const settings = { namespace: system, imagePullPolicy: 'IfNotPresent', imagePullSecret: [], replicas: 2, trustDomain: 'cluster.local', svidLifetime: 3600, accessLog: 'json' } as const
  for (const object of installationObjects(settings)) server.put(object)
  controllers.forEach((name, at) => server.put(podOf(system, name, `node-${at + 1}`, { 'app.kubernetes.io/name': 'waymark', 'app.kubernetes.io/component': 'controller' })))
  server.put({
    apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace: system, name: install.controller },
    spec: { holderIdentity: controllers[0], renewTime: new Date(startMs - 1000).toISOString(), leaseDurationSeconds: 15 },
  })
  putCa(mesh, caInfo)
  addWaypoint(mesh, 'shop')
  for (const object of shop) server.put(object)
  await mesh.settle()
  return mesh
}

/** Puts the CA's account and the roots where controllers put them. */
export function putCa({ server }: SimulatedMesh, info: CaInfo): void {
  server.put(bundleIn(system, { [caNames.infoKey]: JSON.stringify(info) }))
}

/** A namespace of the mesh with its Gateway, two pods and the roots. */
export function addWaypoint({ server }: SimulatedMesh, namespace: string): void {
  server.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { 'waymark.dev/mesh': 'enabled' } } })
  server.put(bundleIn(namespace))
  server.put({
    apiVersion: gatewayApi, kind: 'Gateway', metadata: { namespace, name: 'waypoint', creationTimestamp: created },
    spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: ports.hbone, protocol: 'HBONE' }] },
  })
  const labels = { [managedByLabel]: managedBy, [gatewayNameLabel]: 'waypoint' }
  server.put({ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name: 'waypoint', labels }, spec: { clusterIP: '10.96.1.1', ports: [{ port: ports.hbone }] } })
  for (const name of ['waypoint-1', 'waypoint-2']) server.put(podOf(namespace, name, 'node-1', labels))
  server.put({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace, name: 'waypoint', labels: { 'kubernetes.io/service-name': 'waypoint' } },
    addressType: 'IPv4', ports: [{ port: ports.hbone }], endpoints: [{ addresses: ['10.2.7.1'] }, { addresses: ['10.2.7.2'] }],
  })
}

function bundleIn(namespace: string, more: Readonly<Record<string, string>> = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: install.bundleConfigMap, labels: { [configLabel]: 'trust-bundle' } }, data: { [install.bundleKey]: pem, ...more } }
}

/** A pod that runs and is ready. */
export function podOf(namespace: string, name: string, nodeName: string, labels: Readonly<Record<string, string>>): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels },
    spec: { nodeName, containers: [{ name: 'waymark', image: `waymark:${versions().version}` }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], containerStatuses: [{ name: 'waymark', ready: true, restartCount: 0 }] },
  }
}

const shop: readonly KubeObject[] = [
  { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'cart' }, spec: { clusterIP: '10.96.1.2', ports: [{ port: 80 }] } },
  {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace: 'shop', name: 'cart', labels: { 'kubernetes.io/service-name': 'cart' } },
    addressType: 'IPv4', ports: [{ port: 8080 }], endpoints: [{ addresses: ['10.2.7.9'] }],
  },
  {
    apiVersion: gatewayApi, kind: 'HTTPRoute', metadata: { namespace: 'shop', name: 'cart', creationTimestamp: created },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'cart' }], rules: [{ backendRefs: [{ name: 'cart', port: 80 }] }] },
  },
]

/** The part of a status that is an object's own, with times. */
async function settle(server: ApiServer): Promise<void> {
  const live = await readLive(server.client())
  const { statuses } = translate(live.resources, { trustDomain: live.trustDomain, nodeAgent: live.nodeAgent, readyWaypoints: readyWaypoints(server) })
  for (const status of statuses) {
    const { ref } = status
    const found = server.get({ kind: ref.kind, namespace: ref.namespace, name: ref.name })
    const content = Object.fromEntries(Object.entries(status).filter(([field]) => field !== 'ref' && field !== 'kind'))
    if (found !== undefined) server.put({ ...found, status: content })
  }
}

function readyWaypoints(server: ApiServer): ReadonlySet<NamespacedName> {
  return new Set(server.list('Gateway').flatMap(({ metadata: { namespace = '', name } }) => {
    const pods = server.list('Pod', namespace).filter(({ metadata }) => metadata.labels?.[gatewayNameLabel] === name)
    return pods.length > 0 && pods.every(isReady) ? [namespacedName(namespace, name)] : []
  }))
}

function isReady({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
  return conditions.some((each) => each.type === 'Ready' && each.status === 'True')
}

/** What a pod answers: what the test says, else what one that is in order would. */
async function answerOf({ server, says }: SimulatedMesh, pod: PodName, port: number, path: string): Promise<PodPage> {
  const told = says.get(pod.name)?.[path as keyof Says]
  if (told instanceof KubeError) throw told
  if (told !== undefined) return told
  const where = { '/metrics': ports.metrics, '/readyz': ports.ready, '/subscribers': ports.admin, '/snapshot': ports.admin, '/dump': ports.admin }[path]
  if (where !== port) throw new KubeError(0, '', `GET ${path} of port ${port} of pod ${pod.namespace}/${pod.name}: socket hang up`)
  const live = await readLive(server.client())
  const { snapshot } = translate(live.resources, { trustDomain: live.trustDomain, nodeAgent: live.nodeAgent })
  const found = server.get({ kind: 'Pod', namespace: pod.namespace, name: pod.name })
  const isAgent = found?.metadata.labels?.['app.kubernetes.io/component'] === 'agent'
  if (isAgent && path === '/metrics') return { status: 200, text: agentMetrics() }
  if (isAgent && path === '/dump') return { status: 200, text: JSON.stringify(agentDumpOf(server, pod.name, slice(snapshot, { kind: 'agent', namespace: system }))) }
  const own = isAgent ? slice(snapshot, { kind: 'agent', namespace: system }) : pod.namespace === system ? snapshot : slice(snapshot, { kind: 'waypoint', namespace: pod.namespace })
  switch (path) {
    case '/metrics':
      return { status: 200, text: pod.namespace === system ? controllerMetrics() : waypointMetrics() }
    case '/snapshot':
      return { status: 200, text: JSON.stringify(Object.fromEntries(own)) }
    case '/subscribers': {
      // Pods are spread over the controllers that run.
      const pods = server.list('Pod').filter(({ metadata }) => metadata.labels?.[gatewayNameLabel] !== undefined && metadata.namespace !== undefined)
      const running = server.list('Pod', system).filter(({ metadata, status }) => metadata.labels?.['app.kubernetes.io/component'] === 'controller' && (status as { phase?: string }).phase === 'Running')
      const mine = pods.filter((_, at) => running[at % running.length]?.metadata.name === pod.name)
      return {
        status: 200,
        text: JSON.stringify([...agentsOf(server, pod.name).map((name) => ({ kind: 'agent', namespace: system, name: '', pod: name, hash: hashOf(slice(snapshot, { kind: 'agent', namespace: system })) })), ...mine.map(({ metadata: { namespace = '', name, labels } }) => (
          { kind: 'waypoint', namespace, name: labels?.[gatewayNameLabel], pod: name, hash: hashOf(slice(snapshot, { kind: 'waypoint', namespace })) }))]),
      }
    }
    default:
      return { status: 200, text: 'ready\n' }
  }
}

/** What a node's agent measures. @param more lines */
export function agentMetrics(values: { readonly version?: string; readonly connected?: number; readonly silence?: number } = {}, ...more: readonly string[]): string {
  const { version = versions().version, connected = 1, silence = 4 } = values
  return [`waymark_build_info{version="${version}"} 1`, `waymark_controller_connected{node="n"} ${connected}`, `waymark_controller_silence_seconds{node="n"} ${silence}`, ...more].join('\n')
}

/** What a node's agent that is in order knows: pods that shall be captured are. */
function agentDumpOf(server: ApiServer, name: string, snapshot: Snapshot): AgentDump {
  const node = nodeOf(server.get({ kind: 'Pod', namespace: system, name }))
  const here = [...snapshot.values()].filter((entry) => entry.kind === 'workload').filter((entry) => entry.node === node)
  const idOf = (account: string): string => `spiffe://cluster.local/ns/${account}`
  const [captured, others] = [here.filter(({ capture }) => capture === true), here.filter(({ capture }) => capture !== true)]
  return {
    node, pod: name, version: versions().version, nowMs: startMs, startedMs: startMs - 2 * day,
    controller: { connected: true, silenceMs: 4_000, source: 'controller' },
    configuration: { hash: hashOf(snapshot), sinceMs: startMs - 5_400_000, entries: { service: 2, workload: here.length } },
    pluginProblem: '',
    certificates: [
      { id: idOf(`${system}/sa/waymark-agent`), pods: 0, notBeforeMs: startMs - 900_000, notAfterMs: startMs + 2_700_000 },
      ...captured.map(({ identity }) => ({ id: identity, pods: 1, notBeforeMs: startMs - 600_000, notAfterMs: startMs + 3_000_000 })),
    ],
    pods: captured.map(({ namespace, name: pod, identity, uid = '', addresses }, at) => ({
      uid, namespace, name: pod, state: 'captured', problem: '', identity, addresses, rules: true, mark: 0x1234 + at,
      traffic: { phase: 'capturing', configured: true, certified: true, connections: 3, sessionsIn: 1, sessionsOut: 2 },
    })),
    others: others.map(({ namespace, name: pod, uid = '' }) => ({ uid, namespace, name: pod, told: true })),
  }
}

/** Agents are connected to the first controller. */
function agentsOf(server: ApiServer, controller: string): readonly string[] {
  if (controller !== controllers[0]) return []
  return server.list('Pod', system).filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'agent').map(({ metadata }) => metadata.name)
}

function nodeOf(pod: KubeObject | undefined): string {
  return (pod?.['spec'] as { readonly nodeName?: string } | undefined)?.nodeName ?? ''
}

/** Agents on both nodes, and pods of `shop` that they capture, one of which has opted out. */
export function addAgents(mesh: SimulatedMesh): void {
  const { server, edit } = mesh
  const labels = { 'app.kubernetes.io/name': 'waymark', 'app.kubernetes.io/component': 'agent' }
  for (const name of ['node-1', 'node-2']) server.put({ apiVersion: 'v1', kind: 'Node', metadata: { name } })
  server.put({
    apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { namespace: system, name: install.agent, generation: 1 },
    spec: { template: { spec: { containers: [{ name: 'agent', args: ['agent', '--unknown-destinations=pass'] }] } } },
    status: { observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, numberReady: 2, updatedNumberScheduled: 2 },
  })
  for (const at of [1, 2]) server.put(podOf(system, `waymark-agent-${at}`, `node-${at}`, labels))
  const deployment = server.get({ kind: 'Deployment', namespace: system, name: install.controller })
  const { template: { spec: { containers: [container] } } } = deployment?.['spec'] as { readonly template: { readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] } } }
  edit('Deployment', system, install.controller, { spec: { template: { spec: { containers: [{ ...container, args: [...(container?.args ?? []), '--node-agent'] }] } } } })
  edit('ClusterRole', undefined, install.controller, { rules: policyRules('cluster', undefined, true) })
  for (const [name, node, address] of [['cart-1', 'node-1', '10.2.7.9'], ['till-1', 'node-2', '10.2.8.4']] as const) putMember(mesh, name, node, address)
  putMember(mesh, 'alone-1', 'node-2', '10.2.8.5')
  edit('Pod', 'shop', 'alone-1', { metadata: { labels: { 'waymark.dev/mesh': 'disabled' }, annotations: { 'waymark.dev/captured': null } } })
}

/** A pod of `shop` that is captured. */
export function putMember({ server }: SimulatedMesh, name: string, node: string, address: string): void {
  const pod = podOf('shop', name, node, {})
  server.put({
    ...pod, metadata: { ...pod.metadata, uid: `uid-${name}`, annotations: { 'waymark.dev/captured': 'true' } }, spec: { ...(pod['spec'] as object), serviceAccountName: name.replace(/-.*/, '') },
    status: { ...(pod['status'] as object), podIP: address, podIPs: [{ ip: address }] },
  })
}

/** What a controller's process measures. */
export function controllerMetrics(version = versions().version): string {
  return `# HELP waymark_build_info Always 1.\n# TYPE waymark_build_info gauge\nwaymark_build_info{version="${version}"} 1\n` +
    'waymark_subscribers{kind="waypoint"} 1\nwaymark_subscribers{kind="entry"} 3\n'
}

/** What a waypoint's process measures. @param values in place of those of one that is in order */
export function waypointMetrics(values: { readonly version?: string; readonly connected?: number; readonly silence?: number; readonly age?: number; readonly expiry?: number } = {}): string {
  const { version = versions().version, connected = 1, silence = 4, age = 5400, expiry = 2700.4 } = values
  const labels = '{waypoint="shop/waypoint"}'
  return `waymark_build_info{version="${version}"} 1\nwaymark_controller_connected${labels} ${connected}\nwaymark_controller_silence_seconds${labels} ${silence}\n` +
    `waymark_config_age_seconds${labels} ${age}\nwaymark_certificate_expiry_seconds${labels} ${expiry}\n`
}
