import assert from 'node:assert/strict'
import { parseAllDocuments } from 'yaml'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import type { KubeObject } from '../kube/object.ts'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { whyKeep } from './definitions-in-cluster.ts'
import { install, type InstallOptions } from './install.ts'
import { plain, type Io } from './io.ts'
import { uninstall, type UninstallOptions } from './uninstall.ts'

const options: InstallOptions = {
  namespace: 'waymark-system', imagePullPolicy: 'IfNotPresent', imagePullSecret: [], replicas: 2, trustDomain: 'cluster.local', svidLifetime: 3600, accessLog: 'none',
  apply: true, timeout: 60,
}
const removal: UninstallOptions = { namespace: 'waymark-system', force: false, crds: false, ca: false, timeout: 60 }
const gatewayApi = 'gateway.networking.k8s.io/v1'
const waypointOf = (namespace: string): KubeObject => ({ apiVersion: gatewayApi, kind: 'Gateway', metadata: { name: 'waypoint', namespace }, spec: { gatewayClassName: 'waypoint' } })
const bundle = (namespace: string): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'waymark-trust-bundle', namespace }, data: {} })
const caSecret: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'waymark-ca', namespace: 'waymark-system' }, data: {} }

describe('install and uninstall', () => {
  let server: ApiServer
  let clock: FakeClock
  let out = ''
  let said: string[] = []
  const io: Io = { out: (text) => (out += text), say: (line) => void said.push(line), paint: plain }

  beforeEach(async () => {
    server = await startApiServer()
    clock = fakeClock()
    out = ''
    said = []
  })
  afterEach(() => server.close())

  /** Turns the clock until the verb is done, and lets the cluster do its part after each look. */
  const finish = async (verb: Promise<number>, cluster: () => void = () => {}): Promise<number> => {
    let code: number | undefined
    const done = verb.then((given) => (code = given))
    while (code === undefined) {
      cluster()
      clock.advance(500)
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 2))])
    }
    return code
  }
  const access = () => ({ client: server.client(), clock })
  const rollOut = (): void => {
    for (const deployment of server.list('Deployment')) {
      const { replicas } = deployment['spec'] as { replicas: number }
      const status = { observedGeneration: deployment.metadata.generation, replicas, updatedReplicas: replicas, availableReplicas: replicas }
      if (deployment['status'] === undefined) server.put({ ...deployment, status })
    }
  }
  const establish = (): void => {
    for (const crd of server.list('CustomResourceDefinition')) {
      if (crd['status'] === undefined) server.put({ ...crd, status: { conditions: [{ type: 'Established', status: 'True' }] } })
    }
  }
  const written = (): string[] => server.writes().map(({ verb, resource }) => `${verb} ${resource}`)

  it('prints manifests that a YAML reader takes, with every setting in its place, and touches no cluster', async () => {
    const settings = {
      namespace: 'mesh', image: 'images.example/waymark:1', imagePullPolicy: 'Never', imagePullSecret: ['pull'], replicas: 3, trustDomain: 'mesh.example', svidLifetime: 600,
      ownCaSecret: 'mine', accessLog: 'json', otlpEndpoint: 'http://collector:4318',
    } as const
    assert.equal(await install({ ...options, ...settings, apply: false }, io), 0)
    const objects = parseAllDocuments(out).map((document) => document.toJS() as KubeObject)
    assert.deepEqual(objects.map(({ kind }) => kind), [
      'CustomResourceDefinition', 'CustomResourceDefinition', 'Namespace', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Service', 'Service', 'PodDisruptionBudget', 'GatewayClass', 'Deployment',
    ])
    assert.ok(!out.includes('waymark-system'))
    assert.deepEqual(new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? [])), new Set(['mesh']))
    const find = (kind: string): Record<string, unknown> => objects.find((each) => each.kind === kind) as unknown as Record<string, unknown>
    assert.deepEqual(find('ServiceAccount')['imagePullSecrets'], [{ name: 'pull' }])
    assert.ok((find('Role')['rules'] as { resourceNames?: string[] }[]).some(({ resourceNames }) => resourceNames?.includes('mine')))
    const spec = find('Deployment')['spec'] as { replicas: number; template: { spec: { containers: { image: string; imagePullPolicy: string; args: string[] }[] } } }
    const [container] = spec.template.spec.containers
    assert.deepEqual([spec.replicas, container?.image, container?.imagePullPolicy], [3, 'images.example/waymark:1', 'Never'])
    assert.deepEqual(container?.args, [
      'controller', '--namespace=$(POD_NAMESPACE)', '--pod=$(POD_NAME)', '--pod-ip=$(POD_IP)', '--host=0.0.0.0', '--trust-domain=mesh.example', '--svid-lifetime=600',
      '--image=images.example/waymark:1', '--image-pull-policy=Never', '--image-pull-secret=pull', '--own-ca-secret=mine', '--access-log=json', '--otlp-endpoint=http://collector:4318',
    ])
  })

  it('prints CRDs first, those of the channel that was asked for and our own', async () => {
    assert.equal(await install({ ...options, apply: false, crds: 'experimental' }, io), 0)
    const objects = parseAllDocuments(out).map((document) => document.toJS() as KubeObject)
    assert.deepEqual(objects.slice(0, 10).map(({ kind }) => kind), [...Array<string>(9).fill('CustomResourceDefinition'), 'Namespace'])
    assert.equal(objects[0]?.metadata.annotations?.['gateway.networking.k8s.io/channel'], 'experimental')
  })

  it('applies in order, waits until CRDs are served and the controller is available, and says what is next', async () => {
    assert.equal(await finish(install({ ...options, crds: 'standard' }, io, access()), () => {
      establish()
      rollOut()
    }), 0)
    const kinds = said.flatMap((line) => /^applied (\w+)/.exec(line)?.[1] ?? [])
    assert.deepEqual([...new Set(kinds)], [
      'Namespace', 'CustomResourceDefinition', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Service', 'PodDisruptionBudget', 'GatewayClass', 'Deployment',
    ])
    assert.match(said.at(-1) ?? '', /kubectl label namespace/)
    const before = server.version()
    assert.equal(await finish(install({ ...options, crds: 'standard' }, io, access()), rollOut), 0)
    assert.equal(server.version(), before, 'a second time changes nothing')
  })

  it('does not go on before CRDs are served', async () => {
    assert.equal(await finish(install({ ...options, crds: 'standard', timeout: 5 }, io, access())), 1)
    assert.match(said.at(-1) ?? '', /is not served after 5 s; see kubectl describe crd/)
    assert.deepEqual(server.list('Deployment'), [])
  })

  it('refuses without Gateway API, before anything is changed', async () => {
    for (const kind of ['GatewayClass', 'Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant', 'BackendTLSPolicy']) server.uninstall(kind)
    assert.equal(await install(options, io, access()), 1)
    assert.deepEqual(said, ['waymark install: the cluster has no Gateway API: add --crds standard, or install its CRDs yourself; nothing was changed'])
    assert.deepEqual(written(), [])
  })

  it('leaves what Helm looks after, another namespace\'s mesh and another\'s class alone', async () => {
    const labels = { 'app.kubernetes.io/managed-by': 'Helm' }
    const annotations = { 'meta.helm.sh/release-name': 'mesh' }
    server.put({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'waymark-controller', namespace: 'waymark-system', labels, annotations }, spec: {} })
    assert.equal(await install(options, io, access()), 1)
    assert.match(said.at(-1) ?? '', /Helm release mesh in waymark-system: change it with helm upgrade/)
    assert.equal(await uninstall({ ...removal, force: true }, io, access()), 1)
    assert.match(said.join('\n'), /helm uninstall mesh -n waymark-system/)
    server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'till-1', namespace: 'shop', annotations: { 'waymark.dev/captured': 'true' } }, spec: {} })
    said = []
    assert.equal(await uninstall(removal, io, access()), 1)
    assert.match(said.join('\n'), /a pod is marked as captured[^]*shop\/till-1[^]*let them retire[^]*helm uninstall mesh -n waymark-system/)
    server.delete({ kind: 'Pod', namespace: 'shop', name: 'till-1' })
    server.delete({ kind: 'Deployment', namespace: 'waymark-system', name: 'waymark-controller' })
    server.put({ apiVersion: gatewayApi, kind: 'GatewayClass', metadata: { name: 'waypoint' }, spec: { controllerName: 'example.com/other' } })
    assert.equal(await install(options, io, access()), 1)
    assert.match(said.at(-1) ?? '', /is that of example\.com\/other/)
    const subjects = [{ kind: 'ServiceAccount', name: 'waymark-controller', namespace: 'elsewhere' }]
    server.put({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', metadata: { name: 'waymark-controller' }, subjects })
    assert.equal(await install(options, io, access()), 1)
    assert.match(said.at(-1) ?? '', /use --namespace elsewhere/)
    assert.equal(await uninstall({ ...removal, force: true }, io, access()), 1)
    assert.deepEqual(written(), [])
  })

  it('says why the controller does not come up', async () => {
    const labels = { 'app.kubernetes.io/name': 'waymark', 'app.kubernetes.io/component': 'controller' }
    const waiting = { reason: 'ErrImagePull', message: 'no such image' }
    server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c-1', namespace: 'waymark-system', labels }, spec: {}, status: { containerStatuses: [{ ready: false, image: 'waymark:1', state: { waiting } }] } })
    assert.equal(await finish(install({ ...options, timeout: 3 }, io, access())), 1)
    assert.match(said.join('\n'), /waiting for the controller: 0 of 2 available\n[^]*not available after 3 s: c-1: ErrImagePull: the image waymark:1 can not be had; push it, load it into the cluster, or name another/)
  })

  it('tells in one line that rights are missing', async () => {
    server.forbid(({ resource, verb }) => resource === 'clusterroles' && verb !== 'get')
    assert.equal(await finish(install(options, io, access()), rollOut), 1)
    assert.match(said.at(-1) ?? '', /^waymark install: PATCH .*clusterroles.*403.*; ask for that right, or use a context whose user has it$/)
  })

  it('uninstalls in reverse, and says what stays', async () => {
    await finish(install(options, io, access()), rollOut)
    for (const object of [bundle('waymark-system'), bundle('books'), caSecret]) server.put(object)
    said = []
    assert.equal(await finish(uninstall(removal, io, access())), 0)
    assert.deepEqual(said.filter((line) => line.startsWith('deleted')).map((line) => line.split(' ')[1]), [
      'Deployment', 'GatewayClass', 'PodDisruptionBudget', 'Service', 'Service', 'RoleBinding', 'Role', 'ClusterRoleBinding', 'ClusterRole', 'ServiceAccount',
    ])
    assert.match(said.join('\n'), /Secret waymark-system\/waymark-ca.*--ca deletes it/)
    assert.ok(server.get({ kind: 'Secret', namespace: 'waymark-system', name: 'waymark-ca' }))
    assert.equal(server.list('ConfigMap').length, 2)
    said = []
    assert.equal(await finish(uninstall({ ...removal, ca: true }, io, access())), 0)
    assert.deepEqual([server.list('Secret'), server.list('ConfigMap')], [[], []])
    assert.match(said.at(-2) ?? '', /namespace waymark-system stays/)
  })

  it('refuses to uninstall under running waypoints, unless forced', async () => {
    await finish(install(options, io, access()), rollOut)
    for (const namespace of ['books', 'shop']) server.put(waypointOf(namespace))
    server.resetCounts()
    assert.equal(await uninstall(removal, io, access()), 1)
    assert.match(said.join('\n'), /2 waypoints are still there: books\/waypoint, shop\/waypoint/)
    assert.deepEqual(written(), [])
    assert.equal(await finish(uninstall({ ...removal, force: true }, io, access())), 0)
    assert.equal(server.list('Gateway').length, 2)
  })

  it('waits until controllers are gone before it deletes what they would make again', async () => {
    const labels = { 'app.kubernetes.io/name': 'waymark', 'app.kubernetes.io/component': 'controller' }
    server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'c-1', namespace: 'waymark-system', labels }, spec: {} })
    server.put(caSecret)
    assert.equal(await finish(uninstall({ ...removal, ca: true, timeout: 2 }, io, access())), 1)
    assert.match(said.at(-1) ?? '', /controllers still run/)
    assert.equal(server.list('Secret').length, 1)
  })

  it('deletes CRDs only where nothing would be lost with them, unless forced', async () => {
    server.put({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'httproutes.gateway.networking.k8s.io' }, spec: {} })
    server.put({ apiVersion: gatewayApi, kind: 'HTTPRoute', metadata: { name: 'web', namespace: 'books' }, spec: {} })
    assert.equal(await uninstall({ ...removal, crds: true }, io, access()), 1)
    assert.match(said.join('\n'), /--crds would delete, with the CRDs, 1 objects of Gateway API[^]*books\/web/)
    assert.equal(server.list('CustomResourceDefinition').length, 1)
    assert.equal(await finish(uninstall({ ...removal, crds: true, force: true }, io, access())), 0)
    assert.deepEqual(server.list('CustomResourceDefinition'), [])
  })

  it('names policies before it deletes them with the CRDs', async () => {
    for (const [kind, name] of [['AuthorizationPolicy', 'readers'], ['MTLSPolicy', 'strict']] as const) server.put({ apiVersion: 'policy.waymark.dev/v1alpha1', kind, metadata: { name, namespace: 'books' }, spec: {} })
    assert.equal(await uninstall({ ...removal, crds: true }, io, access()), 1)
    assert.match(said.join('\n'), /--crds would delete, with the CRDs, 2 policies of who may do what: books\/readers, books\/strict/)
    said = []
    assert.equal(await finish(uninstall({ ...removal, crds: true, force: true }, io, access())), 0)
    assert.match(said.join('\n'), /2 policies go with the CRDs: books\/readers, books\/strict/)
  })

  it('refuses to leave captured pods behind, unless forced, and takes leftovers of agents', async () => {
    server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'till-1', namespace: 'shop', annotations: { 'waymark.dev/captured': 'true' } }, spec: {} })
    server.put({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'waymark-agent', namespace: 'waymark-system' }, spec: {} })
    assert.equal(await uninstall(removal, io, access()), 1)
    assert.match(said.join('\n'), /a pod is marked as captured by agents of nodes: shop\/till-1[^]*take the label waymark.dev\/mesh away/)
    assert.equal(await finish(uninstall({ ...removal, force: true }, io, access())), 0)
    assert.equal(server.list('DaemonSet').length, 0)
  })

  it('keeps CRDs that are newer or of the channel with more fields', () => {
    const crd = (version: string, channel: string): KubeObject => ({
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition',
      metadata: { name: 'x', annotations: { 'gateway.networking.k8s.io/bundle-version': version, 'gateway.networking.k8s.io/channel': channel } },
    })
    const ours = crd('v1.6.1', 'standard')
    assert.equal(whyKeep(crd('v1.6.0', 'standard'), ours), undefined)
    assert.equal(whyKeep(crd('v1.6.1', 'standard'), crd('v1.6.1', 'experimental')), undefined)
    assert.match(whyKeep(crd('v1.10.0', 'standard'), ours) ?? '', /newer/)
    assert.match(whyKeep(crd('v1.6.1', 'experimental'), ours) ?? '', /would drop fields$/)
    assert.match(whyKeep(crd('v1.5.0', 'experimental'), ours) ?? '', /--crds experimental/)
    assert.equal(whyKeep({ ...ours, metadata: { name: 'x' } }, ours), undefined)
  })
})
