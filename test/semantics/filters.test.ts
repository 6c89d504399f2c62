import assert from 'node:assert/strict'
import { backend, type Backend } from './testing/backend.ts'
import type { Reply } from './testing/client.ts'
import { l7Namespace, prefix, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const requestHeaders = (edits: Manifest): Manifest => ({ type: 'RequestHeaderModifier', requestHeaderModifier: edits })
const responseHeaders = (edits: Manifest): Manifest => ({ type: 'ResponseHeaderModifier', responseHeaderModifier: edits })
const redirect = (requestRedirect: Manifest): Manifest => ({ type: 'RequestRedirect', requestRedirect })
const rewrite = (urlRewrite: Manifest): Manifest => ({ type: 'URLRewrite', urlRewrite })
const full = (value: string): Manifest => ({ path: { type: 'ReplaceFullPath', replaceFullPath: value } })
const replace = (value: string): Manifest => ({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: value } })
const extension = { type: 'ExtensionRef', extensionRef: { group: 'example.org', kind: 'Auth', name: 'gate' } }
const pair = (name: string, value: string): Manifest => ({ name, value })

/** Every line of a header as one list; the rule forbids `a, b`. */
const values = (lines: readonly string[] | undefined): string => (lines ?? []).join(',')

describe('what filters do to an HTTP request (semantics 3: filters)', () => {
  let app: Backend
  let mesh: Mesh
  const ask = (path: string, what: { method?: string; headers?: Record<string, string | readonly string[]>; authority?: string } = {}): Promise<Reply> =>
    mesh.call('books', what.authority ?? 'app-front.books:80', { path, ...what })

  before(async () => {
    app = await backend('app', (_request, response, seen) => {
      response.setHeader('x-set', ['old', 'older'])
      response.setHeader('x-add', 'a')
      response.setHeader('x-remove', 'gone')
      response.setHeader('access-control-allow-origin', '*')
      response.end(JSON.stringify(seen))
    })
    const backendRefs = [to('books/app')]
    const rewrites: Readonly<Record<string, string>> = { '/foo': '/xyz', '/bar/': '/xyz/', '/baz': '/xyz/', '/qux/': '/xyz', '/root': '/', '/empty': '', '/deep/er': '/a/b/c' }
    const redirects: Readonly<Record<string, Manifest>> = {
      '/r/default': {}, '/r/https': { scheme: 'https' }, '/r/host': { hostname: 'new.example' }, '/r/port': { port: 8443 }, '/r/80': { scheme: 'http', port: 80 }, '/r/443': { scheme: 'https', port: 443 },
      '/r/https-80': { scheme: 'https', port: 80 }, '/r/full': full('/whole'), '/r/prefix': replace('/new'), '/r/prefix-root': replace('/'),
      ...Object.fromEntries([301, 302, 303, 307, 308].map((statusCode) => [`/r/${statusCode}`, { statusCode, hostname: 'x.example' }])),
    }
    const cors = (spec: Manifest): Manifest => ({ type: 'CORS', cors: spec })
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), ...service('books/app', [app]),
      ...service('books/app-front', [app], { ports: [{ name: 'http', port: 80 }, { name: 'http-alt', port: 8080 }] }),
      route('HTTPRoute', 'books/headers', 'books/app-front', [
        prefix('/edit', { backendRefs, filters: [
          requestHeaders({ set: [pair('X-Set', 'new')], add: [pair('x-add', 'b'), pair('x-fresh', 'c')], remove: ['X-REMOVE'] }),
          responseHeaders({ set: [pair('X-Set', 'new')], add: [pair('x-add', 'b'), pair('x-fresh', 'c')], remove: ['X-REMOVE'] }),
        ] }),
        prefix('/levels', { filters: [requestHeaders({ set: [pair('x-level', 'rule')] }), responseHeaders({ add: [pair('x-from', 'rule')] })], backendRefs: [to('books/app', {
          filters: [requestHeaders({ add: [pair('x-level', 'backend')] }), responseHeaders({ set: [pair('x-add', 'z')] })],
        })] }),
        prefix('/ext', { backendRefs, filters: [requestHeaders({ set: [pair('a', 'b')] }), extension] }),
        prefix('/half-ext', { backendRefs: [to('books/app'), to('books/app', { filters: [extension] })] }),
        prefix('/redirect-edit', { filters: [responseHeaders({ set: [pair('x-from', 'rule')] }), redirect({ hostname: 'x.example' })] }),
      ]),
      route('HTTPRoute', 'books/rewrites', 'books/app-front', [
        ...Object.entries(rewrites).map(([from, into]) => prefix(from, { backendRefs, filters: [rewrite(replace(into))] })),
        prefix('/whole', { backendRefs, filters: [rewrite(full('/one/file'))] }),
        prefix('/host', { backendRefs, filters: [rewrite({ hostname: 'inner.example' })] }),
        prefix('/by-backend', { backendRefs: [to('books/app', { filters: [rewrite({ hostname: 'b.example', ...replace('/per') })] })] }),
      ]),
      route('HTTPRoute', 'books/redirects', 'books/app-front', Object.entries(redirects).map(([path, spec]) => prefix(path, { filters: [redirect(spec)] }))),
      route('HTTPRoute', 'books/cors', 'books/app-front', [
        prefix('/cors/exact', { backendRefs, filters: [cors({ allowOrigins: ['https://a.example', 'https://*.b.example'], allowMethods: ['GET', 'PUT'], allowHeaders: ['x-one', 'x-two'], exposeHeaders: ['x-seen'], maxAge: 60, allowCredentials: true })] }),
        prefix('/cors/any', { backendRefs, filters: [cors({ allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'] })] }),
      ]),
    )
    assert.deepEqual(mesh.world.mesh.troubles().filter((line) => !line.includes('ExtensionRef')), [])
  })
  after(async () => {
    await mesh.close()
    app.close()
  })

  it('RequestHeaderModifier: set replaces every line, add appends without a space, remove deletes; names ignore case', async () => {
    const { headers } = (await ask('/edit', { headers: { 'x-set': ['old', 'older'], 'X-Add': 'a', 'x-remove': 'gone', 'x-other': 'stays' } })).seen
    assert.deepEqual(['x-set', 'x-add', 'x-fresh', 'x-remove', 'x-other'].map((name) => values(headers[name])), ['new', 'a,b', 'c', '', 'stays'])
  })

  it('ResponseHeaderModifier: the same for the answer', async () => {
    const { headers } = await ask('/edit')
    assert.deepEqual(['x-set', 'x-add', 'x-fresh', 'x-remove'].map((name) => values(headers[name])), ['new', 'a,b', 'c', ''])
  })

  it('filters run at the rule and then at the backendRef', async () => {
    const reply = await ask('/levels', { headers: { 'x-level': 'caller' } })
    assert.equal(values(reply.seen.headers['x-level']), 'rule,backend')
    assert.deepEqual([values(reply.headers['x-from']), values(reply.headers['x-add'])], ['rule', 'z'])
  })

  it('response headers are set on answers of the proxy itself, too', async () => {
    const reply = await ask('/redirect-edit')
    assert.deepEqual([reply.status, values(reply.headers['x-from'])], [302, 'rule'])
  })

  it('an ExtensionRef that can not be resolved answers 500 for its rule or its backend\'s share, and the status says so', async () => {
    for (const path of ['/ext', '/ext/x']) {
      const reply = await ask(path)
      assert.deepEqual([reply.status, reply.reason], [500, 'unresolved-filter'])
    }
    const half = await Promise.all(Array.from({ length: 10 }, () => ask('/half-ext')))
    assert.deepEqual(half.map(({ status }) => status).sort(), [...Array<number>(5).fill(200), ...Array<number>(5).fill(500)])
    assert.ok(mesh.conditions('HTTPRoute', 'books/headers').includes('ResolvedRefs=False/InvalidKind'))
  })

  it('URLRewrite ReplacePrefixMatch: the table of Gateway API; the query survives', async () => {
    for (const [from, into] of Object.entries({
      '/foo': '/xyz', '/foo/': '/xyz/', '/foo/bar': '/xyz/bar', '/bar': '/xyz', '/bar/': '/xyz/', '/bar/x': '/xyz/x', '/baz': '/xyz', '/baz/': '/xyz/', '/baz/x': '/xyz/x', '/qux/x': '/xyz/x',
      '/root': '/', '/root/': '/', '/root/x': '/x', '/empty': '/', '/empty/': '/', '/empty/x/y/': '/x/y/', '/deep/er/x': '/a/b/c/x', '/foo?a=%2F&b': '/xyz?a=%2F&b', '/root?a': '/?a', '/foo/%20': '/xyz/%20',
    })) assert.equal((await ask(from)).seen.url, into, from)
  })

  it('URLRewrite ReplaceFullPath and hostname, at the rule and at the backendRef', async () => {
    assert.equal((await ask('/whole/x?q=1')).seen.url, '/one/file?q=1')
    assert.equal((await ask('/host')).seen.host, 'inner.example')
    const { url, host } = (await ask('/by-backend/x?q')).seen
    assert.deepEqual([url, host], ['/per/x?q', 'b.example'])
  })

  it('RequestRedirect: status, scheme, hostname, port and path; the scheme\'s own port is left out; the query survives', async () => {
    const location = async (path: string, authority?: string): Promise<string> => {
      const reply = await ask(path, { headers: { host: 'shop.example:1234' }, ...(authority === undefined ? {} : { authority }) })
      return `${reply.status} ${values(reply.headers['location'])}`
    }
    for (const [path, expected] of Object.entries({
      '/r/default/x?q=%2f': '302 http://shop.example/r/default/x?q=%2f',
      '/r/https/x?q': '302 https://shop.example/r/https/x?q',
      '/r/host': '302 http://new.example/r/host',
      '/r/port': '302 http://shop.example:8443/r/port',
      '/r/80': '302 http://shop.example/r/80',
      '/r/443': '302 https://shop.example/r/443',
      '/r/https-80': '302 https://shop.example:80/r/https-80',
      '/r/full/x?q=1': '302 http://shop.example/whole?q=1',
      '/r/prefix': '302 http://shop.example/new', '/r/prefix/': '302 http://shop.example/new/', '/r/prefix/x?q': '302 http://shop.example/new/x?q',
      '/r/prefix-root': '302 http://shop.example/', '/r/prefix-root/x': '302 http://shop.example/x',
    })) assert.equal(await location(path), expected, path)
    assert.equal(await location('/r/default', 'app-front.books:8080'), '302 http://shop.example:8080/r/default')
    assert.equal(await location('/r/https', 'app-front.books:8080'), '302 https://shop.example/r/https')
    for (const status of [301, 302, 303, 307, 308]) assert.equal(await location(`/r/${status}`), `${status} http://x.example/r/${status}`)
  })

  it('a redirect keeps the caller\'s connection for its next request, and no backend sees it', async () => {
    const client = mesh.keepAlive('books', 'app-front.books:80', 1)
    const before = app.seen.length
    assert.equal((await client.call({ path: '/r/301', method: 'POST', body: 'x'.repeat(10_000) })).status, 301)
    assert.equal((await client.call({ path: '/r/308' })).status, 308)
    assert.equal(app.seen.length, before)
  })

  it('CORS: a preflight is answered by the proxy and never reaches the backend', async () => {
    const before = app.seen.length
    const preflight = (path: string, origin: string): Promise<Reply> =>
      ask(path, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-one' } })
    const names = ['allow-origin', 'allow-credentials', 'allow-methods', 'allow-headers', 'max-age']
    const cors = ({ headers }: Reply): string[] => names.map((name) => values(headers[`access-control-${name}`]))
    for (const origin of ['https://a.example', 'https://x.b.example', 'https://x.y.b.example']) {
      const reply = await preflight('/cors/exact', origin)
      assert.equal(Math.floor(reply.status / 100), 2)
      assert.deepEqual(cors(reply), [origin, 'true', 'GET, PUT', 'x-one, x-two', '60'])
    }
    for (const origin of ['http://a.example', 'https://a.example:81', 'https://b.example', 'https://evilb.example', 'https://a.example.evil', 'null']) {
      assert.deepEqual(cors(await preflight('/cors/exact', origin)), ['', '', '', '', ''], origin)
    }
    const any = cors(await preflight('/cors/any', 'https://anybody.example'))
    assert.ok(any[0] === '*' || any[0] === 'https://anybody.example')
    assert.deepEqual(any.slice(1, 4), ['', 'PUT', 'x-one'])
    assert.equal(app.seen.length, before)
  })

  it('CORS: other requests go to the backend, and the filter alone decides what their answer allows', async () => {
    const good = await ask('/cors/exact', { headers: { origin: 'https://a.example' } })
    assert.deepEqual(['allow-origin', 'allow-credentials', 'expose-headers'].map((name) => values(good.headers[`access-control-${name}`])), ['https://a.example', 'true', 'x-seen'])
    assert.equal(good.seen.backend, 'app')
    const bad = await ask('/cors/exact', { headers: { origin: 'https://evil.example' } })
    assert.deepEqual([bad.status, bad.headers['access-control-allow-origin']], [200, undefined])
    assert.equal((await ask('/cors/exact', { method: 'OPTIONS' })).seen.method, 'OPTIONS')
  })
})
