import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { defineCases, everyEntry, inARow as many } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { tally } from '../lib/statistics.ts'

/** Timeouts and retries. */
export const cases = defineCases([
  {
    name: 'timeouts: of the request and of the backend, 504 with a reason',
    features: ['HTTPRoute', 'HTTPRouteRequestTimeout', 'HTTPRouteBackendTimeout'],
    entries: everyEntry,
    manifests: [
      service('store', 'timed', echo.v1),
      route('HTTPRoute', 'store', 'timed', [parent('timed', { port: 80 })], [
        { matches: [{ path: { value: '/request' } }], timeouts: { request: '1s' }, backendRefs: [backend('timed')] },
        { matches: [{ path: { value: '/backend' } }], timeouts: { request: '5s', backendRequest: '1s' }, backendRefs: [backend('timed')] },
        { matches: [{ path: { value: '/long' } }], timeouts: { request: '20s', backendRequest: '15s' }, backendRefs: [backend('timed')] },
        { matches: [{ path: { value: '/off' } }], timeouts: { request: '0s' }, backendRefs: [backend('timed')] },
      ]),
    ],
    run: async ({ client, url, entry }) => {
      const from = await client('store')
      // All at once, for they wait and do nothing.
      const count = entry === 'captured' ? many : 1
      const ask = (path: string) => from.requests({ url: url('store', 'timed', path), count, concurrency: count })
      for (const [path, reason] of [['/request', 'request-timeout'], ['/backend', 'backend-timeout']] as const) {
        const late = await ask(`${path}?delay=8000`)
        assert.deepEqual(tally(late.map((each) => `${each.status} ${each.reason ?? ''}`)), { [`504 ${reason}`]: count }, path)
        for (const { ms } of late) assert.ok(ms >= 990 && ms < 6_000, `${path}: ${ms} ms`)
      }
      for (const path of ['/long', '/off']) assert.deepEqual(tally((await ask(`${path}?delay=1500`)).map(({ status }) => status)), { 200: count }, path)
    },
  },
  {
    name: 'retries: listed codes and lost connections are tried again, elsewhere if there is an elsewhere',
    features: ['HTTPRoute', 'HTTPRouteRetry', 'HTTPRouteRetryConnectionError'],
    entries: everyEntry,
    manifests: [
      service('store', 'retried', echo.both),
      service('store', 'retried-v1', echo.v1),
      route('HTTPRoute', 'store', 'retried', [parent('retried', { port: 80 })], [
        { matches: [{ path: { value: '/one' } }], retry: { attempts: 2, codes: [503], backoff: '10ms' }, backendRefs: [backend('retried-v1')] },
        { matches: [{ path: { value: '/never' } }], backendRefs: [backend('retried-v1')] },
        { retry: { attempts: 1, codes: [503], backoff: '10ms' }, backendRefs: [backend('retried')] },
      ]),
    ],
    run: async ({ client, url, inARow }) => {
      const from = await client('store')
      await inARow(async () => {
        // The application counts by key.
        const status = async (path: string) => (await from.request(url('store', 'retried', `${path}&key=${randomUUID()}`))).status
        assert.equal(await status('/one?status=503&fails=2'), 200)
        assert.equal(await status('/one?status=503&fails=9'), 503)
        assert.equal(await status('/one?status=500&fails=1'), 500)
        assert.equal(await status('/one?reset=1&fails=1'), 200)
        assert.equal(await status('/never?status=503&fails=1'), 503)
      })
      // One of the two endpoints always fails; the second try goes to the other.
      const replies = await from.requests({ url: url('store', 'retried', '/?status=503&failon=v1'), count: 100, concurrency: 4, brief: true })
      assert.deepEqual(tally(replies.map(({ status: each, version }) => `${each} ${version ?? ''}`)), { '200 v2': 100 })
    },
  },
])
