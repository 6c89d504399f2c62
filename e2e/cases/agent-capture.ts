import assert from 'node:assert/strict'
import { agentPods } from '../lib/agents.ts'
import { allCaptured, arrived, capturedPlace, clusterIp, isCaptured, isOfTheMesh, locationOf, marked, onePod, podsOf, senders } from '../lib/captured.ts'
import { defineCases, inARow, type Case, type Context } from '../lib/case.ts'
import type { Client } from '../lib/client.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { assertShares, tally } from '../lib/statistics.ts'

/** Asks often, over connections of their own, and gives the different answers, in words. */
async function answers(from: Client, url: string, headers: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const replies = await from.requests({ url, headers, count: inARow, concurrency: 5, fresh: true })
  return [...new Set(replies.map((reply) => [reply.status, reply.version ?? reply.reason ?? reply.error, reply.headers?.['x-route']?.[0] ?? 'no route'].join(' ')))].sort()
}

/** kube-proxy, too, takes a moment to know a Service. */
async function reached(from: Client, url: string): Promise<Client> {
  const { held, reply } = await from.until({ url, status: 200, everyMs: 50, withinMs: 20_000, fresh: true })
  assert.ok(held, `${url} is not reached from ${from.pod}: ${JSON.stringify(reply)}`)
  return from
}

/** Both senders hear of a route at their own time. */
async function routed(context: Context, url: string, name: string): Promise<readonly Client[]> {
  const clients = await Promise.all(senders.map((sender) => context.driver('shop', sender)))
  for (const from of clients) {
    const { held, reply } = await from.until({ url, header: { name: 'x-route', value: name }, everyMs: 50, withinMs: 20_000, fresh: true })
    assert.ok(held, `${url} is not routed from ${from.pod}: ${JSON.stringify(reply)}`)
  }
  return clients
}

const captured = { group: 'captured', place: capturedPlace } as const satisfies Partial<Case>

