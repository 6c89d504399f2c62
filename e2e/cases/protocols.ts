import assert from 'node:assert/strict'
import { defineCases, everyEntry } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { assertShares, tally } from '../lib/statistics.ts'

const grpcBackend = (name: string, weight: number): object => backend(name, { port: 9090, weight })

/** gRPC, TCP and WebSocket. */
export const cases = defineCases([
  {
    name: 'gRPC: weights hold for the calls of one connection',
    features: ['GRPCRoute', 'weights'],
    manifests: [
      service('store', 'calls', echo.both),
      service('store', 'calls-v1', echo.v1),
      service('store', 'calls-v2', echo.v2),
      route('GRPCRoute', 'store', 'calls', [parent('calls', { port: 9090 })], [{ backendRefs: [grpcBackend('calls-v1', 70), grpcBackend('calls-v2', 30)] }]),
    ],
    run: async ({ client, target }) => {
      const replies = await (await client('shop')).grpc({ target: target('store', 'calls', 9090), method: 'Say', message: { text: 'hi' }, count: 500, concurrency: 8 })
      assert.deepEqual(tally(replies.map(({ code }) => code)), { 0: 500 })
      assertShares(replies.map(({ version }) => version), { v1: 7, v2: 3 }, 0.01)
      return JSON.stringify(tally(replies.map(({ version }) => version)))
    },
  },
  {
    name: 'gRPC: by service, method and header; streams, trailers, deadlines; unmatched is UNIMPLEMENTED',
    features: ['GRPCRoute', 'method matching', 'header matching'],
    entries: everyEntry,
    manifests: [
      service('store', 'methods', echo.both),
      service('store', 'methods-v1', echo.v1),
      service('store', 'methods-v2', echo.v2),
      route('GRPCRoute', 'store', 'methods', [parent('methods', { port: 9090 })], [
        { matches: [{ method: { service: 'e2e.Echo', method: 'Say' }, headers: [{ name: 'x-user', value: 'jason' }] }], backendRefs: [grpcBackend('methods-v2', 1)] },
        { matches: [{ method: { service: 'e2e.Echo', method: 'Say' } }, { method: { service: 'e2e.Echo', method: 'Stream' } }, { method: { method: 'Chat' } }], backendRefs: [grpcBackend('methods-v1', 1)] },
        { matches: [{ method: { service: 'e2e.Echo', method: 'Fail' } }], backendRefs: [grpcBackend('methods-missing', 1)] },
      ]),
    ],
    run: async ({ client, url, target, inARow }) => {
      const from = await client('store')
      await from.request(url('store', 'methods'))
      const at = target('store', 'methods', 9090)
      const one = async (method: 'Say' | 'Stream' | 'Chat' | 'Fail' | 'Missing', more: object = {}) => {
        const [reply] = await from.grpc({ target: at, method, ...more })
        assert.ok(reply !== undefined)
        return reply
      }
      await inARow(async () => {
        const said = await one('Say')
        assert.deepEqual([said.code, said.version, said.trailers?.['x-trailer']], [0, 'v1', 'v1'])
        assert.equal((await one('Say', { metadata: { 'x-user': 'jason' } })).version, 'v2')
        assert.equal((await one('Stream', { message: { count: 5 } })).messages?.length, 5)
        assert.equal((await one('Chat', { message: { count: 4 } })).messages?.length, 4)
        assert.equal((await one('Say', { message: { delayMs: 5_000 }, deadlineMs: 300 })).code, 4)
        assert.equal((await one('Missing')).code, 12)
        assert.equal((await one('Fail')).code, 14)
      })
    },
  },
  {
    name: 'TCP: connections by weight, to a server that speaks first; a missing backend\'s share is refused',
    features: ['TCPRoute', 'weights'],
    entries: everyEntry,
    manifests: [
      service('store', 'streams', echo.both),
      service('store', 'streams-v1', echo.v1),
      service('store', 'streams-v2', echo.v2),
      route('TCPRoute', 'store', 'streams', [parent('streams', { port: 9000 })], [
        { backendRefs: [backend('streams-v1', { port: 9000, weight: 2 }), backend('streams-v2', { port: 9000, weight: 1 }), backend('streams-missing', { port: 9000, weight: 1 })] },
      ]),
    ],
    run: async ({ client, url, target }) => {
      const from = await client('store')
      await from.request(url('store', 'streams'))
      const replies = await from.tcp({ target: target('store', 'streams', 9000), send: 'hello', count: 40 })
      assertShares(replies.map(({ version, echoed }) => (version === undefined ? 'refused' : `${version} ${echoed}`)), { 'v1 hello': 2, 'v2 hello': 1, 'refused': 1 }, 0.05)
    },
  },
  {
    name: 'WebSocket: an upgrade passes through the waypoint',
    features: ['HTTPRoute', 'WebSocket'],
    entries: everyEntry,
    manifests: [
      service('store', 'upgraded', echo.v1),
      route('HTTPRoute', 'store', 'upgraded', [parent('upgraded', { port: 80 })], [{ backendRefs: [backend('upgraded')] }]),
    ],
    run: async ({ client, url, inARow }) => {
      const from = await client('shop')
      assert.equal((await from.request(url('store', 'upgraded'))).status, 200)
      await inARow(async () => assert.deepEqual(await from.websocket({ url: url('store', 'upgraded', '/ws'), send: 'hello' }), { status: 101, echoed: 'hello' }))
    },
  },
  {
    name: 'HTTP/2 to the application where the port says so, and the caller\'s identity in its header',
    features: ['HTTPRoute', 'HTTPRouteBackendProtocolH2C', 'identity'],
    entries: everyEntry,
    manifests: [
      service('store', 'two', echo.v1, { ports: [{ name: 'web', port: 80, targetPort: 'http', appProtocol: 'kubernetes.io/h2c' }] }),
      route('HTTPRoute', 'store', 'two', [parent('two')], [{ backendRefs: [backend('two')] }]),
    ],
    run: async ({ client, url, namespace, inARow }) => {
      const claim = { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/bank/sa/boss' }
      const from = await client('shop')
      await inARow(async () => {
        const { status, echo: seen } = await from.request(url('store', 'two'), { headers: claim })
        assert.deepEqual([status, seen?.http], [200, '2.0'])
        assert.deepEqual(seen?.headers['x-forwarded-client-cert']?.map((value) => /URI=[^;,"]*/.exec(value)?.[0]), [`URI=spiffe://cluster.local/ns/${namespace('shop')}/sa/client`])
      })
    },
  },
  {
    name: 'a port that declares nothing: the first bytes decide what is spoken, and whoever hesitates is served all the same',
    features: ['protocol detection', 'no route'],
    entries: everyEntry,
    manifests: [service('store', 'undeclared', echo.v1, { ports: [{ name: 'any', port: 80, targetPort: 'http' }, { name: 'calls', port: 9090, targetPort: 'grpc' }] })],
    run: async ({ client, url, target, namespace, inARow, until }) => {
      const from = await client('shop')
      const caller = `URI=spiffe://cluster.local/ns/${namespace('shop')}/sa/client`
      await from.request(url('store', 'undeclared'))
      const read: string[] = []
      /** Whoever reads HTTP says who the caller is; a client that was held up for 100 ms before its first byte passes unread. */
      const noted = (what: string, named: string | undefined): void => {
        assert.ok(named === undefined || named.includes(caller), named)
        if (named !== undefined) read.push(what)
      }
      const both = async (): Promise<void> => {
        const { status, echo: seen } = await from.request(url('store', 'undeclared'))
        assert.deepEqual([status, seen?.http], [200, '1.1'])
        noted('HTTP', seen?.headers['x-forwarded-client-cert']?.[0])
        const [said] = await from.grpc({ target: target('store', 'undeclared', 9090), method: 'Say' })
        assert.equal(said?.code, 0)
        noted('gRPC', ((said.messages?.[0] ?? {}) as { readonly metadata?: Readonly<Record<string, string>> }).metadata?.['x-forwarded-client-cert'])
      }
      await inARow(both)
      await until('both to have been read', async () => {
        await both()
        return read.includes('HTTP') && read.includes('gRPC')
      }, 20_000)
      return `read: ${JSON.stringify(tally(read))}`
    },
  },
])
