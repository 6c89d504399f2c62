import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { keepCredentials } from '../../src/transport/credentials.ts'
import { listenHbone } from '../../src/transport/hbone-server.ts'
import { splice } from '../../src/transport/tunnel.ts'
import { backend, type Backend } from './testing/backend.ts'
import { Refused } from './testing/client.ts'
import { l7Namespace, namespace, policy, prefix, route, service, target, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const shopOnly = { from: [{ namespaces: ['shop'] }] }
const rewriteTo = (value: string): Manifest => ({ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: value } } })

describe('authorization (semantics 2.9, 6)', () => {
  let app: Backend
  let other: Backend
  let echo: Server
  let mesh: Mesh
  const status = async (from: string, authority: string, path = '/', method = 'GET'): Promise<string> => {
    const { status: code, reason } = await mesh.call(from, authority, { path, method })
    return `${code} ${reason ?? ''}`.trim()
  }
  const services = (): Manifest[] => [
    ...l7Namespace('books'), ...l7Namespace('shop'), namespace('flat'),
    ...service('books/reviews', [app]), ...service('books/other', [other]),
    ...service('books/echo', [echo], { ports: [{ name: 'tcp', port: 70 }] }), ...service('books/any', [echo], { ports: [{ name: 'x', port: 71 }] }),
    ...service('flat/open', [other]),
  ]
  const serve = async (...objects: readonly Manifest[]): Promise<void> => {
    app.seen.length = 0
    other.seen.length = 0
    await mesh.replace(...services(), ...objects)
  }

  before(async () => {
    app = await backend('app')
    other = await backend('other')
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    assert.ok((echo.address() as AddressInfo).port > 0)
    mesh = await startMesh(['books', 'shop', 'evil'], ...services())
  })
  after(async () => {
    await mesh.close()
    app.close()
    other.close()
    echo.close()
  })

  it('answers 403 with a reason, and the application sees nothing', async () => {
    await serve(policy('books/shop', { targetRefs: [target('reviews')], rules: [shopOnly] }))
    assert.equal(await status('shop', 'reviews.books:80'), '200')
    const denied = await mesh.call('evil', 'reviews.books:80')
    assert.deepEqual([denied.status, denied.reason], [403, 'denied'])
    assert.ok(!denied.body.includes('books/shop'), 'whom a policy denies is not told which one it was')
    assert.equal(app.seen.length, 1)
    assert.equal(await status('evil', 'other.books:80'), '200')
    assert.deepEqual(mesh.conditions('AuthorizationPolicy', 'books/shop'), ['Accepted=True/Accepted', 'Enforced=True/Enforced'])
  })

  it('takes Deny before Allow, and lets Audit change nothing', async () => {
    await serve(
      policy('books/all', { rules: [{}] }), policy('books/no-put', { action: 'Deny', rules: [{ to: [{ methods: ['PUT'] }] }] }),
      policy('books/watch', { action: 'Audit', rules: [{}] }),
    )
    assert.equal(await status('shop', 'reviews.books:80'), '200')
    assert.equal(await status('shop', 'reviews.books:80', '/', 'PUT'), '403 denied')
  })

  it('allows nothing by a policy without rules, until others allow', async () => {
    await serve(policy('books/nobody', {}))
    assert.equal(await status('books', 'reviews.books:80'), '403 denied')
    await serve(policy('books/nobody', {}), policy('books/readers', { targetRefs: [target('reviews')], rules: [{ ...shopOnly, to: [{ methods: ['GET'], paths: [{ value: '/public' }] }] }] }))
    assert.equal(await status('shop', 'reviews.books:80', '/public/a'), '200')
    assert.equal(await status('shop', 'reviews.books:80', '/private'), '403 denied')
    assert.equal(await status('evil', 'reviews.books:80', '/public/a'), '403 denied')
  })

  it('comes before routes and filters: a redirect tells nobody whom it does not concern', async () => {
    const away = route('HTTPRoute', 'books/away', 'books/reviews', [{ filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: 'secret.test' } }] }])
    await serve(policy('books/shop', { rules: [shopOnly] }), away)
    assert.equal(await status('evil', 'reviews.books:80'), '403 denied')
    assert.equal(await status('shop', 'reviews.books:80'), '302')
  })

  it('is about what was sent, whatever a route makes of it', async () => {
    await serve(
      policy('books/public', { targetRefs: [target('reviews')], rules: [{ to: [{ paths: [{ value: '/public' }] }] }] }),
      route('HTTPRoute', 'books/rewrite', 'books/reviews', [{ filters: [rewriteTo('/inside')], backendRefs: [to('books/reviews')] }]),
    )
    assert.equal(await status('shop', 'reviews.books:80', '/public'), '200')
    assert.equal(app.seen[0]?.url, '/inside')
    assert.equal(await status('shop', 'reviews.books:80', '/inside'), '403 denied')
  })

  it('is judged for another backend of the namespace too: a route widens nobody\'s rights', async () => {
    await serve(
      policy('books/other', { targetRefs: [target('other')], rules: [shopOnly] }),
      route('HTTPRoute', 'books/split', 'books/reviews', [prefix('/there', { backendRefs: [to('books/other')] }), { backendRefs: [to('books/reviews')] }]),
    )
    assert.equal(await status('evil', 'reviews.books:80', '/here'), '200')
    assert.equal(await status('evil', 'reviews.books:80', '/there'), '403 denied')
    assert.equal(await status('shop', 'reviews.books:80', '/there'), '200')
    assert.equal(other.seen.length, 1)
  })

  it('keeps copies from where the request may not go', async () => {
    await serve(
      policy('books/other', { targetRefs: [target('other')], rules: [shopOnly] }),
      route('HTTPRoute', 'books/mirror', 'books/reviews', [{ filters: [{ type: 'RequestMirror', requestMirror: { backendRef: to('books/other') } }], backendRefs: [to('books/reviews')] }]),
    )
    assert.equal(await status('evil', 'reviews.books:80'), '200')
    assert.equal(await status('shop', 'reviews.books:80', '/copied'), '200')
    for (let tries = 0; tries < 200 && other.seen.length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(other.seen.map(({ url }) => url), ['/copied'])
  })

  it('is about single routes, if those are its targets', async () => {
    const rules = (name: string, value: string): Manifest => route('HTTPRoute', `books/${name}`, 'books/reviews', [prefix(value, { backendRefs: [to('books/reviews')] })])
    await serve(policy('books/admins', { targetRefs: [target('admin', 'HTTPRoute')], rules: [shopOnly] }), rules('admin', '/admin'), rules('front', '/'))
    assert.equal(await status('evil', 'reviews.books:80', '/'), '200')
    assert.equal(await status('evil', 'reviews.books:80', '/admin'), '403 denied')
    assert.equal(await status('shop', 'reviews.books:80', '/admin'), '200')
  })

  it('refuses connections that are not HTTP', async () => {
    await serve(policy('books/shop', { rules: [shopOnly] }))
    const echoed = async (from: string, authority: string): Promise<string> => {
      const socket = await mesh.tunnel(from, authority)
      socket.end('hello')
      let text = ''
      for await (const chunk of socket) text += (chunk as Buffer).toString()
      return text
    }
    assert.equal(await echoed('shop', 'echo.books:70'), 'hello')
    assert.equal(await echoed('shop', 'any.books:71'), 'hello')
    await assert.rejects(mesh.tunnel('evil', 'echo.books:70'), (error: unknown) => error instanceof Refused && error.status === 403 && error.reason === 'denied')
    // What a connection is shows only in its first bytes, and by then it is accepted.
    await assert.rejects(echoed('evil', 'any.books:71').then((text) => assert.notEqual(text, '')))
  })

  it('counts against callers where a connection can not be read', async () => {
    await serve(policy('books/readers', { action: 'Deny', rules: [{ to: [{ paths: [{ value: '/admin' }] }] }] }))
    await assert.rejects(mesh.tunnel('shop', 'echo.books:70'), (error: unknown) => error instanceof Refused && error.status === 403)
    assert.equal(await status('shop', 'reviews.books:80', '/'), '200')
  })

  it('closes a Service that nobody guards though a policy asks for it, and says so', async () => {
    await serve(policy('flat/shop', { targetRefs: [target('open')], rules: [shopOnly] }))
    await assert.rejects(mesh.call('shop', 'open.flat:80'), (error: unknown) => error instanceof Refused && error.status === 403 && error.reason === 'denied')
    assert.deepEqual(mesh.conditions('AuthorizationPolicy', 'flat/shop'), ['Accepted=True/Accepted', 'Enforced=False/NotInMesh'])
    await serve(policy('flat/shop', { action: 'Audit', targetRefs: [target('open')], rules: [shopOnly] }))
    assert.equal(await status('shop', 'open.flat:80'), '200')
  })

  it('lets go of a policy that is gone', async () => {
    await serve(policy('books/nobody', {}))
    assert.equal(await status('shop', 'reviews.books:80'), '403 denied')
    await serve()
    assert.equal(await status('shop', 'reviews.books:80'), '200')
  })

  it('tells agents who the original client is, on connections of its own', async () => {
    // Members are always reached on port 15008: an address of its own on loopback.
    const address = '127.0.22.1'
    const member = await backend('member', undefined, address)
    const identity = { trustDomain: 'cluster.local', namespace: 'books', serviceAccount: 'app' }
    const credentials = await keepCredentials({ identity, clock: systemClock, fetch: (key) => mesh.world.mesh.ca.issue(identity, key), onError: () => {} })
    const told: string[] = []
    const node = await listenHbone({
      credentials, clock: systemClock, host: address, port: 15008,
      onTunnel: (tunnel) => {
        told.push(`${tunnel.peerId.split('/').slice(3).join('/')} for ${String(tunnel.headers['x-waypoint-client'])}`)
        const local = connect({ host: tunnel.host, port: tunnel.port, allowHalfOpen: true })
        local.on('error', () => {})
        void splice(tunnel.accept(), local).done
      },
    })
    const pod: Manifest = {
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'member', namespace: 'books' }, spec: { serviceAccountName: 'app', containers: [{ name: 'app' }] }, status: { phase: 'Running', podIP: address },
    }
    const others = services().filter(({ kind, metadata }) => kind !== 'Namespace' || (metadata as { name: string }).name !== 'books')
    await mesh.replace(
      namespace('books', { 'waymark.dev/mesh': 'enabled' }), ...others, pod,
      ...service('books/member', [{ at: member, targetRef: { kind: 'Pod', name: 'member' } }]), policy('books/all', { rules: [{}] }),
    )
    for (let round = 0; round < 3; round++) for (const from of ['shop', 'evil']) assert.equal(await status(from, 'member.books:80'), '200')
    assert.deepEqual(told.sort(), ['evil', 'shop'].map((from) => `ns/books/sa/waypoint for spiffe://cluster.local/ns/${from}/sa/app`))
    await node.close()
    credentials.close()
    member.close()
  })

  describe('behind consumer routes', () => {
    const consumer = (...rules: readonly Manifest[]): Manifest => route('HTTPRoute', 'shop/reviews', 'books/reviews', rules)

    it('is enforced by the producer\'s waypoint, on the original client', async () => {
      await serve(
        policy('books/readers', { targetRefs: [target('reviews')], rules: [{ from: [{ namespaces: ['shop'] }], to: [{ paths: [{ value: '/public' }] }] }] }),
        consumer(prefix('/move', { filters: [rewriteTo('/public/moved')], backendRefs: [to('books/reviews')] }), { backendRefs: [to('books/reviews')] }),
      )
      assert.equal(await status('shop', 'reviews.books:80', '/public/a'), '200')
      assert.equal(await status('shop', 'reviews.books:80', '/admin'), '403 denied')
      // What the producer judges is what it gets.
      assert.equal(await status('shop', 'reviews.books:80', '/move'), '200')
      assert.deepEqual(app.seen.map(({ url }) => url), ['/public/a', '/public/moved'])
      assert.match(app.seen[0]?.headers['x-forwarded-client-cert']?.[0] ?? '', /^By=spiffe:\/\/cluster\.local\/ns\/books\/sa\/waypoint;URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\//)
    })

    it('denies a client of the consumer\'s namespace that the producer denies', async () => {
      await serve(policy('books/no-shop', { action: 'Deny', rules: [shopOnly] }), consumer({ backendRefs: [to('books/reviews')] }))
      assert.equal(await status('shop', 'reviews.books:80'), '403 denied')
      assert.equal(await status('evil', 'reviews.books:80'), '200')
    })

    it('leaves the producer\'s routes off, but not its policies of routes', async () => {
      await serve(
        policy('books/admins', { action: 'Deny', targetRefs: [target('admin', 'HTTPRoute')], rules: [shopOnly] }),
        route('HTTPRoute', 'books/admin', 'books/reviews', [prefix('/admin', { filters: [rewriteTo('/producer')], backendRefs: [to('books/other')] })]),
        consumer({ backendRefs: [to('books/reviews')] }),
      )
      assert.equal(await status('shop', 'reviews.books:80', '/x'), '200')
      assert.equal(await status('shop', 'reviews.books:80', '/admin'), '403 denied')
      assert.deepEqual(app.seen.map(({ url }) => url), ['/x'])
      assert.equal(other.seen.length, 0)
    })

    it('is enforced on a Service that only a backendRef names', async () => {
      await serve(
        policy('books/other', { targetRefs: [target('other')], rules: [{ to: [{ paths: [{ value: '/public' }] }] }] }),
        consumer(prefix('/there', { backendRefs: [to('books/other')] }), { backendRefs: [to('books/reviews')] }),
      )
      assert.equal(await status('shop', 'reviews.books:80', '/here'), '200')
      assert.equal(await status('shop', 'reviews.books:80', '/there'), '403 denied')
      assert.equal(other.seen.length, 0)
    })

    it('lets no application speak in the name of a waypoint', async () => {
      const liar = await backend('liar', (_request, response) => response.setHeader('x-waypoint-reason', 'denied').end())
      await mesh.replace(...services(), ...service('books/liar', [liar]), policy('books/all', { rules: [{}] }), route('HTTPRoute', 'shop/liar', 'books/liar', [{ backendRefs: [to('books/liar')] }]))
      assert.equal(await status('shop', 'liar.books:80'), '200')
      liar.close()
    })

    it('judges several clients on one connection of theirs apart', async () => {
      await serve(policy('books/shop', { rules: [shopOnly] }), consumer({ backendRefs: [to('books/reviews')] }))
      const client = mesh.keepAlive('shop', 'reviews.books:80')
      for (let count = 0; count < 5; count++) assert.equal((await client.call()).status, 200)
      assert.equal(await status('evil', 'reviews.books:80'), '403 denied')
      client.close()
    })
  })
})
