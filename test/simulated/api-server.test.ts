import assert from 'node:assert/strict'
import type { KubeClient } from '../../src/kube/client.ts'
import { isStatus, KubeError } from '../../src/kube/errors.ts'
import type { KubeList, KubeObject } from '../../src/kube/object.ts'
import { startApiServer, type ApiServer } from './api-server.ts'

const gateway = (name: string, spec: object = { gatewayClassName: 'waypoint' }): KubeObject => ({
  apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name, namespace: 'books', labels: { app: name } }, spec,
})
const configMap = (name: string, data: Record<string, string>): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'books' }, data })
const namesOf = (items: KubeList['items']): string[] => items.map((item) => (item as unknown as KubeObject).metadata.name)
const gateways = '/apis/gateway.networking.k8s.io/v1/gateways'
const books = (kind: string, name: string) => ({ kind, namespace: 'books', name })

describe('simulated API server', () => {
  let server: ApiServer
  let client: KubeClient
  beforeEach(async () => {
    server = await startApiServer()
    client = server.client()
  })
  afterEach(() => server.close())

  const refused = (status: number, reason?: string) => (error: unknown): boolean => {
    assert.ok(isStatus(error, status), String(error))
    if (reason !== undefined) assert.equal(error.reason, reason)
    return true
  }

  it('gives a new object its identity and leaves its status out', async () => {
    const made = await client.create({ ...gateway('a'), status: { addresses: [] } })
    assert.equal(made.metadata.generation, 1)
    assert.match(String(made.metadata.uid), /-/)
    assert.equal(made['status'], undefined)
    assert.deepEqual(await client.read({ apiVersion: made.apiVersion, ...books('Gateway', 'a') }), made)
    await assert.rejects(client.create(gateway('a')), refused(409, 'AlreadyExists'))
  })

  it('raises the generation with the spec, not with the status, and nothing for equal content', async () => {
    const made = await client.create(gateway('a'))
    const withStatus = await client.replace({ ...made, spec: { other: 1 }, status: { x: 1 } }, { subresource: 'status' })
    assert.deepEqual([withStatus.metadata.generation, withStatus['spec'], withStatus['status']], [1, made['spec'], { x: 1 }])
    const same = await client.replace({ ...withStatus, status: { x: 1 } }, { subresource: 'status' })
    assert.equal(same.metadata.resourceVersion, withStatus.metadata.resourceVersion)
    const changed = await client.replace({ ...same, spec: { gatewayClassName: 'other' }, status: {} })
    assert.deepEqual([changed.metadata.generation, changed['status']], [2, { x: 1 }])
    await assert.rejects(client.replace(same), refused(409, 'Conflict'))
  })

  it('lists in pages that show one state, and expires them', async () => {
    for (let index = 0; index < 5; index++) server.put(gateway(`g${index}`))
    const first = (await client.get(gateways, { limit: 2 })) as KubeList
    server.put(gateway('late'))
    const second = (await client.get(gateways, { limit: 10, continue: first.metadata.continue })) as KubeList
    assert.deepEqual(namesOf([...first.items, ...second.items]), ['g0', 'g1', 'g2', 'g3', 'g4'])
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
    const again = (await client.get(gateways, { limit: 2 })) as KubeList
    server.compact()
    await assert.rejects(client.get(gateways, { limit: 2, continue: again.metadata.continue }), refused(410, 'Expired'))
    const selected = (await client.get(gateways, { labelSelector: 'app in (g1,g2),app!=g2' })) as KubeList
    assert.deepEqual(namesOf(selected.items), ['g1'])
    assert.equal(((await client.get(gateways, { fieldSelector: 'metadata.name=g3' })) as KubeList).items.length, 1)
  })

  it('tells watches what happened since a version, in the version asked for, and bookmarks', async () => {
    const first = server.put(gateway('a'))
    server.put(gateway('b'))
    const abort = new AbortController()
    const stream = await client.stream('/apis/gateway.networking.k8s.io/v1beta1/gateways', { watch: true, resourceVersion: first.metadata.resourceVersion, allowWatchBookmarks: true, timeoutSeconds: 1 }, abort.signal)
    server.delete(books('Gateway', 'a'))
    let text = ''
    for await (const chunk of stream) text += String(chunk)
    const events = text.trim().split('\n').map((line) => JSON.parse(line) as { type: string; object: KubeObject })
    assert.deepEqual(events.map(({ type, object }) => `${type} ${object.metadata.name}`), ['ADDED b', 'DELETED a', 'BOOKMARK undefined'])
    assert.equal(events[0]?.object.apiVersion, 'gateway.networking.k8s.io/v1beta1')
    assert.equal(events[2]?.object.metadata.resourceVersion, String(server.version()))
  })

  it('says in the stream that a version is too old', async () => {
    const first = server.put(gateway('a'))
    server.put(gateway('b'))
    server.compact()
    const stream = await client.stream(gateways, { watch: true, resourceVersion: first.metadata.resourceVersion }, AbortSignal.timeout(5000))
    let text = ''
    for await (const chunk of stream) text += String(chunk)
    assert.equal((JSON.parse(text) as { object: { code: number } }).object.code, 410)
  })

  it('lets an object leave and enter the selection of a watch', async () => {
    server.put(gateway('a'))
    const stream = await client.stream(gateways, { watch: true, resourceVersion: server.version(), labelSelector: 'app=a', timeoutSeconds: 1 }, AbortSignal.timeout(5000))
    server.put({ ...gateway('a'), metadata: { name: 'a', namespace: 'books' } })
    server.put(gateway('a'))
    let text = ''
    for await (const chunk of stream) text += String(chunk)
    assert.deepEqual(text.trim().split('\n').map((line) => (JSON.parse(line) as { type: string }).type), ['DELETED', 'ADDED'])
  })

  it('applies: what a manager no longer names goes, what others own stays, nothing changes twice', async () => {
    const deployment = (spec: object): KubeObject => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'w', namespace: 'books' }, spec })
    const containers = [{ name: 'main', image: 'a', env: [{ name: 'A', value: '1' }] }]
    const first = await client.apply(deployment({ replicas: 2, paused: true, template: { spec: { containers } } }), 'waymark')
    const again = await client.apply(deployment({ replicas: 2, paused: true, template: { spec: { containers } } }), 'waymark')
    assert.equal(again.metadata.resourceVersion, first.metadata.resourceVersion)
    await client.patch({ apiVersion: 'apps/v1', ...books('Deployment', 'w') }, { metadata: { labels: { extra: 'yes' } }, spec: { replicas: 7 } })
    const repaired = await client.apply(deployment({ template: { spec: { containers: [{ name: 'main', image: 'b' }] } } }), 'waymark')
    assert.deepEqual(repaired['spec'], { replicas: 7, template: { spec: { containers: [{ name: 'main', image: 'b' }] } } })
    assert.deepEqual(repaired.metadata.labels, { extra: 'yes' })
    const forced = await client.apply(deployment({ replicas: 3 }), 'waymark')
    assert.deepEqual(forced['spec'], { replicas: 3 })
  })

  it('applies only by force over fields of others', async () => {
    server.put(configMap('c', {}))
    await client.apply(configMap('c', { a: '1' }), 'one')
    const path = '/api/v1/namespaces/books/configmaps/c?fieldManager=two'
    const answer = await fetch(`${server.url}${path}`, { method: 'PATCH', headers: { 'content-type': 'application/apply-patch+yaml' }, body: JSON.stringify(configMap('c', { a: '2' })) })
    assert.equal(answer.status, 409)
    assert.deepEqual((await client.apply(configMap('c', { a: '2' }), 'two'))['data'], { a: '2' })
  })

  it('deletes only the object of that uid, then what it owns', async () => {
    const owner = server.put(gateway('a'))
    const { apiVersion, kind } = owner
    server.put({ ...configMap('mine', {}), metadata: { name: 'mine', namespace: 'books', ownerReferences: [{ apiVersion, kind, name: 'a', uid: String(owner.metadata.uid) }] } })
    server.put(configMap('other', {}))
    await client.remove({ apiVersion, ...books(kind, 'a') }, 'another-uid')
    assert.ok(server.get(books('Gateway', 'a')))
    await client.remove({ apiVersion, ...books(kind, 'a') }, String(owner.metadata.uid))
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(server.list('ConfigMap').map(({ metadata }) => metadata.name), ['other'])
  })

  it('keeps a finalized object until its finalizers are gone', async () => {
    server.put({ ...gateway('a'), metadata: { name: 'a', namespace: 'books', finalizers: ['x/y'] } })
    await client.remove({ apiVersion: 'gateway.networking.k8s.io/v1', ...books('Gateway', 'a') })
    const leaving = server.get(books('Gateway', 'a'))
    assert.ok(leaving?.metadata.deletionTimestamp)
    await client.replace({ ...leaving, metadata: { ...leaving.metadata, finalizers: [] } })
    assert.equal(server.get(books('Gateway', 'a')), undefined)
  })

  it('serves kinds that are installed, and 404 for others', async () => {
    const names = async () => ((await client.get('/apis/gateway.networking.k8s.io/v1')) as { resources: { name: string }[] }).resources.map(({ name }) => name)
    assert.ok((await names()).includes('tlsroutes'))
    const back = server.uninstall('TLSRoute')
    assert.ok(!(await names()).includes('tlsroutes'))
    await assert.rejects(client.get('/apis/gateway.networking.k8s.io/v1/tlsroutes'), refused(404, 'NotFound'))
    back()
    assert.ok((await names()).includes('tlsroutes'))
    await assert.rejects(client.get('/apis/example.com/v1'), refused(404))
  })

  it('forbids, and says so in access reviews', async () => {
    const review = async () => (await client.create({ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', metadata: { name: 'x' }, spec: { resourceAttributes: { verb: 'list', resource: 'secrets', group: '' } } }))['status'] as { allowed: boolean }
    const allow = server.forbid(({ resource, verb }) => resource === 'secrets' && verb === 'list')
    await assert.rejects(client.get('/api/v1/secrets'), refused(403, 'Forbidden'))
    assert.equal((await review()).allowed, false)
    allow()
    await client.get('/api/v1/secrets')
    assert.equal((await review()).allowed, true)
    assert.deepEqual(server.writes(), [])
  })

  it('reviews the tokens that it gave out, until their pod is gone', async () => {
    const pod = server.put({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'books' }, spec: {} })
    const token = server.tokens.issue({ namespace: 'books', serviceAccount: 'w', audiences: ['mesh'], pod: { name: 'p', uid: String(pod.metadata.uid) } })
    const review = async (audience: string) =>
      (await client.create({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: { name: 'x' }, spec: { token, audiences: [audience] } }))['status'] as { authenticated: boolean; user?: { username: string } }
    assert.equal((await review('mesh')).user?.username, 'system:serviceaccount:books:w')
    assert.equal((await review('other')).authenticated, false)
    server.delete(books('Pod', 'p'))
    assert.equal((await review('mesh')).authenticated, false)
  })

  it('fails as it is told, and counts', async () => {
    server.fault({ status: 429, retryAfter: 2, times: 1 })
    await assert.rejects(client.get(gateways), (error) => error instanceof KubeError && error.status === 429 && error.retryAfterMs === 2000)
    server.fault({ instead: 'reset', times: 1 })
    await assert.rejects(client.get(gateways), refused(0))
    await client.get(gateways)
    assert.equal(server.counts().get(`list ${gateways}`), 3)
    await client.create(gateway('a'))
    assert.deepEqual(server.writes().map(({ verb, resource }) => `${verb} ${resource}`), ['create gateways'])
  })

  it('cuts, silences and litters watches', async () => {
    const open = () => client.stream(gateways, { watch: true, resourceVersion: server.version() }, AbortSignal.timeout(10_000))
    const next = async (stream: AsyncIterable<Buffer>): Promise<string> => {
      for await (const chunk of stream) return String(chunk)
      return 'end'
    }
    const first = await open()
    server.watches.inject('rubbish')
    assert.equal(await next(first), 'rubbish\n')
    const second = await open()
    const speak = server.watches.silence()
    server.put(gateway('a'))
    server.watches.inject('held back')
    speak()
    assert.match(await next(second), /^{"type":"ADDED"/)
    const third = await open()
    assert.ok(server.watches.cut('reset') >= 1)
    await assert.rejects(next(third))
  })

  it('carries fields of any name and gives Services their address', async () => {
    const hostile = JSON.parse('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"h","namespace":"books"},"data":{"__proto__":"x","constructor":"y"}}') as KubeObject
    assert.deepEqual(Object.keys((await client.create(hostile))['data'] as object), ['__proto__', 'constructor'])
    const service = server.put({ apiVersion: 'v1', kind: 'Service', metadata: { name: 's', namespace: 'books' }, spec: { ports: [{ port: 80 }] } })
    assert.match(JSON.stringify(service['spec']), /"clusterIP":"10\.96\./)
  })
})
