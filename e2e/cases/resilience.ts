import assert from 'node:assert/strict'
import { defineCases } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { tally } from '../lib/statistics.ts'

/** Timeouts and retries. */
export const cases = defineCases([
  {
    name: 'timeouts: of the request and of the backend, 504 with a reason',
    features: ['HTTPRoute', 'HTTPRouteRequestTimeout', 'HTTPRouteBackendTimeout'],
    manifests: [
      service('store', 'timed', echo.v1),
      route('HTTPRoute', 'store', 'timed', [parent('timed', { port: 80 })], [
        { matches: [{ path: { value: '/request' } }], timeouts: { request: '300ms' }, backendRefs: [backend('timed')] },
        { matches: [{ path: { value: '/backend' } }], timeouts: { request: '5s', backendRequest: '300ms' }, backendRefs: [backend('timed')] },
        { matches: [{ path: { value: '/off' } }], timeouts: { request: '0s' }, backendRefs: [backend('timed')] },
      ]),
    ],
    run: async ({ client, url }) => {
      const from = await client('store')
      const ask = async (path: string) => {
        const { status, reason, ms } = await from.request(url('store', 'timed', path))
        return { status, reason, ms }
      }
      for (const [path, reason] of [['/request', 'request-timeout'], ['/backend', 'backend-timeout']] as const) {
        const late = await ask(`${path}?delay=5000`)
        assert.deepEqual([late.status, late.reason], [504, reason], path)
        assert.ok(late.ms >= 290 && late.ms < 3_000, `${path}: ${late.ms} ms`)
        assert.equal((await ask(`${path}?delay=10`)).status, 200, path)
      }
      assert.equal((await ask('/off?delay=1500')).status, 200)
    },
  },
  {
    name: 'retries: listed codes and lost connections are tried again, elsewhere if there is an elsewhere',
    features: ['HTTPRoute', 'HTTPRouteRetry', 'HTTPRouteRetryConnectionError'],
    manifests: [
      service('store', 'retried', echo.both),
      service('store', 'retried-v1', echo.v1),
      route('HTTPRoute', 'store', 'retried', [parent('retried', { port: 80 })], [
        { matches: [{ path: { value: '/one' } }], retry: { attempts: 2, codes: [503], backoff: '10ms' }, backendRefs: [backend('retried-v1')] },
        { matches: [{ path: { value: '/never' } }], backendRefs: [backend('retried-v1')] },
        { retry: { attempts: 1, codes: [503], backoff: '10ms' }, backendRefs: [backend('retried')] },
      ]),
    ],
    run: async ({ client, url }) => {
      const from = await client('store')
      const status = async (path: string) => (await from.request(url('store', 'retried', path))).status
      assert.equal(await status('/one?status=503&fails=2&key=retry-2'), 200)
      assert.equal(await status('/one?status=503&fails=9&key=retry-9'), 503)
      assert.equal(await status('/one?status=500&fails=1&key=retry-unlisted'), 500)
      assert.equal(await status('/one?reset=1&fails=1&key=retry-reset'), 200)
      assert.equal(await status('/never?status=503&fails=1&key=retry-never'), 503)
      // One of the two endpoints always fails; the second try goes to the other.
      const replies = await from.requests({ url: url('store', 'retried', '/?status=503&failon=v1'), count: 100, concurrency: 4, brief: true })
      assert.deepEqual(tally(replies.map(({ status: each, version }) => `${each} ${version ?? ''}`)), { '200 v2': 100 })
    },
  },
])
