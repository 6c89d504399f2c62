import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { ownPlurals } from '../../../crds/load.ts'
import { KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { checkVerb, type CheckVerbOptions } from '../check/verb.ts'
import { agentDump, type AgentDumpOptions } from '../agent-dump.ts'
import { configDump, type ConfigDumpOptions } from '../config-dump.ts'
import type { AgentDump } from '../../node/dump.ts'
import { explain } from '../explain.ts'
import type { Io } from '../io.ts'
import { status } from '../status.ts'
import { tap, type TapOptions } from '../tap.ts'
import { versions } from '../version.ts'
import { waypointApply, waypointDelete, waypointList, type WaypointApplyOptions } from '../waypoints.ts'
import { addAgents, addWaypoint, agentMetrics, caInfo, controllerMetrics, controllers, putCa, putMember, startBare, startMesh, startMs, waitingClock, waypointMetrics, type SimulatedMesh } from './mesh.ts'

/** What a verb says of a cluster in some state. */
export interface ClusterCase {
  /** Holds what it must say. */
  readonly file: string
  readonly start: () => Promise<SimulatedMesh>
  /** Brings the cluster into that state. */
  readonly arrange?: (mesh: SimulatedMesh) => unknown
  readonly run: (mesh: SimulatedMesh, io: Io) => Promise<number>
}

export const clusterGoldenFolder = new URL('../testdata/cluster/', import.meta.url)

const namespace = 'waymark-system'
const gatewayApi = 'gateway.networking.k8s.io/v1'
const day = 86_400_000
const access = (mesh: SimulatedMesh) => ({ client: mesh.server.client({ namespace: 'shop' }), podPorts: mesh.podPorts, clock: waitingClock() })
const check = (options: Partial<CheckVerbOptions> = {}): ClusterCase['run'] => (mesh, io) => checkVerb({ pre: false, namespace, output: 'table', ...options }, io, access(mesh))
const pre = check({ pre: true })
const apply = (options: Partial<WaypointApplyOptions> = {}, place?: string): ClusterCase['run'] => (mesh, io) =>
  waypointApply(place, { name: 'waypoint', enrollNamespace: false, dryRun: false, wait: false, timeout: 5, ...options }, io, access(mesh))
const remove = (name: string, wait = false): ClusterCase['run'] => (mesh, io) => waypointDelete(name, { wait, timeout: 5 }, io, access(mesh))
const dump = (what: string, options: Partial<ConfigDumpOptions> = {}): ClusterCase['run'] => (mesh, io) => configDump(what, { diff: false, output: 'yaml', ...options }, io, access(mesh))
const agents = (options: Partial<AgentDumpOptions> = {}): ClusterCase['run'] => (mesh, io) => agentDump({ namespace, output: 'table', ...options }, io, access(mesh))
const look = (what: string, options: Partial<TapOptions> = {}): ClusterCase['run'] => async (mesh, io) => {
  const code = await tap(what, { rate: 100, output: 'table', ...options }, io, { ...access(mesh), stopped: new Promise(() => {}) })
  for (const each of mesh.asked.filter((page) => page.includes('/tap')).sort()) io.say(`asked ${each}`)
  return code
}
const withAgents = async (): Promise<SimulatedMesh> => {
  const mesh = await startMesh()
  addAgents(mesh)
  await mesh.settle()
  return mesh
}
const show = (output: 'table' | 'json' = 'table'): ClusterCase['run'] => (mesh, io) => status({ namespace, output }, io, access(mesh))
const list = (allNamespaces: boolean, output: 'table' | 'json' = 'table'): ClusterCase['run'] => (mesh, io) => waypointList({ allNamespaces, output }, io, access(mesh))

const bare = (): Promise<SimulatedMesh> => startBare()
const page = (text: string, code = 200) => ({ status: code, text })
const refused = new KubeError(403, '', 'GET of port 15020: 403 pods/portforward is forbidden')
const notReady = (more: object = {}): object => ({ status: { conditions: [{ type: 'Ready', status: 'False' }], ...more } })
const waiting = (reason: string, more: object = {}): object => ({ containerStatuses: [{ name: 'waymark', ready: false, image: 'images.example/waymark:9', state: { waiting: { reason } }, ...more }] })
const labelled = (name: string, labels: object, annotations: object = {}): KubeObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: labels as Record<string, string>, annotations: annotations as Record<string, string> } })
const uninstalled = (mesh: SimulatedMesh, ...kinds: readonly [kind: string, plural: string][]): void => {
  for (const [kind, plural] of kinds) {
    mesh.server.uninstall(kind)
    mesh.remove('CustomResourceDefinition', undefined, `${plural}.gateway.networking.k8s.io`)
  }
}
const annotateCrds = (mesh: SimulatedMesh, annotations: Readonly<Record<string, string | null>>, only = /./): void => {
  for (const { metadata } of mesh.server.list('CustomResourceDefinition')) if (only.test(metadata.name)) mesh.edit('CustomResourceDefinition', undefined, metadata.name, { metadata: { annotations } })
}
const bundleVersion = 'gateway.networking.k8s.io/bundle-version'
const channelOf = 'gateway.networking.k8s.io/channel'

