import { KubeError } from '../../kube/errors.ts'
import type { KubeObject } from '../../kube/object.ts'
import { explain } from '../explain.ts'
import { versions } from '../version.ts'
import { addWaypoint, caInfo, controllerMetrics, controllers, putCa, startBare, startMesh, startMs, waypointMetrics, type SimulatedMesh } from './mesh.ts'
import { agentCases } from './agent-cases.ts'
import { namespace, gatewayApi, day, access, check, pre, apply, remove, dump, show, list, bare, page, refused, notReady, waiting, labelled, ownDefinitions, type ClusterCase } from './case-verbs.ts'

export const clusterGoldenFolder = new URL('../testdata/cluster/', import.meta.url)

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

/** As a user with the ClusterRole `view` alone, which knows neither custom resources nor Leases nor rights. */
function viewerOnly({ server, says }: SimulatedMesh): void {
  server.forbid(({ group, verb }) => verb !== 'create' && (/gateway|coordination|rbac|apiextensions/.test(group)))
  for (const name of [...controllers, 'waypoint-1', 'waypoint-2']) says.set(name, { '/metrics': refused, '/subscribers': refused })
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
  { file: 'status-viewer.txt', start: startMesh, run: show(), arrange: viewerOnly },
  { file: 'check-viewer.txt', start: startMesh, run: check(), arrange: viewerOnly },
  {
    file: 'explain-viewer.txt', start: startMesh, arrange: viewerOnly,
    run: (mesh, io) => explain(['http://cart/'], { from: { namespace: 'shop', serviceAccount: 'till' }, header: [], output: 'table' }, io, access(mesh)),
  },
  {
    file: 'explain.txt', start: startMesh,
    run: (mesh, io) => explain(['http://cart/'], { from: { namespace: 'shop', serviceAccount: 'till' }, header: [], output: 'table' }, io, access(mesh)),
    arrange: ({ server }) => server.forbid(({ resource }) => resource === 'tcproutes'),
  },
]

/** Each state of a cluster that a verb tells apart. */
export function clusterCases(): readonly ClusterCase[] {
  return [...cases, ...agentCases()]
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
