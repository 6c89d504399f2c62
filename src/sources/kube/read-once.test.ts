import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../../test/simulated/api-server.ts'
import type { KubeObject } from '../../kube/object.ts'
import { readCluster } from './read-once.ts'

const gatewayApi = 'gateway.networking.k8s.io/v1'
const service = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name }, spec: { ports: [{ port: 80 }] } })

describe('readCluster', () => {
  let server: ApiServer
  afterEach(() => server.close())

  it('reads every object in parts, as the watch gives them: trimmed, frozen, with kind and version', async () => {
    server = await startApiServer({ pageSize: 7 })
    for (let at = 0; at < 30; at++) server.put(service(`s-${at}`))
    await server.client().apply(service('mine'), 'somebody')
    const { resources, problems } = await readCluster(server.client())
    assert.deepEqual(problems, [])
    assert.equal(resources.Service.size, 31)
    const mine = resources.Service.get('shop/mine')
    assert.deepEqual([mine?.kind, mine?.apiVersion, Object.isFrozen(mine?.spec)], ['Service', 'v1', true])
    assert.ok(!JSON.stringify(mine).includes('managedFields'))
  })

  it('leaves pods that are over and ConfigMaps of others out', async () => {
    server = await startApiServer()
    for (const [name, phase] of [['runs', 'Running'], ['done', 'Succeeded'], ['broken', 'Failed']] as const) {
      server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'shop', name }, spec: {}, status: { phase } })
    }
    server.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'shop', name: 'theirs' }, data: {} })
    const { resources } = await readCluster(server.client())
    assert.deepEqual([...resources.Pod.keys()], ['shop/runs'])
    assert.equal(resources.ConfigMap.size, 0)
  })

  it('names each kind that is not served, and reads the others', async () => {
    server = await startApiServer()
    server.put(service('cart'))
    server.uninstall('TCPRoute')
    server.uninstall('HTTPRoute')
    const { resources, problems } = await readCluster(server.client())
    assert.deepEqual(problems.map(({ kind, reason, optional }) => [kind, reason, optional]).sort(), [['HTTPRoute', 'missing', false], ['TCPRoute', 'missing', true]])
    assert.match(problems.find(({ kind }) => kind === 'TCPRoute')?.line ?? '', /^TCPRoute: the cluster serves no tcproutes\.gateway\.networking\.k8s\.io in v1, v1alpha2; such routes have no effect; install the CRDs of Gateway API: kubectl apply/)
    assert.equal(resources.Service.size, 1)
  })

  it('names each kind that may not be listed, and reads the others', async () => {
    server = await startApiServer()
    server.put(service('cart'))
    server.forbid(({ resource, verb }) => resource === 'pods' && verb === 'list')
    const { resources, problems } = await readCluster(server.client())
    assert.deepEqual(problems.map(({ kind, reason, optional }) => [kind, reason, optional]), [['Pod', 'forbidden', false]])
    assert.match(problems[0]?.line ?? '', /^Pod: you may not list pods in all namespaces \(GET \/api\/v1\/pods: 403 .*\); ask for the right/)
    assert.equal(resources.Service.size, 1)
  })

  it('takes the version of a kind that the cluster serves, and hands objects on under the newest', async () => {
    server = await startApiServer()
    server.uninstall('GatewayClass')
    server.install({ kind: 'GatewayClass', group: 'gateway.networking.k8s.io', versions: ['v1beta1'], plural: 'gatewayclasses', namespaced: false, status: true, custom: true })
    server.put({ apiVersion: 'gateway.networking.k8s.io/v1beta1', kind: 'GatewayClass', metadata: { name: 'waypoint' }, spec: { controllerName: 'waymark.dev/waypoint' } })
    const { resources, problems } = await readCluster(server.client())
    assert.deepEqual(problems, [])
    assert.equal(resources.GatewayClass.get('/waypoint')?.apiVersion, gatewayApi)
  })

  it('goes on without discovery, which not everybody may ask for', async () => {
    server = await startApiServer()
    server.put({ apiVersion: gatewayApi, kind: 'Gateway', metadata: { namespace: 'shop', name: 'waypoint' }, spec: { gatewayClassName: 'waypoint', listeners: [] } })
    server.forbid(({ path }) => path.startsWith('/apis/') && path.split('/').length === 4)
    const { resources, problems } = await readCluster(server.client())
    assert.deepEqual([resources.Gateway.size, problems], [1, []])
  })

  it('lists a kind anew in one part if the list in parts took too long', async () => {
    server = await startApiServer({ pageSize: 10 })
    for (let at = 0; at < 20; at++) server.put(service(`s-${at}`))
    server.fault({ on: ({ resource, query }) => resource === 'services' && query.has('continue'), status: 410, reason: 'Expired', times: 1 })
    const { resources } = await readCluster(server.client())
    assert.equal(resources.Service.size, 20)
  })

  it('fails as a whole if the API server fails', async () => {
    server = await startApiServer()
    server.fault({ on: ({ resource }) => resource === 'services', status: 500, reason: 'InternalError' })
    await assert.rejects(readCluster(server.client()), { name: 'KubeError', status: 500 })
    server.clearFaults()
    server.fault({ on: ({ resource }) => resource === 'services', instead: 'hang' })
    await assert.rejects(readCluster(server.client(), { timeoutMs: 50 }), { name: 'KubeError', status: 0 })
  })

  it('reads only the kinds that are asked for', async () => {
    server = await startApiServer()
    server.put(service('cart'))
    const { resources } = await readCluster(server.client(), { kinds: ['Namespace'] })
    assert.equal(resources.Service.size, 0)
    assert.deepEqual([...server.counts().keys()], ['list /api/v1/namespaces'])
  })
})