/** What ordinary pods see of the mesh whose node captures them: plain HTTP, gRPC and TCP, with nothing of the mesh in the pod. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: every pod of the mesh on both nodes says so, and nobody else',
    features: ['node agent', 'enrolment'],
    manifests: [],
    run: async (context) => {
      const { kube, installation } = context
      await allCaptured(context, ['store', 'shop', 'garden'])
      const nodes = new Set<string>()
      for (const role of ['store', 'shop', 'garden', 'outside']) {
        for (const pod of await podsOf(context, role)) {
          const wanted = role !== 'outside' && !isOfTheMesh(pod)
          assert.equal(isCaptured(pod), wanted, pod.metadata.name)
          if (wanted) nodes.add(locationOf(pod).node)
        }
      }
      assert.equal(nodes.size, 2)
      for (const pod of await kube.list('Pod', installation.namespace)) assert.equal(isCaptured(pod), false, pod.metadata.name)
      assert.equal((await kube.list('Pod', installation.namespace, agentPods)).length, 2)
    },
  },
  {
    ...captured,
    limitSeconds: 120,
    name: 'captured: canary by weight over 1,000 new connections, 20 at a time, within 5 seconds, from each node',
    features: ['node agent', 'HTTPRoute', 'weights'],
    manifests: [
      service('store', 'canary', echo.both),
      service('store', 'canary-v1', echo.v1),
      service('store', 'canary-v2', echo.v2),
      route('HTTPRoute', 'store', 'canary', [parent('canary', { port: 80 })], [
        { filters: [marked('canary')], backendRefs: [backend('canary-v1', { weight: 90 }), backend('canary-v2', { weight: 10 })] },
      ]),
    ],
    run: async (context) => {
      const url = context.url('store', 'canary')
      const told: string[] = []
      for (const from of await routed(context, url, 'canary')) {
        let best = Infinity
        // Each thousand must be right; a machine that does other things besides may need more than one to be fast.
        for (let attempt = 0; attempt < 3 && best > 5_000; attempt++) {
          const start = performance.now()
          const replies = await from.requests({ url, count: 1_000, concurrency: 20, fresh: true, brief: true })
          best = Math.min(best, performance.now() - start)
          assert.deepEqual(tally(replies.map(({ status }) => status)), { 200: 1_000 })
          assertShares(replies.map(({ version }) => version), { v1: 90, v2: 10 }, 0.01)
          told.push(`${from.pod} ${JSON.stringify(tally(replies.map(({ version }) => version)))} in ${((performance.now() - start) / 1000).toFixed(1)} s`)
        }
        assert.ok(best <= 5_000, told.join('; '))
      }
      return told.join('; ')
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: a header decides, by the cluster IP whatever the Host header says, and the application learns who asked',
    features: ['node agent', 'HTTPRoute', 'header matching', 'cluster IP'],
    manifests: [
      service('store', 'headers', echo.both),
      service('store', 'headers-v1', echo.v1),
      service('store', 'headers-v2', echo.v2),
      route('HTTPRoute', 'store', 'headers', [parent('headers', { port: 80 })], [
        { matches: [{ headers: [{ name: 'x-user', value: 'jason' }] }], filters: [marked('jason')], backendRefs: [backend('headers-v2')] },
        { filters: [marked('others')], backendRefs: [backend('headers-v1')] },
      ]),
    ],
    run: async (context) => {
      const { url, namespace } = context
      const clients = await routed(context, url('store', 'headers'), 'others')
      const byAddress = `http://${await clusterIp(context, 'store', 'headers')}/`
      for (const from of clients) {
        for (const target of [url('store', 'headers'), byAddress]) {
          assert.deepEqual(await answers(from, target), ['200 v1 others'])
          assert.deepEqual(await answers(from, target, { 'x-user': 'jason' }), ['200 v2 jason'])
        }
        assert.deepEqual(await answers(from, byAddress, { 'host': 'somewhere.example', 'x-user': 'jason' }), ['200 v2 jason'])
        const { echo: seen } = await from.request(byAddress, { headers: { 'host': 'somewhere.example', 'x-forwarded-client-cert': 'By=me' } })
        assert.deepEqual(seen?.headers['host'], ['somewhere.example'])
        const [proven = '', ...more] = seen.headers['x-forwarded-client-cert'] ?? []
        assert.ok(proven.includes(`URI=spiffe://cluster.local/ns/${namespace('shop')}/sa/default`) && !proven.includes('By=me') && more.length === 0, proven)
      }
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: a consumer route applies in its own namespace and nowhere else, without any grant',
    features: ['node agent', 'HTTPRoute', 'MeshConsumerRoute'],
    manifests: [
      service('store', 'consumer', echo.v1),
      service('store', 'consumer-v2', echo.v2),
      route('HTTPRoute', 'shop', 'consumer', [parent('consumer', { namespace: 'store', port: 80 })], [
        { matches: [{ path: { value: '/old' } }], filters: [{ type: 'RequestRedirect', requestRedirect: { path: { type: 'ReplaceFullPath', replaceFullPath: '/new' }, statusCode: 301 } }] },
        { filters: [marked('shop'), { type: 'RequestHeaderModifier', requestHeaderModifier: { add: [{ name: 'x-from', value: 'shop' }] } }], backendRefs: [backend('consumer', { namespace: 'store' })] },
      ]),
    ],
    run: async (context) => {
      const { url, driver } = context
      const target = url('store', 'consumer')
      for (const from of await routed(context, target, 'shop')) {
        assert.deepEqual(await answers(from, target), ['200 v1 shop'])
        assert.deepEqual((await from.request(target, { headers: { 'x-from': 'me' } })).echo?.headers['x-from']?.join(','), 'me,shop')
        const { status, headers } = await from.request(url('store', 'consumer', '/old?a=b'))
        assert.deepEqual([status, headers?.['location']], [301, [url('store', 'consumer', '/new?a=b')]])
      }
      for (const from of [await driver('garden', 'c'), await driver('outside', 'stranger')]) assert.deepEqual(await answers(await reached(from, target), target), ['200 v1 no route'])
    },
  },
  {
    ...captured,
    name: 'captured: pod IPs and headless names skip routes, go by mTLS all the same, and show the client\'s own address',
    features: ['node agent', 'pod IP', 'headless', 'mTLS', 'client address'],
    manifests: [
      service('store', 'skipped', echo.both),
      service('store', 'skipped-headless', echo.v2, { clusterIP: 'None' }),
      route('HTTPRoute', 'store', 'skipped', [parent('skipped', { port: 80 })], [{ filters: [marked('skipped')], backendRefs: [backend('skipped')] }]),
    ],
    run: async (context) => {
      const { url, until } = context
      const clients = await routed(context, url('store', 'skipped'), 'skipped')
      const pods = [await onePod(context, 'store', 'version=v1'), await onePod(context, 'store', 'version=v2')]
      const before = await arrived(context, 'store')
      for (const from of clients) {
        for (const [at, { ip }] of pods.entries()) assert.deepEqual(await answers(from, `http://${ip}:8080/`), [`200 v${at + 1} no route`])
        assert.deepEqual(await answers(from, url('store', 'skipped-headless', '/', 8080)), ['200 v2 no route'])
      }
      for (const from of clients) {
        const { ip } = await onePod(context, 'shop', `app=${from.pod}`)
        const replies = await from.requests({ url: `http://${pods[0]?.ip ?? ''}:8080/`, count: inARow, concurrency: 5, fresh: true })
        assert.deepEqual(tally(replies.map(({ echo: seen }) => seen?.peer)), { [ip]: inARow })
      }
      const sent = clients.length * 4 * inARow
      const after = await until(`${sent} connections to be counted`, async () => {
        const now = await arrived(context, 'store')
        return now.mtls - before.mtls >= sent && now
      }, 20_000)
      assert.equal(after.plain, before.plain)
      return `${sent} connections by mTLS, none in plain`
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: a pod that calls the Service that it is behind itself (hairpin)',
    features: ['node agent', 'hairpin'],
    manifests: [
      service('store', 'hairpin', echo.v1),
      service('store', 'hairpin-plain', echo.v1),
      route('HTTPRoute', 'store', 'hairpin', [parent('hairpin', { port: 80 })], [{ filters: [marked('hairpin')], backendRefs: [backend('hairpin')] }]),
    ],
    run: async (context) => {
      const { url, driver } = context
      const { name } = await onePod(context, 'store', 'version=v1')
      const itself = await driver('store', name, 'app')
      const { held, reply } = await itself.until({ url: url('store', 'hairpin'), header: { name: 'x-route', value: 'hairpin' }, withinMs: 20_000, fresh: true })
      assert.ok(held, JSON.stringify(reply))
      assert.deepEqual(await answers(itself, url('store', 'hairpin')), ['200 v1 hairpin'])
      assert.deepEqual(await answers(await reached(itself, url('store', 'hairpin-plain')), url('store', 'hairpin-plain')), ['200 v1 no route'])
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: calls of one gRPC connection are split by weight, and TCP servers may speak first',
    features: ['node agent', 'GRPCRoute', 'TCPRoute', 'server-first'],
    manifests: [
      service('store', 'calls', echo.both),
      service('store', 'calls-v1', echo.v1),
      service('store', 'calls-v2', echo.v2),
      route('GRPCRoute', 'store', 'calls', [parent('calls', { port: 9090 })], [
        { backendRefs: [backend('calls-v1', { port: 9090, weight: 70 }), backend('calls-v2', { port: 9090, weight: 30 }), backend('calls-missing', { port: 9090, weight: 0 })] },
      ]),
      route('TCPRoute', 'store', 'calls-tcp', [parent('calls', { port: 9000 })], [{ backendRefs: [backend('calls-v2', { port: 9000 })] }]),
    ],
    notInForce: ['calls'],
    run: async (context) => {
      const { target, driver, until } = context
      const told: string[] = []
      for (const sender of senders) {
        const from = await driver('shop', sender)
        await until('the TCPRoute to be in force', async () => {
          const replies = await from.tcp({ target: target('store', 'calls', 9000), count: 10 })
          return replies.every(({ version }) => version === 'v2')
        }, 20_000)
        const replies = await from.tcp({ target: target('store', 'calls', 9000), count: inARow, send: 'x'.repeat(5_000) })
        assert.deepEqual(tally(replies.map(({ version, echoed, error }) => `${version ?? error ?? ''} ${echoed.length}`)), { 'v2 5000': inARow })
        const calls = await from.grpc({ target: target('store', 'calls', 9090), method: 'Say', message: { text: 'hi' }, count: 1_000, concurrency: 8 })
        assert.deepEqual(tally(calls.map(({ code }) => code)), { 0: 1_000 })
        assertShares(calls.map(({ version }) => version), { v1: 7, v2: 3 }, 0.01)
        const [chat] = await from.grpc({ target: target('store', 'calls', 9090), method: 'Chat', message: { count: 5 } })
        assert.deepEqual([chat?.code, chat?.messages?.length], [0, 5])
        told.push(`${from.pod} ${JSON.stringify(tally(calls.map(({ version }) => version)))}`)
      }
      return told.join('; ')
    },
  },
  {
    ...captured,
    name: 'captured: what the mesh does not know passes, and who is outside reaches permissive pods in plain, counted',
    features: ['node agent', 'unknown destinations', 'permissive'],
    manifests: [service('outside', 'witness', { app: 'witness' }), service('store', 'permissive', echo.both)],
    run: async (context) => {
      const { url, driver, until } = context
      const witness = await onePod(context, 'outside', 'app=witness')
      for (const sender of senders) {
        const from = await reached(await driver('shop', sender), url('outside', 'witness'))
        for (const target of [url('outside', 'witness'), `http://${witness.ip}:8080/`]) assert.deepEqual(await answers(from, target), ['200 witness no route'])
        // An address of a node, which is nobody's Service or pod: there the agent shows its metrics.
        const { status, body = '' } = await from.request(`http://${witness.nodeIp}:15020/metrics`)
        assert.equal(status, 200)
        assert.match(body, /waymark_agent_pods/)
      }
      const stranger = await reached(await driver('outside', 'stranger'), url('store', 'permissive'))
      const before = await arrived(context, 'store')
      const pod = await onePod(context, 'store', 'version=v1')
      assert.deepEqual(await answers(stranger, `http://${pod.ip}:8080/`), ['200 v1 no route'])
      const replies = await stranger.requests({ url: url('store', 'permissive'), count: inARow, fresh: true, brief: true })
      assert.deepEqual(tally(replies.map(({ status, error = '' }) => `${status} ${error}`.trim())), { 200: inARow })
      const after = await until('plain connections to be counted', async () => {
        const now = await arrived(context, 'store')
        return now.plain - before.plain >= 2 * inARow && now
      }, 20_000)
      assert.equal(after.mtls, before.mtls)
      return `${after.plain - before.plain} connections counted as plain`
    },
  },
])