const ownDefinitions = (): readonly KubeObject[] =>
  ownPlurals.map((plural) => parse(readFileSync(new URL(`../../../crds/waymark/${plural}.yaml`, import.meta.url), 'utf8')) as KubeObject)

/** As a user with the ClusterRole `view` alone, which knows neither custom resources nor Leases nor rights. */
function viewerOnly({ server, says }: SimulatedMesh): void {
  server.forbid(({ group, verb }) => verb !== 'create' && (/gateway|coordination|rbac|apiextensions/.test(group)))
  for (const name of [...controllers, 'waypoint-1', 'waypoint-2']) says.set(name, { '/metrics': refused, '/subscribers': refused })
}

/** A verb that is called wrongly says so by an error, as the command line tells it. */
async function runExplain(mesh: SimulatedMesh, io: Io, pod: string, url: string): Promise<number> {
  return explain([url], { from: { namespace: 'shop', pod }, header: [], output: 'table' }, io, access(mesh))
}

/** What two processes show; the others have nothing to show. */
function tapped({ says }: SimulatedMesh): void {
  const time = '2026-01-02T03:04:05.678Z'
  const id = (account: string): string => `spiffe://cluster.local/ns/${account.replace('/', '/sa/')}`
  const request = { kind: 'request', verdict: 'allowed', time, waypoint: 'shop/waypoint', protocol: 'http1', method: 'GET', path: '/items?a=1', status: 200, duration_ms: 3.456, bytes_in: 0, bytes_out: 1234, source: id('shop/till'), destination: 'shop/cart:80' }
  const connection = { kind: 'connection', event: 'ended', verdict: 'allowed', time, node: 'node-2', direction: 'outbound', transport: 'mtls', via: 'waypoint', source: 'shop/till-1', source_id: id('shop/till'), destination: 'shop/cart', destination_address: '10.96.1.2:80', service: 'shop/cart', ended: 'clean', duration_ms: 65_432, bytes_in: 2_000_000, bytes_out: 20_000_000 }
  const lines: Readonly<Record<string, readonly object[]>> = {
    'waypoint-1': [
      { ...request, route: 'HTTPRoute shop/cart', rule: 0, endpoint: '10.2.7.9:8080' },
      { ...request, verdict: 'denied', status: 403, reason: 'denied', policy: 'shop/readers', source: id('club/reader'), detail: 'nobody else \u001b[2J' },
      { ...request, verdict: 'refused', protocol: 'grpc', method: 'POST', path: '/shop.Cart/Add', status: 200, grpc_status: 12, reason: 'no-route' },
      { ...request, kind: 'connection', protocol: 'tcp', method: undefined, path: undefined, status: 0, audit: ['shop/watch'] },
    ],
    'waymark-agent-2': [
      { ...connection, event: 'opened', duration_ms: 0, bytes_in: 0, bytes_out: 0, ended: undefined }, connection,
      { ...connection, verdict: 'failed', reason: 'connect-failure', ended: undefined, duration_ms: 5_000, bytes_in: 0, bytes_out: 0 },
      { ...connection, direction: 'plaintext', transport: 'plain', via: undefined, source: undefined, source_id: undefined, source_address: '10.9.9.9:1', verdict: 'refused', reason: 'plaintext-refused', service: undefined, destination: 'shop/till-1', ended: undefined },
      { kind: 'dropped', count: 7 },
    ],
  }
  for (const name of ['waypoint-1', 'waypoint-2', 'waymark-agent-1', 'waymark-agent-2']) says.set(name, { '/tap': page((lines[name] ?? []).map((each) => `${JSON.stringify(each)}\n`).join('')) })
}

