import assert from 'node:assert/strict'
import { kinds, keyOf, objectsOf, type ResourceKind } from '../../api/resources.ts'
import { systemClock } from '../../kit/clock.ts'
import { createReadiness } from '../../kit/ready.ts'
import { collectionPath } from '../../kube/paths.ts'
import type { WatchObserver } from './observer.ts'
import { clusterKinds, watchCluster, type ClusterChange, type ClusterOptions, type ClusterSource } from './source.ts'
import { startStub, status, type Collection, type Stub } from './testing/stub.ts'
import { until } from './testing/until.ts'

const group = '/apis/gateway.networking.k8s.io'

describe('watchCluster', () => {
  let stub: Stub
  let collections: Map<ResourceKind, Collection>
  let sources: ClusterSource[] = []
  beforeEach(async () => {
    stub = await startStub()
    collections = new Map(clusterKinds.map((kind) => [kind, stub.serve(collectionPath(kinds[kind]))]))
    discoverable('v1', clusterKinds)
  })
  afterEach(async () => {
    for (const each of sources) each.close()
    sources = []
    await stub.close()
  })

  /** Lists kinds in the discovery of a version of Gateway API. */
  const discoverable = (version: string, served: readonly ResourceKind[]): void =>
    stub.answer(`${group}/${version}`, (response) => response.end(JSON.stringify({ resources: served.map((kind) => ({ name: kinds[kind].plural })) })))
  const collection = (kind: ResourceKind): Collection => {
    const found = collections.get(kind)
    assert.ok(found)
    return found
  }
  const start = (more: Partial<ClusterOptions> = {}) => {
    const changes: ClusterChange[] = []
    const log: string[] = []
    const readiness = createReadiness()
    const source = watchCluster({
      client: stub.client,
      clock: systemClock,
      random: () => 0.01,
      readiness,
      onChange: (change) => changes.push(change),
      log: (line) => log.push(line),
      ...more,
    })
    sources.push(source)
    return { source, changes, log, readiness, synced: () => until('the first change', () => changes.length > 0) }
  }
  const dirty = (change: ClusterChange | undefined): string[] => (change?.dirty ?? []).map(({ kind, key }) => `${kind} ${key}`).sort()

  it('hands on everything at once when every kind was listed, under the preferred versions and with keys as from files', async () => {
    collection('Gateway').put('waypoint', { spec: { gatewayClassName: 'waypoint' } })
    collection('Namespace').put('shop', {}, '')
    collection('ConfigMap').put('settings', { data: { replicas: '3' } })
    const { source, changes, readiness, synced } = start()
    await synced()
    assert.equal(source.synced(), true)
    assert.equal(readiness.isReady(), true)
    assert.equal(changes.length, 1)
    assert.deepEqual(dirty(changes[0]), ['ConfigMap shop/settings', 'Gateway shop/waypoint', 'Namespace /shop'])
    const objects = [...objectsOf(source.resources())]
    assert.deepEqual(objects.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`).sort(), ['gateway.networking.k8s.io/v1 Gateway', 'v1 ConfigMap', 'v1 Namespace'])
    assert.deepEqual(objects.map((object) => source.resources()[object.kind].get(keyOf(object))), objects)
    assert.equal(changes[0]?.resources, source.resources())
  })

  it('reads of ConfigMaps only those that are labelled for it, and no pods that are over', async () => {
    const { synced } = start()
    await synced()
    const queryOf = (path: string): URLSearchParams | undefined => stub.requests.find((request) => request.path === path)?.query
    assert.equal(queryOf('/api/v1/configmaps')?.get('labelSelector'), 'waymark.dev/config')
    assert.equal(queryOf('/api/v1/pods')?.get('fieldSelector'), 'status.phase!=Succeeded,status.phase!=Failed')
    assert.deepEqual(stub.requests.filter(({ path }) => /secrets|nodes|serviceaccounts/.test(path)), [])
  })

  it('hands on changes in batches, and copies only the maps of kinds that changed', async () => {
    collection('Service').put('cart')
    const { changes, synced } = start({ quietMs: 50 })
    await synced()
    for (let at = 0; at < 50; at++) collection('EndpointSlice').put(`cart-${at}`)
    collection('EndpointSlice').remove('cart-0')
    const keys = (): number => new Set(changes.slice(1).flatMap(dirty)).size
    await until('all changes', () => keys() === 50 && changes.at(-1)?.resources.EndpointSlice.size === 49)
    assert.ok(changes.length < 10, `${changes.length} batches`)
    const [first, last] = [changes[0], changes.at(-1)]
    assert.equal(first?.resources.EndpointSlice.size, 0)
    assert.equal(last?.resources.Service, first.resources.Service)
  })

  it('never changes what it handed on', async () => {
    collection('Service').put('cart')
    const { changes, synced } = start()
    await synced()
    collection('Service').put('other')
    await until('the change', () => changes.length === 2)
    collection('Service').remove('cart')
    await until('the deletion', () => changes.length === 3)
    assert.deepEqual(changes.map(({ resources }) => [...resources.Service.keys()]), [['shop/cart'], ['shop/cart', 'shop/other'], ['shop/other']])
  })

  it('hands on nothing when nothing changed that is kept', async () => {
    const pod = (ready: string, heartbeat: string) => ({
      status: { podIP: '10.0.0.1', conditions: [{ type: 'Ready', status: ready, lastProbeTime: heartbeat }, { type: 'Initialized', status: heartbeat }] },
    })
    collection('Pod').put('cart-1', pod('True', '1'))
    let events = 0
    const observer: WatchObserver = { event: (kind) => void (events += kind === 'Pod' ? 1 : 0) }
    const { changes, synced } = start({ observer })
    await synced()
    for (let at = 0; at < 10; at++) collection('Pod').put('cart-1', pod('True', String(at)))
    await until('the heartbeats', () => events === 10)
    collection('Namespace').put('shop', {}, '')
    await until('the namespace', () => changes.length > 1)
    assert.deepEqual(changes.slice(1).flatMap(dirty), ['Namespace /shop'])
    collection('Pod').put('cart-1', pod('False', '11'))
    await until('the change that counts', () => changes.length > 2)
    const status = changes.at(-1)?.resources.Pod.get('shop/cart-1')?.status
    assert.deepEqual(status?.conditions, [{ type: 'Ready', status: 'False' }])
  })

  it('takes a kind under an older version where the cluster serves no better one', async () => {
    discoverable('v1', clusterKinds.filter((kind) => kind !== 'TCPRoute' && kind !== 'TLSRoute'))
    discoverable('v1alpha2', ['TCPRoute', 'TLSRoute'])
    discoverable('v1alpha3', ['TLSRoute'])
    stub.serve(`${group}/v1alpha2/tcproutes`).put('db', { apiVersion: 'gateway.networking.k8s.io/v1alpha2' })
    stub.serve(`${group}/v1alpha3/tlsroutes`).put('web')
    const { source, synced } = start()
    await synced()
    assert.equal(source.resources().TCPRoute.get('shop/db')?.apiVersion, 'gateway.networking.k8s.io/v1')
    assert.equal(source.resources().TLSRoute.size, 1)
    assert.equal(source.servedVersion('TCPRoute'), 'gateway.networking.k8s.io/v1alpha2')
    assert.equal(source.servedVersion('TLSRoute'), 'gateway.networking.k8s.io/v1alpha3')
    assert.equal(source.servedVersion('HTTPRoute'), 'gateway.networking.k8s.io/v1')
    assert.deepEqual(source.problems(), [])
  })

  it('does without route kinds that are not installed, says so, and takes them when they come', async () => {
    discoverable('v1', clusterKinds.filter((kind) => kind !== 'TCPRoute'))
    const served: string[] = []
    const { source, log, readiness, changes, synced } = start({ onServed: (kind) => served.push(kind) })
    await synced()
    assert.equal(readiness.isReady(), true)
    assert.deepEqual(served, ['TCPRoute'])
    assert.equal(source.problems().length, 1)
    assert.match(source.problems()[0] ?? '', /^TCPRoute: .*serves no tcproutes\.gateway.*no effect; .*kubectl apply --server-side -f https:/)
    assert.deepEqual(log, source.problems())
    collection('TCPRoute').put('db')
    discoverable('v1', clusterKinds)
    await until('the route', () => changes.at(-1)?.resources.TCPRoute.has('shop/db') === true)
    await until('no problem', () => source.problems().length === 0)
    assert.match(log.at(-1) ?? '', /^resolved: TCPRoute/)
    assert.deepEqual(served, ['TCPRoute', 'TCPRoute'])
    assert.equal(log.length, 2)
  })

  it('waits for the CRDs that it needs, and names them with the command that installs them', async () => {
    for (const version of ['v1', 'v1beta1']) discoverable(version, clusterKinds.filter((kind) => kind !== 'HTTPRoute'))
    const { changes, source, readiness, synced } = start()
    await until('all but one', () => readiness.pending().length === 1 && source.problems().length === 1)
    assert.deepEqual(changes, [])
    assert.equal(source.synced(), false)
    const [pending] = readiness.pending()
    assert.equal(pending?.name, 'cluster/HTTPRoute')
    assert.match(pending.why, /serves no httproutes\.gateway\.networking\.k8s\.io in v1, v1beta1; install .*standard-install\.yaml/)
    discoverable('v1', clusterKinds)
    await synced()
    assert.deepEqual(readiness.pending(), [])
  })

  it('waits for its permissions, and names the rule that it lacks', async () => {
    stub.answer(collectionPath(kinds.EndpointSlice), status(403, 'Forbidden'))
    const { changes, readiness, source } = start()
    await until('all but one', () => readiness.pending().length === 1 && source.problems().length === 1)
    const [pending] = readiness.pending()
    assert.equal(pending?.name, 'cluster/EndpointSlice')
    assert.match(pending.why, /Forbidden it is.*\{apiGroups: \["discovery\.k8s\.io"\], resources: \["endpointslices"\], verbs: \["get", "list", "watch"\]\}/)
    assert.deepEqual(changes, [])
  })

  it('stays ready with what it saw last when it is out of touch, says so, and mends itself', async () => {
    collection('Service').put('cart')
    const { source, readiness, synced, changes, log } = start()
    await synced()
    stub.answer('/api/v1/services', status(503, 'ServiceUnavailable'))
    collection('Service').cut()
    await until('the problem', () => source.problems().length === 1)
    assert.match(source.problems()[0] ?? '', /^Service: out of touch with the API server \(.*503.*stays in force/)
    assert.equal(readiness.isReady(), true)
    assert.equal(source.resources().Service.size, 1)
    collections.set('Service', stub.serve('/api/v1/services'))
    collection('Service').put('other')
    await until('the change', () => changes.at(-1)?.resources.Service.has('shop/other') === true, () => {
      // The stub's new collection has none of the old one's history: it must be listed.
      collection('Service').compact()
    })
    assert.deepEqual([...source.resources().Service.keys()], ['shop/other'])
    await until('no problem', () => source.problems().length === 0)
    assert.match(log.at(-1) ?? '', /^resolved: Service/)
  })

  it('reads only the kinds that it is asked for', async () => {
    const { changes, synced } = start({ kinds: ['Namespace'] })
    collection('Service').put('cart')
    await synced()
    assert.deepEqual([...new Set(stub.requests.map(({ path }) => path))], ['/api/v1/namespaces'])
    assert.equal(changes.length, 1)
  })

  it('hands on nothing after it was closed', async () => {
    const { source, changes, synced } = start()
    await synced()
    collection('Service').put('cart')
    source.close()
    await until('the end of all watches', () => [...collections.values()].every((each) => each.watches() === 0))
    assert.equal(changes.length, 1)
  })
})
