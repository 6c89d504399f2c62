import assert from 'node:assert/strict'
import type { Reply } from '../app/protocol.ts'
import { defineCases, everyEntry, type Case, type Context } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'

/** A case with one Service and one route on it, both by the name `id`; `ask` sends to that Service from `shop`, and `judge` is repeated. */
function withRoute(
  id: string, name: string, features: readonly string[], rules: readonly object[],
  judge: (ask: (path: string, more?: object) => Promise<Reply>, context: Context) => Promise<void>,
): Case {
  return {
    name, features: ['HTTPRoute', ...features], entries: everyEntry,
    manifests: [service('store', id, echo.v1), route('HTTPRoute', 'store', id, [parent(id, { port: 80 })], rules)],
    run: async (context) => {
      const from = await context.client('shop')
      await context.inARow(() => judge((path, more = {}) => from.request(context.url('store', id, path), more), context))
    },
  }
}

const rule = (id: string, path: string, filters: readonly object[], more: object = {}): object => ({ matches: [{ path: { value: path } }], filters, backendRefs: [backend(id)], ...more })
const answers = (path: string, filters: readonly object[]): object => ({ matches: [{ path: { value: path } }], filters })

/** Every filter of HTTPRoute, at rule and at backendRef level. */
export const cases = defineCases([
  withRoute('request-headers', 'filter RequestHeaderModifier: set, add and remove, on the rule and on the backend', ['HTTPRouteBackendRequestHeaderModification'], [
    rule('request-headers', '/rule', [{
      type: 'RequestHeaderModifier',
      requestHeaderModifier: { set: [{ name: 'X-Set', value: 'new' }], add: [{ name: 'x-add', value: 'b' }], remove: ['x-remove'] },
    }]),
    {
      matches: [{ path: { value: '/backend' } }],
      backendRefs: [backend('request-headers', { filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-set', value: 'backend' }] } }] })],
    },
  ], async (ask) => {
    const { echo: seen } = await ask('/rule', { headers: { 'x-set': 'old', 'x-add': 'a', 'X-Remove': '1', 'x-other': 'o' } })
    assert.deepEqual(seen?.headers['x-set'], ['new'])
    assert.deepEqual(seen.headers['x-add'], ['a,b'])
    assert.equal(seen.headers['x-remove'], undefined)
    assert.deepEqual(seen.headers['x-other'], ['o'])
    assert.deepEqual((await ask('/backend')).echo?.headers['x-set'], ['backend'])
  }),

  withRoute('response-headers', 'filter ResponseHeaderModifier: set, add and remove, on the rule and on the backend', ['HTTPRouteResponseHeaderModification'], [
    rule('response-headers', '/rule', [{
      type: 'ResponseHeaderModifier',
      responseHeaderModifier: { set: [{ name: 'X-Set', value: 'new' }], add: [{ name: 'x-add', value: 'b' }], remove: ['x-remove'] },
    }]),
    {
      matches: [{ path: { value: '/backend' } }],
      backendRefs: [backend('response-headers', { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'x-add', value: 'backend' }] } }] })],
    },
  ], async (ask) => {
    const { headers } = await ask('/rule?header=x-set:old&header=x-add:a&header=x-remove:1&header=x-other:o')
    assert.deepEqual(headers?.['x-set'], ['new'])
    assert.deepEqual(headers['x-add'], ['a,b'])
    assert.equal(headers['x-remove'], undefined)
    assert.deepEqual(headers['x-other'], ['o'])
    assert.deepEqual((await ask('/backend')).headers?.['x-add'], ['backend'])
  }),

  withRoute('redirect', 'filter RequestRedirect: status, scheme, host, port and path', [
    'HTTPRouteSchemeRedirect', 'HTTPRoutePortRedirect', 'HTTPRoutePathRedirect', 'HTTPRoute303RedirectStatusCode', 'HTTPRoute307RedirectStatusCode', 'HTTPRoute308RedirectStatusCode',
  ], [
    ...[301, 302, 303, 307, 308].map((statusCode) => answers(`/code/${statusCode}`, [{ type: 'RequestRedirect', requestRedirect: { statusCode, path: { type: 'ReplaceFullPath', replaceFullPath: '/there' } } }])),
    answers('/own/port', [{ type: 'RequestRedirect', requestRedirect: { port: 8443 } }]),
    answers('/own/http', [{ type: 'RequestRedirect', requestRedirect: { scheme: 'http', port: 80 } }]),
    answers('/own/https', [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https' } }]),
    answers('/own/https-80', [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https', port: 80 } }]),
    answers('/own/prefix', [{ type: 'RequestRedirect', requestRedirect: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } }]),
    answers('/host', [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org' } }]),
    answers('/scheme', [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https', hostname: 'example.org', statusCode: 301 } }]),
    answers('/port', [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org', port: 8443, scheme: 'https', statusCode: 308 } }]),
    answers('/full', [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org', path: { type: 'ReplaceFullPath', replaceFullPath: '/there' }, statusCode: 303 } }]),
    answers('/prefix', [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' }, statusCode: 307 } }]),
  ], async (ask, { url }) => {
    const went = async (path: string, more: object = {}): Promise<string> => {
      const { status, headers } = await ask(path, more)
      return `${status} ${headers?.['location']?.join(' and ') ?? ''}`
    }
    const { host } = new URL(url('store', 'redirect'))
    for (const code of [301, 302, 303, 307, 308]) assert.equal(await went(`/code/${code}/x?q=1`, { method: 'POST', body: 'x' }), `${code} http://${host}/there?q=1`)
    assert.equal(await went('/own/port/x?q=1'), `302 http://${host}:8443/own/port/x?q=1`)
    assert.equal(await went('/own/http/'), `302 http://${host}/own/http/`)
    assert.equal(await went('/own/https'), `302 https://${host}/own/https`)
    assert.equal(await went('/own/https-80'), `302 https://${host}:80/own/https-80`)
    assert.equal(await went('/own/prefix/x'), `302 http://${host}/x`)
    assert.equal(await went('/own/prefix'), `302 http://${host}/`)
    assert.equal(await went('/host/x?q=1'), '302 http://example.org/host/x?q=1')
    assert.equal(await went('/scheme'), '301 https://example.org/scheme')
    assert.equal(await went('/port'), '308 https://example.org:8443/port')
    assert.equal(await went('/full/a/b'), '303 http://example.org/there')
    assert.equal(await went('/prefix/a?q=1'), '307 http://example.org/new/a?q=1')
  }),

  withRoute('rewrite', 'filter URLRewrite: host, full path and prefix', ['HTTPRouteHostRewrite', 'HTTPRoutePathRewrite'], [
    rule('rewrite', '/foo', [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/xyz' } } }]),
    rule('rewrite', '/root', [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } }]),
    rule('rewrite', '/full', [{ type: 'URLRewrite', urlRewrite: { hostname: 'rewritten.example', path: { type: 'ReplaceFullPath', replaceFullPath: '/one' } } }]),
  ], async (ask) => {
    const arrived = async (path: string): Promise<string | undefined> => (await ask(path)).echo?.path
    assert.equal(await arrived('/foo/bar?q=1'), '/xyz/bar?q=1')
    assert.equal(await arrived('/foo'), '/xyz')
    assert.equal(await arrived('/foo/'), '/xyz/')
    assert.equal(await arrived('/root/bar'), '/bar')
    assert.equal(await arrived('/root'), '/')
    const full = await ask('/full/a/b?q=1')
    assert.equal(full.echo?.path, '/one?q=1')
    assert.deepEqual(full.echo.headers['host'], ['rewritten.example'])
  }),

  {
    name: 'filter RequestMirror: copies to several, in full and by fraction, without touching the answer',
    features: ['HTTPRoute', 'HTTPRouteRequestMirror', 'HTTPRouteRequestMultipleMirrors', 'HTTPRouteRequestPercentageMirror'],
    entries: everyEntry,
    manifests: [
      service('store', 'mirrored', echo.v1),
      service('store', 'mirror-all', echo.v2),
      // A copy that fails, and that nobody waits for.
      service('store', 'mirror-nobody', echo.nobody),
      route('HTTPRoute', 'store', 'mirrored', [parent('mirrored', { port: 80 })], [
        {
          matches: [{ path: { value: '/half' } }],
          filters: [{ type: 'RequestMirror', requestMirror: { backendRef: backend('mirror-all'), fraction: { numerator: 1, denominator: 2 } } }],
          backendRefs: [backend('mirrored')],
        },
        {
          filters: [
            { type: 'RequestMirror', requestMirror: { backendRef: backend('mirror-all') } },
            { type: 'RequestMirror', requestMirror: { backendRef: backend('mirror-nobody') } },
          ],
          backendRefs: [backend('mirrored')],
        },
      ]),
    ],
    notInForce: ['mirror-nobody'],
    run: async ({ client, url, until }) => {
      const from = await client('store')
      const arrived = async (key: string): Promise<number> => {
        const { body = '{}' } = await from.request(url('store', 'mirror-all', `/seen?key=${key}`))
        return (JSON.parse(body) as { readonly count: number }).count
      }
      const replies = await from.requests({ url: url('store', 'mirrored', '/all'), method: 'POST', body: 'copied', headers: { 'x-key': 'mirror-all' }, count: 20, concurrency: 4 })
      assert.ok(replies.every(({ status, version }) => status === 200 && version === 'v1'))
      await until('20 copies to arrive', async () => (await arrived('mirror-all')) === 20, 10_000)
      await from.requests({ url: url('store', 'mirrored', '/half'), headers: { 'x-key': 'mirror-half' }, count: 200, concurrency: 4, brief: true })
      // By the fraction and not by chance or not at all; what is still on its way is allowed for.
      const half = await until('about half of the copies to arrive', async () => {
        const count = await arrived('mirror-half')
        return count >= 60 ? count : undefined
      }, 10_000)
      assert.ok(half <= 140, `${half} of 200 were copied`)
      return `${half} of 200 copied by the fraction 1/2`
    },
  },

  withRoute('cors', 'filter CORS: preflights are answered, and answers to allowed origins say so', ['HTTPRouteCORS'], [
    rule('cors', '/', [{
      type: 'CORS',
      cors: { allowOrigins: ['https://app.example', 'https://*.wild.example'], allowMethods: ['GET', 'PUT'], allowHeaders: ['x-one'], exposeHeaders: ['x-shown'], allowCredentials: true, maxAge: 600 },
    }]),
  ], async (ask) => {
    const preflight = await ask('/x', { method: 'OPTIONS', headers: { 'origin': 'https://app.example', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-one' } })
    assert.ok(preflight.status === 200 || preflight.status === 204, `preflight: ${preflight.status}`)
    assert.equal(preflight.echo, undefined)
    assert.deepEqual(preflight.headers?.['access-control-allow-origin'], ['https://app.example'])
    assert.match(preflight.headers['access-control-allow-methods']?.[0] ?? '', /PUT/)
    assert.deepEqual(preflight.headers['access-control-max-age'], ['600'])
    assert.deepEqual(preflight.headers['access-control-allow-credentials'], ['true'])
    const allowed = await ask('/x', { headers: { origin: 'https://a.wild.example' } })
    assert.deepEqual([allowed.status, allowed.headers?.['access-control-allow-origin'], allowed.headers?.['access-control-expose-headers']], [200, ['https://a.wild.example'], ['x-shown']])
    const stranger = await ask('/x', { headers: { origin: 'https://evil.example' } })
    assert.equal(stranger.headers?.['access-control-allow-origin'], undefined)
  }),

  {
    name: 'filter ExtensionRef that nobody knows: 500 and a status, never skipped',
    features: ['HTTPRoute', 'ExtensionRef', 'ResolvedRefs'],
    entries: everyEntry,
    manifests: [
      service('store', 'extended', echo.v1),
      route('HTTPRoute', 'store', 'extended', [parent('extended', { port: 80 })], [
        { matches: [{ path: { value: '/extended' } }], filters: [{ type: 'ExtensionRef', extensionRef: { group: 'example.org', kind: 'Unknown', name: 'x' } }], backendRefs: [backend('extended')] },
        { backendRefs: [backend('extended')] },
      ]),
    ],
    run: async ({ client, url, inARow }) => {
      const from = await client('store')
      await inARow(async () => {
        const refused = await from.request(url('store', 'extended', '/extended'))
        assert.deepEqual([refused.status, refused.reason], [500, 'unresolved-filter'])
        assert.equal((await from.request(url('store', 'extended', '/other'))).status, 200)
      })
    },
  },
])