/** One agent that is cut off and could not capture its pod, and metrics of connections in plain from the other. */
async function troubleAgents(mesh: SimulatedMesh): Promise<void> {
  const dump = JSON.parse((await mesh.podPorts.get({ namespace, name: 'waymark-agent-2' }, 15000, '/dump')).text) as AgentDump
  const pods = dump.pods.map((pod) => ({ ...pod, mark: undefined, traffic: undefined, state: 'waiting', rules: false, problem: 'port 15008 is taken in the pod' }))
  const certificates = dump.certificates.map((each) => ({ ...each, notAfterMs: startMs + 60_000 }))
  const troubled = { ...dump, version: '0.0.1', controller: { connected: false, silenceMs: 600_000, source: 'kept' }, certificates, pluginProblem: 'there is no list of plugins', pods }
  mesh.says.set('waymark-agent-2', { '/dump': page(JSON.stringify(troubled)), '/metrics': page(agentMetrics({ version: '0.0.1', connected: 0, silence: 600 })) })
  mesh.edit('Pod', 'shop', 'till-1', { metadata: { annotations: { 'waymark.dev/captured': null } } })
  const plain = (outcome: string, source: string, value: number): string => {
    const [of, workload] = source.split('/')
    return `waymark_agent_connections_total{direction="plaintext",destination_namespace="shop",destination_workload="cart",service="",transport="plain",outcome="${outcome}",reason="",source_namespace="${of ?? ''}",source_workload="${workload ?? ''}"} ${value}`
  }
  mesh.says.set('waymark-agent-1', { '/metrics': page(agentMetrics({}, plain('allowed', 'club/reader', 12), plain('allowed', '', 1), plain('refused', 'club/reader', 3))) })
  await mesh.settle()
}

