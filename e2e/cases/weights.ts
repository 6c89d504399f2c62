import assert from 'node:assert/strict'
import { defineCases, everyEntry, inARow as many } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { routeParents } from '../lib/objects.ts'
import { assertShares, tally } from '../lib/statistics.ts'

/** How traffic is shared out, and what a backend costs that can't be used. */
export const cases = defineCases([
  {
    name: 'canary: 90 and 10 by weight, within one percent of 1,000 requests',
    features: ['HTTPRoute', 'weights', 'SupportMesh'],
    manifests: [
      service('store', 'canary', echo.both),
      service('store', 'canary-v1', echo.v1),
      service('store', 'canary-v2', echo.v2),
      route('HTTPRoute', 'store', 'canary', [parent('canary', { port: 80 })], [{ backendRefs: [backend('canary-v1', { weight: 90 }), backend('canary-v2', { weight: 10 })] }]),
    ],
    run: async ({ client, url }) => {
      const replies = await (await client('garden')).requests({ url: url('store', 'canary'), count: 1_000, concurrency: 8, brief: true })
      assert.deepEqual(tally(replies.map(({ status }) => status)), { 200: 1_000 })
      assertShares(replies.map(({ version }) => version), { v1: 90, v2: 10 }, 0.01)
      return JSON.stringify(tally(replies.map(({ version }) => version)))
    },
  },
  {
    name: 'A/B test: a header decides who gets the new version',
    features: ['HTTPRoute', 'header matching'],
    entries: everyEntry,
    manifests: [
      service('store', 'ab', echo.both),
      service('store', 'ab-v1', echo.v1),
      service('store', 'ab-v2', echo.v2),
      route('HTTPRoute', 'store', 'ab', [parent('ab', { port: 80 })], [
        { matches: [{ headers: [{ name: 'x-user', value: 'jason' }] }], backendRefs: [backend('ab-v2')] },
        { backendRefs: [backend('ab-v1')] },
      ]),
    ],
    run: async ({ client, url }) => {
      const from = await client('store')
      const versions = async (headers: Record<string, string>) => tally((await from.requests({ url: url('store', 'ab'), headers, count: many, concurrency: 4, brief: true })).map(({ version }) => version))
      assert.deepEqual(await versions({ 'X-User': 'jason' }), { v2: many })
      assert.deepEqual(await versions({ 'x-user': 'Jason' }), { v1: many })
      assert.deepEqual(await versions({}), { v1: many })
    },
  },
  {
    name: 'no rule matches: 404, never the Service\'s own endpoints',
    features: ['HTTPRoute', 'path matching'],
    entries: everyEntry,
    manifests: [
      service('store', 'unmatched', echo.both),
      route('HTTPRoute', 'store', 'unmatched', [parent('unmatched', { port: 80 })], [
        { matches: [{ path: { type: 'PathPrefix', value: '/v2' } }], backendRefs: [backend('unmatched')] },
        { matches: [{ path: { type: 'Exact', value: '/exact' } }], backendRefs: [backend('unmatched')] },
      ]),
    ],
    run: async ({ client, url, inARow }) => {
      const from = await client('shop')
      const status = async (path: string) => (await from.request(url('store', 'unmatched', path))).status
      await inARow(async () => {
        for (const path of ['/v2', '/v2/', '/v2/x', '/exact']) assert.equal(await status(path), 200, path)
        for (const path of ['/', '/v2x', '/V2', '/exact/']) assert.equal(await status(path), 404, path)
        assert.equal((await from.request(url('store', 'unmatched', '/other'))).reason, 'no-route')
      })
    },
  },
  {
    name: 'missing backend: its share gets 500, the others\' go on, and the status names it',
    features: ['HTTPRoute', 'ResolvedRefs'],
    entries: everyEntry,
    manifests: [
      service('store', 'half', echo.both),
      service('store', 'half-v1', echo.v1),
      route('HTTPRoute', 'store', 'half', [parent('half', { port: 80 })], [
        { matches: [{ path: { value: '/all' } }], backendRefs: [backend('half-missing')] },
        { matches: [{ path: { value: '/weightless' } }], backendRefs: [backend('half-v1'), backend('half-missing', { weight: 0 })] },
        { backendRefs: [backend('half-v1', { weight: 3 }), backend('half-missing', { weight: 1 })] },
      ]),
    ],
    run: async ({ client, url, kube, namespace, installation }) => {
      const from = await client('store')
      const statuses = async (path: string, count: number) => (await from.requests({ url: url('store', 'half', path), count, concurrency: 4, brief: true })).map(({ status }) => status)
      assertShares(await statuses('/', 400), { 200: 3, 500: 1 }, 0.01)
      assertShares(await statuses('/all', many), { 500: 1 }, 0)
      assertShares(await statuses('/weightless', many), { 200: 1 }, 0)
      assert.equal((await from.request(url('store', 'half', '/all'))).reason, 'invalid-backend')
      const [status] = routeParents(await kube.get('HTTPRoute', namespace('store'), 'half'), installation.controllerName)
      const refs = status?.conditions?.find(({ type }) => type === 'ResolvedRefs')
      assert.equal(refs?.status, 'False')
      assert.equal(refs.reason, 'BackendNotFound')
      assert.match(refs.message, /half-missing/)
    },
  },
  {
    name: 'no ready endpoint: 503 for its share',
    features: ['HTTPRoute', 'endpoints'],
    entries: everyEntry,
    manifests: [
      service('store', 'hollow', echo.both),
      service('store', 'hollow-v1', echo.v1),
      service('store', 'hollow-nobody', echo.nobody),
      route('HTTPRoute', 'store', 'hollow', [parent('hollow', { port: 80 })], [
        { matches: [{ path: { value: '/all' } }], backendRefs: [backend('hollow-nobody')] },
        { backendRefs: [backend('hollow-v1'), backend('hollow-nobody')] },
      ]),
    ],
    notInForce: ['hollow-nobody'],
    run: async ({ client, url, inARow }) => {
      const from = await client('store')
      const replies = await from.requests({ url: url('store', 'hollow'), count: 200, concurrency: 4, brief: true })
      assertShares(replies.map(({ status }) => status), { 200: 1, 503: 1 }, 0.01)
      await inARow(async () => {
        const all = await from.request(url('store', 'hollow', '/all'))
        assert.deepEqual([all.status, all.reason], [503, 'no-endpoint'])
      })
    },
  },
])
