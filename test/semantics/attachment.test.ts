import assert from 'node:assert/strict'
import { backend, type Backend } from './testing/backend.ts'
import { Refused, type Reply } from './testing/client.ts'
import { l7Namespace, namespace, prefix, route, service, slice, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const who = (reply: Reply): string => reply.status === 200 ? reply.seen.backend : `${reply.status} ${reply.reason ?? ''}`

describe('which routes apply to whom (semantics 1 and 2)', () => {
  const all: Backend[] = []
  let mesh: Mesh
  const make = async (name: string, host?: string): Promise<Backend> => {
    const made = await backend(name, undefined, host)
    all.push(made)
    return made
  }
  const ask = async (from: string, authority: string, path = '/', headers = {}): Promise<string> => who(await mesh.call(from, authority, { path, headers }))

  before(async () => {
    const own = await make('own')
    const v1 = await make('v1')
    const v2 = await make('v2')
    const ratings = await make('ratings')
    const cart = await make('cart')
    const pod = await make('pod', '127.0.0.3')
    const books = (name: string, extra: Manifest = {}): Manifest[] => service(`books/${name}`, [own], extra)
    const simple = (name: string, service: string, backend: string, parent: Manifest = {}): Manifest =>
      route('HTTPRoute', name, service, [{ backendRefs: [to(backend)] }], { parent })

    mesh = await startMesh(
      ['books', 'shop', 'club', 'stars'],
      ...l7Namespace('books'), ...l7Namespace('shop'), namespace('club'),
      ...l7Namespace('stars', {}, { allowedRoutes: { namespaces: { from: 'All' } } }),
      ...service('books/v1', [v1]), ...service('books/v2', [v2]), ...service('shop/cart', [cart]),
      ...books('reviews', { clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1', 'fd00::1'] }),
      ...service('books/ratings', [ratings], { clusterIP: '10.96.0.2' }),
      simple('books/reviews', 'books/reviews', 'books/v1'),
      route('HTTPRoute', 'shop/reviews', 'books/reviews', [prefix('/v2', { backendRefs: [to('books/v2')] })]),
      simple('club/reviews', 'books/reviews', 'books/v2'),
      // A consumer route of which nothing is valid.
      route('HTTPRoute', 'shop/broken', 'books/ratings', [{ matches: [{ path: { type: 'RegularExpression', value: '/(' } }], backendRefs: [to('books/v2')] }]),
      ...books('matched'), route('HTTPRoute', 'books/matched', 'books/matched', [prefix('/only', { backendRefs: [to('books/v1')] })]),
      ...books('chained'), simple('books/chained', 'books/chained', 'books/reviews'),
      ...books('elsewhere'), simple('books/elsewhere', 'books/elsewhere', 'shop/cart'),
      ...books('ported', { ports: [{ name: 'http', port: 80 }, { name: 'http-admin', port: 8080 }, { name: 'http-free', port: 8081 }] }),
      simple('books/ported-by-port', 'books/ported', 'books/v1', { port: 80 }),
      simple('books/ported-by-name', 'books/ported', 'books/v2', { sectionName: 'http-admin' }),
      simple('books/ported-both-wrong', 'books/ported', 'books/v2', { port: 8081, sectionName: 'http' }),
      simple('books/ported-no-such', 'books/ported', 'books/v2', { port: 99 }),
      ...books('merged'),
      route('HTTPRoute', 'books/merged-a', 'books/merged', [prefix('/a', { backendRefs: [to('books/v1')] })]),
      route('HTTPRoute', 'books/merged-b', 'books/merged', [prefix('/b', { backendRefs: [to('books/v2')] })]),
      ...books('mixed'), simple('books/mixed', 'books/mixed', 'books/v1'),
      route('GRPCRoute', 'books/mixed', 'books/mixed', [{ matches: [{ method: { service: 'a.B', method: 'C' } }], backendRefs: [to('books/v2')] }]),
      ...books('core'), simple('books/core', 'books/core', 'books/v2', { group: 'core' }),
      ...books('wrong-group'), simple('books/wrong-group', 'books/wrong-group', 'books/v2', { group: 'gateway.networking.k8s.io' }),
      ...books('headless', { clusterIP: 'None' }), simple('books/headless', 'books/headless', 'books/v2'),
      ...books('front'), simple('books/front', 'books/front', 'books/headless'),
      ...books('selected', { selector: { app: 'selected' } }), ...service('books/bare', []), slice('books/bare', 'by-hand', v2),
      ...books('to-bare'), simple('books/to-bare', 'books/to-bare', 'books/bare'),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'outside', namespace: 'books' }, spec: { type: 'ExternalName', externalName: 'example.org', ports: [{ port: 80 }] } },
      simple('books/outside', 'books/outside', 'books/v2'),
      ...books('to-outside'), simple('books/to-outside', 'books/to-outside', 'books/outside'),
      ...service('stars/one', [own]), ...service('stars/two', [own]),
      ...service('stars/db', [own], { ports: [{ name: 'tcp-db', port: 5432 }] }),
      simple('stars/all', 'stars/-', 'books/v1', { kind: 'Gateway', group: 'gateway.networking.k8s.io', name: 'waypoint', namespace: 'stars' }),
      simple('shop/all-of-stars', 'stars/-', 'books/v2', { kind: 'Gateway', group: 'gateway.networking.k8s.io', name: 'waypoint', namespace: 'stars' }),
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod', namespace: 'books' }, spec: { containers: [] }, status: { phase: 'Running', podIP: pod.host } },
    )
    podPort = pod.port
  })
  let podPort = 0
  after(async () => {
    await mesh.close()
    for (const each of all) each.close()
  })

  it('a Service without routes gets its traffic at its own endpoints', async () => {
    assert.equal(await ask('shop', 'ratings.books:80'), 'ratings')
    assert.equal(await ask('club', 'selected.books:80'), 'own')
  })

  it('the original destination decides, never the Host header', async () => {
    assert.equal(await ask('books', 'ratings.books:80', '/', { host: 'reviews.books' }), 'ratings')
    assert.equal(await ask('books', 'reviews.books:80', '/', { host: 'ratings.books' }), 'v1')
    assert.equal(await ask('books', 'reviews.books:80', '/', { host: '10.96.0.2:80' }), 'v1')
  })

  it('the Host header reaches the backend, in lower case', async () => {
    assert.equal((await mesh.call('books', 'reviews.books:80', { headers: { host: 'Any.Example:81' } })).seen.host, 'any.example:81')
  })

  it('a Service is the same by every spelling of its name and by every ClusterIP', async () => {
    for (const authority of ['reviews:80', 'reviews.books:80', 'reviews.books.svc:80', 'REVIEWS.books.svc.cluster.local:80', 'reviews.books.svc.cluster.local.:80', '10.96.0.1:80', '[fd00::1]:80', '[FD00:0:0::0:1]:80']) {
      assert.equal(await ask('books', authority), 'v1', authority)
    }
  })

  it('names are looked up in the caller\'s own namespace, and unknown ones and ports are refused, never passed on', async () => {
    for (const [from, authority] of [['shop', 'reviews:80'], ['books', 'nobody.books:80'], ['books', 'reviews.books:81'], ['books', '10.96.0.99:80'], ['books', 'localhost:80'], ['books', `127.0.0.1:${all[0]?.port ?? 0}`]] as const) {
      await assert.rejects(ask(from, authority), (error) => error instanceof Refused && error.status === 502 && error.reason === 'unknown-destination', authority)
    }
  })

  it('producer routes hold for callers of every namespace, those without a waypoint too', async () => {
    for (const from of ['books', 'club', 'stars']) assert.equal(await ask(from, 'reviews.books:80', '/v2'), 'v1', from)
  })

  it('consumer routes hold for their own namespace only, and replace the producer\'s: there is no fall-through', async () => {
    assert.equal(await ask('shop', 'reviews.books:80', '/v2/x'), 'v2')
    assert.equal(await ask('shop', 'reviews.books:80', '/'), '404 no-route')
    assert.equal(await ask('shop', '10.96.0.1:80', '/v2'), 'v2')
  })

  it('a consumer route whose namespace has no waypoint changes nothing, and its status says so', async () => {
    assert.equal(await ask('club', 'reviews.books:80'), 'v1')
    assert.ok(mesh.conditions('HTTPRoute', 'club/reviews').includes('waymark.dev/Programmed=False/NoWaypoint'))
  })

  it('a rejected consumer route never captures traffic', async () => {
    assert.equal(await ask('shop', 'ratings.books:80'), 'ratings')
    assert.ok(mesh.conditions('HTTPRoute', 'shop/broken').includes('Accepted=False/UnsupportedValue'))
  })

  it('where routes are attached and none matches the answer is 404, never the Service\'s own endpoints', async () => {
    assert.equal(await ask('books', 'matched.books:80', '/only/this'), 'v1')
    for (const path of ['/', '/onlyx', '/Only', '/x/only']) assert.equal(await ask('books', 'matched.books:80', path), '404 no-route', path)
  })

  it('a backend means the endpoints of a Service: its own routes are not consulted', async () => {
    assert.equal(await ask('books', 'chained.books:80'), 'own')
  })

  it('a backend in another namespace needs no grant', async () => {
    assert.equal(await ask('club', 'elsewhere.books:80'), 'cart')
    assert.ok(mesh.conditions('HTTPRoute', 'books/elsewhere').includes('ResolvedRefs=True/ResolvedRefs'))
  })

  it('parentRef port and sectionName restrict to that port; other ports keep their own endpoints', async () => {
    assert.equal(await ask('books', 'ported.books:80'), 'v1')
    assert.equal(await ask('books', 'ported.books:8080'), 'v2')
    assert.equal(await ask('books', 'ported.books:8081'), 'own')
    for (const name of ['ported-both-wrong', 'ported-no-such']) {
      assert.ok(mesh.conditions('HTTPRoute', `books/${name}`).includes('Accepted=False/NoMatchingParent'), name)
    }
  })

  it('several routes of one Service port are merged', async () => {
    assert.equal(await ask('books', 'merged.books:80', '/a'), 'v1')
    assert.equal(await ask('books', 'merged.books:80', '/b'), 'v2')
    assert.equal(await ask('books', 'merged.books:80', '/c'), '404 no-route')
  })

  it('kinds do not mix on one port: the GRPCRoute wins, and the HTTPRoute is Conflicted and names the winner', async () => {
    assert.equal(await ask('books', 'mixed.books:80'), '404 no-route')
    assert.ok(mesh.conditions('HTTPRoute', 'books/mixed').includes('Accepted=False/Conflicted'))
    assert.ok(mesh.conditions('GRPCRoute', 'books/mixed').includes('Accepted=True/Accepted'))
    assert.ok(mesh.world.mesh.troubles().some((line) => line.includes('HTTPRoute books/mixed') && line.includes('GRPCRoute books/mixed')))
  })

  it('group `core` is a spelling of the core group; a Service of another group is nobody', async () => {
    assert.equal(await ask('books', 'core.books:80'), 'v2')
    assert.equal(await ask('books', 'wrong-group.books:80'), 'own')
    assert.deepEqual(mesh.conditions('HTTPRoute', 'books/wrong-group'), [])
  })

  it('headless and ExternalName Services are not accepted as parents, and say so', async () => {
    assert.ok(mesh.conditions('HTTPRoute', 'books/headless').includes('Accepted=False/NoMatchingParent'))
    assert.ok(mesh.conditions('HTTPRoute', 'books/outside').includes('Accepted=False/NoMatchingParent'))
    assert.equal(await ask('books', 'headless.books:80'), 'own')
  })

  it('headless Services and slices made by hand are backends as any other; an ExternalName is none', async () => {
    assert.equal(await ask('books', 'front.books:80'), 'own')
    assert.equal(await ask('books', 'to-bare.books:80'), 'v2')
    assert.equal(await ask('books', 'to-outside.books:80'), '500 invalid-backend')
    assert.ok(mesh.conditions('HTTPRoute', 'books/to-outside').includes('ResolvedRefs=False/InvalidKind'))
  })

  it('a Gateway as parent means every Service of its namespace, at the level of the route\'s namespace', async () => {
    for (const name of ['one', 'two']) {
      assert.equal(await ask('books', `${name}.stars:80`), 'v1')
      assert.equal(await ask('stars', `${name}.stars:80`), 'v1')
      assert.equal(await ask('shop', `${name}.stars:80`), 'v2')
    }
    assert.equal(await ask('books', 'db.stars:5432'), 'own')
  })

  it('what is sent straight to a pod\'s address meets no routes', async () => {
    assert.equal(await ask('shop', `127.0.0.3:${podPort}`), 'pod')
  })
})