const cases: readonly ClusterCase[] = [
  { file: 'pre-fine.txt', start: bare, run: pre },
  { file: 'pre-no-gateway-api.txt', start: () => startBare('none'), run: pre },
  { file: 'pre-standard.txt', start: () => startBare('standard'), run: pre },
  {
    file: 'pre-old.txt', start: () => startBare('standard'), run: pre,
    arrange: (mesh) => {
      uninstalled(mesh, ['TCPRoute', 'tcproutes'], ['TLSRoute', 'tlsroutes'])
      annotateCrds(mesh, { [bundleVersion]: 'v1.2.1' })
    },
  },
  { file: 'pre-newer.txt', start: bare, run: pre, arrange: (mesh) => annotateCrds(mesh, { [bundleVersion]: 'v1.99.0' }) },
  { file: 'pre-mixed.txt', start: bare, run: pre, arrange: (mesh) => annotateCrds(mesh, { [bundleVersion]: 'v1.3.0', [channelOf]: 'standard' }, /^httproutes/) },
  { file: 'pre-unmarked.txt', start: bare, run: pre, arrange: (mesh) => annotateCrds(mesh, { [bundleVersion]: null, [channelOf]: null }) },
  { file: 'pre-few-rights.txt', start: bare, run: pre, arrange: ({ server }) => server.forbid(({ verb, resource }) => !['get', 'list'].includes(verb) && !resource.startsWith('selfsubject')) },
  { file: 'pre-no-rights.txt', start: bare, run: pre, arrange: ({ server }) => server.forbid(({ resource }) => !resource.startsWith('selfsubject')) },
  {
    file: 'pre-taken.txt', start: startMesh, run: pre,
    arrange: (mesh) => mesh.edit('GatewayClass', undefined, 'waypoint', { spec: { controllerName: 'example.com/other' } }),
  },
  { file: 'pre-elsewhere.txt', start: startMesh, run: check({ pre: true, namespace: 'elsewhere' }) },
  {
    file: 'pre-leftovers.txt', start: startMesh, run: pre,
    arrange: (mesh) => {
      mesh.remove('Deployment', namespace, 'waymark-controller')
      mesh.server.put(labelled('bank', { 'istio.io/dataplane-mode': 'ambient' }))
      mesh.server.put(labelled('till', {}, { 'linkerd.io/inject': 'enabled' }))
      mesh.server.forbid(({ verb, resource }) => verb === 'create' && resource === 'pods' && 'pods "waymark-check" is forbidden: exceeded quota: small')
    },
  },
  { file: 'check-not-installed.txt', start: bare, run: check() },
  { file: 'check-elsewhere.txt', start: startMesh, run: check({ namespace: 'elsewhere' }) },
  { file: 'check-fine.txt', start: startMesh, run: check() },
  { file: 'check-fine.json', start: startMesh, run: check({ output: 'json' }) },
  {
    file: 'check-one-controller-down.txt', start: startMesh, run: check(),
    arrange: (mesh) => mesh.edit('Pod', namespace, controllers[1], notReady({ phase: 'Pending', ...waiting('ImagePullBackOff') })),
  },
  {
    file: 'check-no-controller.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      for (const name of controllers) mesh.remove('Pod', namespace, name)
      mesh.edit('Lease', namespace, 'waymark-controller', { spec: { renewTime: new Date(startMs - 600_000).toISOString() } })
    },
  },
  {
    file: 'check-scaled-to-none.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      for (const name of controllers) mesh.remove('Pod', namespace, name)
      mesh.edit('Deployment', namespace, 'waymark-controller', { spec: { replicas: 0 } })
    },
  },
  {
    file: 'check-controllers-not-ready.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      for (const name of controllers) mesh.edit('Pod', namespace, name, notReady())
      mesh.says.set(controllers[0], { '/readyz': page('cluster/HTTPRoute: httproutes may not be listed\ncluster/Pod: pods may not be listed\n', 503) })
      mesh.says.set(controllers[1], { '/readyz': new KubeError(0, '', 'refused') })
      mesh.edit('Lease', namespace, 'waymark-controller', { spec: { holderIdentity: 'waymark-controller-gone' } })
    },
  },
  {
    file: 'check-waypoint-not-programmed.txt', start: startMesh, run: check(),
    arrange: async (mesh) => {
      for (const name of ['waypoint-1', 'waypoint-2']) mesh.edit('Pod', 'shop', name, notReady())
      mesh.says.set('waypoint-1', { '/readyz': page('certificate: no controller has answered yet, and none is kept from before\n', 503) })
      mesh.edit('Pod', 'shop', 'waypoint-2', { status: waiting('CrashLoopBackOff', { lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }) })
      await mesh.settle()
    },
  },
  {
    file: 'check-waypoint-lame.txt', start: startMesh, run: check(),
    arrange: (mesh) => mesh.edit('Pod', 'shop', 'waypoint-2', notReady({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', message: '0/2 nodes are available: 2 Insufficient memory' }] })),
  },
  {
    file: 'check-waypoint-refused.txt', start: startMesh, run: check(),
    arrange: async (mesh) => {
      mesh.edit('Gateway', 'shop', 'waypoint', { spec: { listeners: [{ name: 'mesh', port: 80, protocol: 'HTTP' }] } })
      await mesh.settle()
    },
  },
  {
    file: 'check-stale.txt', start: startMesh, run: check(),
    arrange: async (mesh) => {
      mesh.says.set(controllers[1], { '/subscribers': page(JSON.stringify([{ kind: 'waypoint', namespace: 'shop', name: 'waypoint', pod: 'waypoint-2', hash: 'old' }])) })
      const { text } = await mesh.podPorts.get({ namespace: 'shop', name: 'waypoint-2' }, 15000, '/snapshot')
      mesh.says.set('waypoint-2', { '/snapshot': page(text), '/metrics': page(waypointMetrics({ expiry: -3 })) })
      mesh.edit('EndpointSlice', 'shop', 'cart', { endpoints: [] })
      mesh.says.set('waypoint-1', { '/metrics': page(waypointMetrics({ connected: 0, silence: 900, expiry: 120 })) })
    },
  },
  {
    // Of another build, which reckons hashes in another way: what counts is what the pods run.
    file: 'check-other-hashes.txt', start: startMesh, run: check(),
    arrange: ({ says }) => {
      for (const name of controllers) says.set(name, { '/subscribers': page(JSON.stringify([{ kind: 'waypoint', namespace: 'shop', name: 'waypoint', pod: 'waypoint-1', hash: 'other' }])) })
      says.set('waypoint-2', { '/snapshot': new KubeError(0, '', 'no answer in time') })
    },
  },
  {
    file: 'check-certificates.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      const [root] = caInfo.roots
      putCa(mesh, {
        ...caInfo, phase: 'introduced', next: { step: 'sign', atMs: startMs - 3_600_000 }, problems: ['the Secret is gone'],
        roots: [{ ...root!, notAfterMs: startMs + 20 * day }, { fingerprint: 'cd'.repeat(32), notAfterMs: startMs + 4000 * day, signs: false }],
      })
      mesh.edit('ConfigMap', 'shop', 'waymark-trust-bundle', { data: { 'ca.crt': 'other roots' } })
      mesh.server.put(labelled('club', { 'waymark.dev/mesh': 'enabled' }))
    },
  },
  { file: 'check-no-ca.txt', start: startMesh, run: check(), arrange: (mesh) => mesh.remove('ConfigMap', namespace, 'waymark-trust-bundle') },
  {
    file: 'check-versions.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      mesh.says.set(controllers[1], { '/metrics': page(controllerMetrics('9.2.0')) })
      mesh.says.set('waypoint-2', { '/metrics': page(waypointMetrics({ version: '8.0.0' })) })
    },
  },
  {
    file: 'check-command-older.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      for (const name of controllers) mesh.says.set(name, { '/metrics': page(controllerMetrics('9.2.0')) })
      for (const name of ['waypoint-1', 'waypoint-2']) mesh.says.set(name, { '/metrics': page(waypointMetrics({ version: '9.2.0' })) })
    },
  },
  {
    file: 'check-routes.txt', start: startMesh, run: check(),
    arrange: async (mesh) => {
      const route = (name: string, parent: string, backend: string): KubeObject => ({
        apiVersion: gatewayApi, kind: 'HTTPRoute', metadata: { namespace: 'shop', name, creationTimestamp: '2026-01-01T04:00:00Z' },
        spec: { parentRefs: [{ group: '', kind: 'Service', name: parent }], rules: [{ backendRefs: [{ name: backend, port: 80 }] }] },
      })
      mesh.server.put(route('lost', 'nowhere', 'cart'))
      mesh.server.put(route('empty', 'cart', 'nothing'))
      await mesh.settle()
      mesh.server.put(route('new', 'cart', 'cart'))
      mesh.edit('HTTPRoute', 'shop', 'cart', { spec: { hostnames: ['cart.example'] } })
    },
  },
  {
    file: 'check-no-port-forward.txt', start: startMesh, run: check(),
    arrange: ({ says }) => {
      for (const name of [...controllers, 'waypoint-1', 'waypoint-2']) says.set(name, { '/metrics': refused, '/subscribers': refused })
    },
  },
  { file: 'check-crd-gone.txt', start: startMesh, run: check(), arrange: (mesh) => uninstalled(mesh, ['HTTPRoute', 'httproutes']) },
  { file: 'check-own-crds-fine.txt', start: startMesh, run: check(), arrange: ({ server }) => { for (const each of ownDefinitions()) server.put(each) } },
  {
    file: 'check-own-crds-old.txt', start: startMesh, run: check(),
    arrange: ({ server }) => { for (const each of ownDefinitions()) server.put(JSON.parse(JSON.stringify(each).replaceAll('"selector":', '"chooser":')) as KubeObject) },
  },
  { file: 'check-no-gateway-api.txt', start: startMesh, run: check(), arrange: (mesh) => {
    for (const { metadata } of mesh.server.list('CustomResourceDefinition')) mesh.remove('CustomResourceDefinition', undefined, metadata.name)
    for (const kind of ['GatewayClass', 'Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant', 'BackendTLSPolicy']) mesh.server.uninstall(kind)
  } },
  {
    file: 'check-controller-rights.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      mesh.remove('RoleBinding', namespace, 'waymark-controller')
      const { rules } = mesh.server.get({ kind: 'ClusterRole', name: 'waymark-controller' }) as unknown as { rules: { resources: string[] }[] }
      mesh.edit('ClusterRole', undefined, 'waymark-controller', { rules: [...rules.filter(({ resources }) => !resources.includes('tokenreviews')), { apiGroups: [''], resources: ['secrets'], verbs: ['*'] }] })
    },
  },
  {
    file: 'check-namespaces.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      mesh.server.put(labelled('auto', { 'waymark.dev/waypoint': 'auto' }))
      mesh.server.put(labelled('typo', { 'waymark.dev/mehs': 'enabled' }))
      mesh.server.put(labelled('shop', { 'waymark.dev/mesh': 'enabled', 'istio.io/dataplane-mode': 'ambient' }))
      for (const gatewayClassName of ['waypiont', 'istio-waypoint']) {
        mesh.server.put({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { namespace: 'typo', name: gatewayClassName }, spec: { gatewayClassName, listeners: [] } })
      }
    },
  },
  { file: 'status-fine.txt', start: startMesh, run: show() },
  { file: 'status-fine.json', start: startMesh, run: show('json') },
  { file: 'status-no-waypoint.txt', start: startMesh, run: show(), arrange: (mesh) => mesh.remove('Gateway', 'shop', 'waypoint') },
  { file: 'status-no-controller.txt', start: startMesh, run: show(), arrange: (mesh) => controllers.forEach((name) => mesh.remove('Pod', namespace, name)) },
  { file: 'list-no-gateway-api.txt', start: () => startBare('none'), run: list(true), arrange: ({ server }) => server.uninstall('Gateway') },
  { file: 'status-not-installed.txt', start: bare, run: show() },
  {
    file: 'status-troubled.txt', start: startMesh, run: show(),
    arrange: async (mesh) => {
      addWaypoint(mesh, 'club')
      mesh.remove('Pod', 'club', 'waypoint-1')
      mesh.remove('Pod', 'club', 'waypoint-2')
      mesh.edit('Pod', 'shop', 'waypoint-2', notReady({ phase: 'Pending', ...waiting('ErrImagePull') }))
      mesh.says.set(controllers[1], { '/metrics': page('no', 500), '/subscribers': new KubeError(0, '', 'no answer in time') })
      mesh.edit('Lease', namespace, 'waymark-controller', { spec: { renewTime: new Date(startMs - 3_600_000).toISOString() } })
      mesh.remove('ConfigMap', namespace, 'waymark-trust-bundle')
      await mesh.settle()
    },
  },
  {
    file: 'status-no-port-forward.txt', start: startMesh, run: show(),
    arrange: ({ says }) => {
      for (const name of [...controllers, 'waypoint-1', 'waypoint-2']) says.set(name, { '/metrics': refused, '/subscribers': refused })
    },
  },
  { file: 'status-no-rights.txt', start: startMesh, run: show(), arrange: ({ server }) => server.forbid(() => true) },
  { file: 'list.txt', start: startMesh, run: list(true), arrange: (mesh) => addWaypoint(mesh, 'club') },
  { file: 'list.json', start: startMesh, run: list(false, 'json') },
  { file: 'list-none.txt', start: bare, run: list(false) },
  { file: 'apply.txt', start: startMesh, run: apply({ enrollNamespace: true }, 'club'), arrange: ({ server }) => server.put(labelled('club', {})) },
  { file: 'apply-dry.txt', start: startMesh, run: apply({ enrollNamespace: true, dryRun: true }, 'club'), arrange: ({ server }) => server.put(labelled('club', {})) },
  { file: 'apply-no-namespace.txt', start: startMesh, run: apply({}, 'nowhere') },
  { file: 'apply-not-installed.txt', start: bare, run: apply({}, 'shop'), arrange: ({ server }) => server.put(labelled('shop', {})) },
  { file: 'apply-second.txt', start: startMesh, run: apply({ name: 'other' }) },
  { file: 'apply-taken.txt', start: startMesh, run: apply(), arrange: (mesh) => mesh.edit('Gateway', 'shop', 'waypoint', { spec: { gatewayClassName: 'other' } }) },
  { file: 'apply-wait-in-vain.txt', start: startMesh, run: apply({ wait: true }, 'club'), arrange: ({ server }) => server.put(labelled('club', {})) },
  {
    file: 'apply-wait-not-ready.txt', start: startMesh, run: apply({ wait: true }),
    arrange: async (mesh) => {
      mesh.edit('Pod', 'shop', 'waypoint-2', notReady())
      await mesh.settle()
    },
  },
  { file: 'apply-no-rights.txt', start: startMesh, run: apply({}, 'club'), arrange: ({ server }) => {
    server.put(labelled('club', {}))
    server.forbid(({ namespace: place, verb }) => place !== 'club' || verb !== 'get')
  } },
  { file: 'delete.txt', start: startMesh, run: remove('waypoint', true) },
  { file: 'delete-in-vain.txt', start: startMesh, run: remove('waypoint', true), arrange: ({ server }) => server.put({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'shop', name: 'waypoint' }, spec: {} }) },
  { file: 'delete-none.txt', start: startMesh, run: remove('other') },
  { file: 'delete-foreign.txt', start: startMesh, run: remove('waypoint'), arrange: (mesh) => mesh.edit('Gateway', 'shop', 'waypoint', { spec: { gatewayClassName: 'other' } }) },
  { file: 'delete-auto.txt', start: startMesh, run: remove('waypoint'), arrange: (mesh) => mesh.edit('Namespace', undefined, 'shop', { metadata: { labels: { 'waymark.dev/waypoint': 'auto' } } }) },
  { file: 'dump-gateway.txt', start: startMesh, run: dump('gateway/waypoint') },
  { file: 'dump-same.txt', start: startMesh, run: dump('waypoint-1', { diff: true }) },
  { file: 'dump-controller-same.txt', start: startMesh, run: dump('controller', { diff: true }) },
  {
    file: 'dump-differs.txt', start: startMesh, run: dump('pod/waypoint-2', { diff: true }),
    arrange: async (mesh) => {
      const { text } = await mesh.podPorts.get({ namespace: 'shop', name: 'waypoint-2' }, 15000, '/snapshot')
      mesh.says.set('waypoint-2', { '/snapshot': page(text) })
      mesh.edit('HTTPRoute', 'shop', 'cart', { spec: { hostnames: ['cart.example'] } })
      mesh.remove('EndpointSlice', 'shop', 'cart')
    },
  },
  { file: 'dump-no-gateway.txt', start: startMesh, run: dump('gateway/other') },
  { file: 'dump-stranger.txt', start: startMesh, run: dump('till'), arrange: ({ server }) => server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name: 'till' }, spec: {} }) },
  { file: 'dump-no-pod.txt', start: startMesh, run: dump('controller'), arrange: (mesh) => controllers.forEach((name) => mesh.edit('Pod', namespace, name, notReady())) },
  { file: 'dump-refused.txt', start: startMesh, run: dump('waypoint-1'), arrange: ({ says }) => says.set('waypoint-1', { '/snapshot': refused }) },
  { file: 'tap.txt', start: withAgents, run: look('shop'), arrange: tapped },
  { file: 'tap.jsonl', start: withAgents, run: look('svc/cart', { output: 'json', max: 2 }), arrange: tapped },
  { file: 'tap-pod.txt', start: withAgents, run: look('pod/till-1', { verdict: 'denied', only: 'connections' }), arrange: tapped },
  { file: 'tap-refused.txt', start: startMesh, run: look('shop'), arrange: ({ says }) => { for (const at of [1, 2]) says.set(`waypoint-${at}`, { '/tap': refused }) } },
  { file: 'tap-nowhere.txt', start: startMesh, run: look('nowhere') },
  { file: 'tap-no-pod.txt', start: startMesh, run: look('pod/other') },
  { file: 'tap-nobody.txt', start: bare, run: look('shop'), arrange: ({ server }) => server.put(labelled('shop', {})) },
  { file: 'status-agents.txt', start: withAgents, run: show() },
  { file: 'status-agents.json', start: withAgents, run: show('json') },
  { file: 'status-agents-troubled.txt', start: withAgents, run: show(), arrange: troubleAgents },
  { file: 'check-agents-fine.txt', start: withAgents, run: check() },
  { file: 'check-agents-troubled.txt', start: withAgents, run: check(), arrange: troubleAgents },
  {
    file: 'check-agents-not-ready.txt', start: withAgents, run: check(),
    arrange: async (mesh) => {
      mesh.edit('DaemonSet', namespace, 'waymark-agent', { status: { numberReady: 1 } })
      mesh.remove('Pod', namespace, 'waymark-agent-2')
      mesh.edit('Pod', 'shop', 'till-1', { metadata: { annotations: { 'waymark.dev/captured': null } } })
      await mesh.settle()
    },
  },
  {
    file: 'check-agents-gone.txt', start: withAgents, run: check(),
    arrange: (mesh) => {
      mesh.remove('DaemonSet', namespace, 'waymark-agent')
      for (const at of [1, 2]) mesh.remove('Pod', namespace, `waymark-agent-${at}`)
    },
  },
  {
    file: 'check-agents-unexpected.txt', start: startMesh, run: check(),
    arrange: (mesh) => {
      const { spec } = mesh.server.get({ kind: 'Deployment', namespace, name: 'waymark-controller' }) as unknown as { readonly spec: object }
      addAgents(mesh)
      mesh.edit('Deployment', namespace, 'waymark-controller', { spec })
    },
  },
  {
    file: 'pre-agents-left.txt', start: bare, run: pre,
    arrange: (mesh) => {
      mesh.server.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'waymark-agent' } })
      putMember(mesh, 'till-1', 'node-1', '10.2.8.4')
    },
  },
  { file: 'dump-agent-same.txt', start: withAgents, run: dump('waymark-agent-1', { diff: true, namespace }) },
  { file: 'agent-dump.txt', start: withAgents, run: agents() },
  { file: 'agent-dump-node.json', start: withAgents, run: agents({ node: 'node-2', output: 'json' }) },
  { file: 'agent-dump-no-node.txt', start: withAgents, run: agents({ node: 'node-9' }) },
  { file: 'agent-dump-none.txt', start: startMesh, run: agents() },
  { file: 'agent-dump-troubled.txt', start: withAgents, run: agents({ node: 'node-2' }), arrange: troubleAgents },
  { file: 'agent-dump-refused.txt', start: withAgents, run: agents(), arrange: ({ says }) => { for (const at of [1, 2]) says.set(`waymark-agent-${at}`, { '/dump': refused, '/metrics': refused }) } },
  { file: 'status-viewer.txt', start: startMesh, run: show(), arrange: viewerOnly },
  { file: 'check-viewer.txt', start: startMesh, run: check(), arrange: viewerOnly },
  {
    file: 'explain-viewer.txt', start: startMesh, arrange: viewerOnly,
    run: (mesh, io) => explain(['http://cart/'], { from: { namespace: 'shop', serviceAccount: 'till' }, header: [], output: 'table' }, io, access(mesh)),
  },
  ...([
    ['explain-from-pod', 'till-1', 'http://cart/'], ['explain-from-pod-outside', 'till-1', 'http://example.org/'], ['explain-from-pod-to-pod', 'till-1', 'http://10.2.7.9:8080/'],
    ['explain-from-pod-disabled', 'alone-1', 'http://cart/'], ['explain-from-pod-gone', 'till-9', 'http://cart/'],
  ] as const).map(([file, pod, url]): ClusterCase => ({
    file: `${file}.txt`, start: withAgents, run: (mesh, io) => runExplain(mesh, io, pod, url),
  })),
  {
    file: 'explain-from-pod-strict.txt', start: withAgents, run: (mesh, io) => runExplain(mesh, io, 'alone-1', 'http://10.2.7.9:8080/'),
    arrange: ({ server }) => {
      for (const each of ownDefinitions()) server.put(each)
      server.put({ apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'MTLSPolicy', metadata: { namespace: 'shop', name: 'strict', creationTimestamp: '2026-01-01T03:04:05Z' }, spec: { mode: 'Strict' } })
    },
  },
  {
    file: 'explain-from-pod-no-agents.txt', start: startMesh, run: (mesh, io) => runExplain(mesh, io, 'till-1', 'http://cart/'),
    arrange: (mesh) => putMember(mesh, 'till-1', 'node-1', '10.2.8.4'),
  },
  {
    file: 'explain-from-pod-refuse.txt', start: withAgents, run: (mesh, io) => runExplain(mesh, io, 'till-1', 'tcp://192.0.2.1:5432'),
    arrange: (mesh) => mesh.edit('DaemonSet', namespace, 'waymark-agent', { spec: { template: { spec: { containers: [{ args: ['agent', '--unknown-destinations=refuse'] }] } } } }),
  },
  {
    file: 'explain.txt', start: startMesh,
    run: (mesh, io) => explain(['http://cart/'], { from: { namespace: 'shop', serviceAccount: 'till' }, header: [], output: 'table' }, io, access(mesh)),
    arrange: ({ server }) => server.forbid(({ resource }) => resource === 'tcproutes'),
  },
]

/** Each state of a cluster that a verb tells apart. */
export function clusterCases(): readonly ClusterCase[] {
  return cases
}

/** Everything that a case says: data, then talk, then the exit code. What differs from run to run has a name in its place. */
export async function runCase({ start, arrange, run }: ClusterCase): Promise<string> {
  const mesh = await start()
  try {
    await arrange?.(mesh)
    let out = ''
    const said: string[] = []
    const code = await run(mesh, { out: (text) => (out += text), say: (line) => void said.push(line), paint: (_colour, text) => text })
    const whole = `${out}${out === '' ? '' : '\n'}${said.map((line) => `stderr: ${line}\n`).join('')}exit code ${code}\n`
    return whole.replaceAll(mesh.server.url, 'https://SERVER').replaceAll(versions().version, 'VERSION').replaceAll(/\b[0-9a-f]{64}\b/g, 'HASH').replaceAll(/\b[0-9a-f]{8}\b/g, 'HASHHASH')
  } finally {
    await mesh.server.close()
  }
}
