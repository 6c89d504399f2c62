import assert from 'node:assert/strict'
import { until } from '../../src/control/testing/world.ts'
import { backend, closedPort, type Backend, type Behaviour } from './testing/backend.ts'
import type { Reply } from './testing/client.ts'
import { l7Namespace, namespace, prefix, route, service, slice, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

/** How many replies of each backend or status there are. */
function shares(replies: readonly Reply[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const reply of replies) {
    const name = reply.status === 200 ? reply.seen.backend : `${reply.status} ${reply.reason ?? ''}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

describe('where HTTP requests go (semantics 3: backends, mirrors, persistence)', () => {
  const all: Backend[] = []
  let mesh: Mesh
  const make = async (name: string, behave?: Behaviour, host?: string): Promise<Backend> => {
    const made = await backend(name, behave, host)
    all.push(made)
    return made
  }
  const many = async (path: string, count: number): Promise<Record<string, number>> => {
    const client = mesh.keepAlive('books', 'front.books:80')
    return shares(await Promise.all(Array.from({ length: count }, () => client.call({ path }))))
  }
  let copy: Backend
  let slow: Backend
  let failing: Backend
  let sixth: Backend | undefined

  before(async () => {
    const [v1, v2, v3] = [await make('v1'), await make('v2'), await make('v3')]
    copy = await make('copy')
    slow = await make('slow', () => {})
    failing = await make('failing', (request) => request.socket.destroy())
    sixth = await make('six', undefined, '::1').catch(() => undefined)
    const nobody = await closedPort()
    const mirror = (key: string, more: Manifest = {}): Manifest => ({ type: 'RequestMirror', requestMirror: { backendRef: to(key), ...more } })
    const edit = (name: string, value: string): Manifest => ({ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name, value }] } })
    const main = [to('books/v1')]
    const grant: Manifest = {
      apiVersion: 'gateway.networking.k8s.io/v1beta1', kind: 'ReferenceGrant', metadata: { name: 'mirrors', namespace: 'club' },
      spec: { from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'books' }], to: [{ group: '', kind: 'Service', name: 'granted' }] },
    }
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), namespace('club'), grant,
      ...service('books/v1', [v1]), ...service('books/v2', [v2]), ...service('books/v3', [v3]), ...service('books/front', []),
      ...service('books/empty', []), ...service('books/copy', [copy]), ...service('books/slow', [slow]), ...service('books/failing', [failing]),
      ...service('books/nobody', [nobody]), ...service('club/granted', [copy]), ...service('club/other', [copy]),
      ...service('books/three', [v1, v2, v3]),
      ...service('books/named', [], { ports: [{ name: 'http', port: 80, targetPort: 'web' }, { name: 'http-admin', port: 81, targetPort: 'admin' }] }),
      slice('books/named', 'named-http', v1, ['http']), slice('books/named', 'named-admin', v2, ['http-admin']),
      ...service('books/draining', [v1, { at: v2, conditions: { ready: false, serving: true, terminating: true } }, { at: v3, conditions: { ready: false } }]),
      ...service('books/only-draining', [{ at: v2, conditions: { ready: false, serving: true, terminating: true } }, { at: v3, conditions: { ready: false, serving: false, terminating: true } }]),
      ...service('books/unready', [{ at: v1, conditions: { ready: false } }]),
      ...service('books/six', sixth === undefined ? [] : [sixth], { clusterIPs: ['10.96.0.7', 'fd00::7'], clusterIP: '10.96.0.7' }),
      ...service('books/dual', sixth === undefined ? [v1] : [v1, sixth]),
      ...service('books/db', [v1], { ports: [{ name: 'db', port: 80, appProtocol: 'redis' }] }),
      route('HTTPRoute', 'books/front', 'books/front', [
        prefix('/weights', { backendRefs: [to('books/v1', { weight: 70 }), to('books/v2', { weight: 20 }), to('books/v3', { weight: 10 }), to('books/missing', { weight: 0 })] }),
        prefix('/default', { backendRefs: [to('books/v1'), to('books/v2')] }),
        prefix('/broken', { backendRefs: [to('books/v1', { weight: 6 }), to('books/missing', { weight: 2 }), to('books/empty', { weight: 2 })] }),
        prefix('/kind', { backendRefs: [{ group: 'example.org', kind: 'Bucket', name: 'x' }] }),
        prefix('/no-port', { backendRefs: [to('books/v1', { port: 99 })] }),
        prefix('/redis', { backendRefs: [to('books/db')] }),
        prefix('/zero', { backendRefs: [to('books/v1', { weight: 0 })] }),
        prefix('/nothing', {}),
        prefix('/nobody', { backendRefs: [to('books/nobody')] }),
        prefix('/unready', { backendRefs: [to('books/unready')] }),
        prefix('/draining', { backendRefs: [to('books/draining')] }),
        prefix('/only-draining', { backendRefs: [to('books/only-draining')] }),
        prefix('/six', { backendRefs: [to('books/six')] }), prefix('/dual', { backendRefs: [to('books/dual')] }),
        prefix('/named', { backendRefs: [to('books/named')] }), prefix('/admin', { backendRefs: [to('books/named', { port: 81 })] }),
      ]),
      route('HTTPRoute', 'books/front-mirrors', 'books/front', [
        prefix('/mirror/two', { filters: [mirror('books/copy'), edit('x-edit', '1'), mirror('books/v2')], backendRefs: main }),
        prefix('/mirror/none', { filters: [mirror('books/copy', { percent: 0 })], backendRefs: main }),
        prefix('/mirror/slow', { filters: [mirror('books/slow')], backendRefs: main }),
        prefix('/mirror/bad', { filters: [mirror('books/failing'), mirror('books/missing'), mirror('books/empty'), mirror('books/nobody')], backendRefs: main }),
        prefix('/mirror/granted', { filters: [mirror('club/granted')], backendRefs: main }),
        prefix('/mirror/forbidden', { filters: [mirror('club/other')], backendRefs: main }),
        prefix('/mirror/backend', { backendRefs: [to('books/v1', { filters: [edit('x-backend', '1'), mirror('books/copy')] })] }),
        prefix('/sticky/cookie', { sessionPersistence: { sessionName: 'Shop' }, backendRefs: [to('books/three')] }),
        prefix('/sticky/header', { sessionPersistence: { sessionName: 'X-Shop', type: 'Header' }, backendRefs: [to('books/v1'), to('books/v2'), to('books/v3')] }),
      ]),
    )
  })
  after(async () => {
    await mesh.close()
    for (const each of all) each.close()
  })
  afterEach(() => {
    for (const each of all) each.seen.length = 0
  })
  const ask = (path: string, what: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Reply> => mesh.call('books', 'front.books:80', { path, ...what })
  const answer = async (path: string): Promise<string> => Object.keys(shares([await ask(path)]))[0] ?? ''

  it('shares follow the weights within 1 % over 500 requests; a missing backend of weight 0 costs nothing', async () => {
    const counts = await many('/weights', 500)
    for (const [name, share] of Object.entries({ v1: 350, v2: 100, v3: 50 })) assert.ok(Math.abs((counts[name] ?? 0) - share) <= 5, JSON.stringify(counts))
    assert.deepEqual(Object.keys(counts).sort(), ['v1', 'v2', 'v3'])
  })

  it('the default weight is 1', async () => {
    assert.deepEqual(await many('/default', 20), { v1: 10, v2: 10 })
  })

  it('an invalid backend\'s share gets 500 and that of a Service without endpoints 503', async () => {
    assert.deepEqual(await many('/broken', 50), { 'v1': 30, '500 invalid-backend': 10, '503 no-endpoint': 10 })
  })

  it('every way for a backend to be invalid, empty or unreachable has its status and reason', async () => {
    for (const [path, expected] of Object.entries({
      '/kind': '500 invalid-backend', '/no-port': '500 invalid-backend', '/redis': '500 invalid-backend', '/zero': '500 no-backend', '/nothing': '500 no-backend',
      '/nobody': '503 connect-failure', '/unready': '503 no-endpoint',
    })) assert.equal(await answer(path), expected, path)
  })

  it('endpoints that are not ready get nothing; draining ones only while there is no ready one', async () => {
    assert.deepEqual(await many('/draining', 10), { v1: 10 })
    assert.deepEqual(await many('/only-draining', 10), { v2: 10 })
  })

  it('named target ports follow the EndpointSlices', async () => {
    assert.deepEqual([await answer('/named'), await answer('/admin')], ['v1', 'v2'])
  })

  it('endpoints of both address families serve', async function () {
    // A machine without IPv6 loopback can not show it.
    if (sixth === undefined) return
    assert.equal(await answer('/six'), 'six')
    assert.deepEqual(Object.keys(await many('/dual', 64)).sort(), ['six', 'v1'])
    assert.equal((await mesh.call('books', '[fd00::7]:80')).seen.backend, 'six')
  })

  it('mirrors get copies, body and all, with the header edits of their rule; the caller sees the main answer', async () => {
    const reply = await ask('/mirror/two?q=1', { method: 'POST', body: 'the body' })
    assert.equal(reply.seen.backend, 'v1')
    await until('both copies came', () => copy.seen.length === 1 && all[1]?.seen.length === 1)
    const { method, url, body, headers } = copy.seen[0] ?? reply.seen
    assert.deepEqual([method, url, body, headers['x-edit']], ['POST', '/mirror/two?q=1', 'the body', ['1']])
  })

  it('a share of 0 % is no copy; a mirror at the backendRef copies with that backend\'s headers', async () => {
    await ask('/mirror/none')
    await ask('/mirror/backend')
    await until('the copy came', () => copy.seen.length > 0)
    assert.deepEqual(copy.seen.map(({ url, headers }) => [url, headers['x-backend']]), [['/mirror/backend', ['1']]])
  })

  it('a mirror that never answers, breaks off, is missing, empty or unreachable changes nothing for the caller', async () => {
    const client = mesh.keepAlive('books', 'front.books:80', 1)
    for (const path of ['/mirror/slow', '/mirror/bad']) {
      for (let time = 0; time < 5; time++) {
        const reply = await client.call({ path, method: 'POST', body: 'x'.repeat(100_000) })
        assert.deepEqual([reply.status, reply.seen.backend, reply.seen.body.length], [200, 'v1', 100_000])
      }
    }
    await until('copies were made', () => slow.seen.length > 0 && failing.seen.length > 0)
  })

  it('a mirror in another namespace needs a ReferenceGrant; without it no copy leaves and the status says so', async () => {
    assert.equal((await ask('/mirror/forbidden')).seen.backend, 'v1')
    assert.equal((await ask('/mirror/granted')).seen.backend, 'v1')
    await until('the granted copy came', () => copy.seen.length > 0)
    assert.deepEqual(copy.seen.map(({ url }) => url), ['/mirror/granted'])
    assert.ok(mesh.world.mesh.troubles().some((line) => line.includes('mirror to Service club/other needs a ReferenceGrant')))
  })

  it('a session cookie brings the client back to its endpoint, and a forged one is worth nothing', async () => {
    const first = await ask('/sticky/cookie')
    const cookie = first.headers['set-cookie']?.[0] ?? ''
    assert.match(cookie, /^Shop=[^;]+; Path=\/sticky\/cookie; HttpOnly/)
    assert.ok(!cookie.includes('127.0.0.1'))
    const held = cookie.split(';')[0] ?? ''
    for (let time = 0; time < 12; time++) {
      const again = await ask('/sticky/cookie', { headers: { cookie: `a=b; ${held}; c=d` } })
      assert.deepEqual([again.seen.backend, again.headers['set-cookie']], [first.seen.backend, undefined])
    }
    const forged = await ask('/sticky/cookie', { headers: { cookie: held.slice(0, -4) + 'AAAA' } })
    assert.ok(forged.status === 200 && forged.headers['set-cookie'] !== undefined)
  })

  it('a session header does so across the backends of a rule', async () => {
    const first = await ask('/sticky/header')
    const token = first.headers['x-shop']?.[0] ?? ''
    assert.notEqual(token, '')
    for (let time = 0; time < 12; time++) assert.equal((await ask('/sticky/header', { headers: { 'x-shop': token } })).seen.backend, first.seen.backend)
  })
})
