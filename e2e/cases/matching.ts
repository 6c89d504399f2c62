import assert from 'node:assert/strict'
import type { RequestsSpec } from '../app/protocol.ts'
import { defineCases, everyEntry, type Case, type Context } from '../lib/case.ts'
import { marked } from '../lib/captured.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { tally } from '../lib/statistics.ts'

type Asked = Partial<Pick<RequestsSpec, 'method' | 'headers' | 'body'>>

/** A rule that says at each answer which one it was. */
const rule = (name: string, match: object | readonly object[], to: object): object => ({ matches: [match].flat(), filters: [marked(name)], backendRefs: [to] })

/** Which rule gave each answer; `-` for none: a status and a reason in its place. */
async function judged(context: Context, service: string, table: readonly (readonly [path: string, wanted: string, more?: Asked])[]): Promise<void> {
  const from = await context.client('shop')
  await context.inARow(async () => {
    const got = await Promise.all(table.map(async ([path, , more = {}]) => {
      const { status, reason, headers } = await from.request(context.url('store', service, path), more)
      return headers?.['x-route']?.join(' and ') ?? `${status} ${reason ?? ''}`.trim()
    }))
    const told = (answers: readonly string[]): readonly string[] => table.map(([path, , more], at) => `${path}${more === undefined ? '' : ` ${JSON.stringify(more)}`}: ${answers[at] ?? ''}`)
    assert.deepEqual(told(got), told(table.map(([, wanted]) => wanted)))
  })
}

/** Waits until a route is seen at work by a client: the status tells of waypoints, and agents and entries hear a moment later. */
async function seen({ client, url }: Context, role: string, service: string, name: string, path = '/', of = 'store'): Promise<void> {
  const { held, reply } = await (await client(role)).until({ url: url(of, service, path), header: { name: 'x-route', value: name }, everyMs: 50, withinMs: 20_000 })
  assert.ok(held, `${name} is not at work for ${role}: ${JSON.stringify(reply)}`)
}

const everywhere = { entries: everyEntry } as const satisfies Partial<Case>

/** Which rule a request meets, and which routes apply to whom. */
export const cases = defineCases([
  {
    ...everywhere,
    name: 'matches: path, headers, query and method, each by its own rules; hostnames of a route change nothing',
    features: ['HTTPRoute', 'HTTPRouteQueryParamMatching', 'HTTPRouteMethodMatching', 'path matching', 'header matching'],
    manifests: [
      service('store', 'matched', echo.v1),
      ((made) => ({ ...made, spec: { ...(made['spec'] as object), hostnames: ['nowhere.example'] } }))(route('HTTPRoute', 'store', 'matched', [parent('matched', { port: 80 })], [
        rule('exact', { path: { type: 'Exact', value: '/exact' } }, backend('matched')),
        rule('prefix', { path: { type: 'PathPrefix', value: '/v2/' } }, backend('matched')),
        rule('regex', { path: { type: 'RegularExpression', value: '/re/[0-9]+' } }, backend('matched')),
        rule('header', { path: { value: '/header' }, headers: [{ name: 'X-Color', value: 'red' }] }, backend('matched')),
        rule('header-regex', { path: { value: '/header' }, headers: [{ type: 'RegularExpression', name: 'x-size', value: 'x*l' }] }, backend('matched')),
        rule('query', { path: { value: '/query' }, queryParams: [{ name: 'q', value: 'a b' }] }, backend('matched')),
        rule('both', { path: { value: '/both' }, headers: [{ name: 'x-one', value: '1' }], queryParams: [{ name: 'two', value: '2' }] }, backend('matched')),
        rule('either', [{ path: { value: '/either' }, method: 'POST' }, { path: { value: '/either' }, headers: [{ name: 'x-or', value: '1' }] }], backend('matched')),
      ])),
    ],
    run: async (context) => judged(context, 'matched', [
      ['/exact', 'exact'], ['/exact?x=/v2', 'exact'], ['/exact/', '404 no-route'], ['/Exact', '404 no-route'],
      ['/v2', 'prefix'], ['/v2/', 'prefix'], ['/v2/x/y', 'prefix'], ['/v2x', '404 no-route'], ['/V2', '404 no-route'], ['/', '404 no-route'],
      ['/re/12', 'regex'], ['/re/12x', '404 no-route'], ['/x/re/12', '404 no-route'], ['/re/', '404 no-route'],
      ['/header', 'header', { headers: { 'x-COLOR': 'red' } }], ['/header', '404 no-route', { headers: { 'x-color': 'Red' } }], ['/header', '404 no-route'],
      ['/header', 'header-regex', { headers: { 'x-size': 'xxl' } }], ['/header', '404 no-route', { headers: { 'x-size': 'xxlarge' } }],
      ['/query?q=a%20b', 'query'], ['/query?x=1&q=a%20b', 'query'], ['/query?q=other&q=a%20b', '404 no-route'], ['/query?q=a%20b&q=other', 'query'], ['/query?Q=a%20b', '404 no-route'],
      ['/both?two=2', 'both', { headers: { 'x-one': '1' } }], ['/both?two=2', '404 no-route'], ['/both', '404 no-route', { headers: { 'x-one': '1' } }],
      ['/either', 'either', { method: 'POST', body: 'x' }], ['/either', 'either', { headers: { 'x-or': '1' } }], ['/either', '404 no-route'],
    ]),
  },
  {
    ...everywhere,
    name: 'precedence: exact, regular expression, longest prefix, method, most headers, most query parameters, then the first rule',
    features: ['HTTPRoute', 'precedence'],
    manifests: [
      service('store', 'ranked', echo.v1),
      route('HTTPRoute', 'store', 'ranked', [parent('ranked', { port: 80 })], [
        rule('all', { path: { value: '/' } }, backend('ranked')),
        rule('query', { path: { value: '/p' }, queryParams: [{ name: 'q', value: '1' }] }, backend('ranked')),
        rule('two-queries', { path: { value: '/p' }, queryParams: [{ name: 'q', value: '1' }, { name: 'r', value: '1' }] }, backend('ranked')),
        rule('header', { path: { value: '/p' }, headers: [{ name: 'h', value: '1' }] }, backend('ranked')),
        rule('two-headers', { path: { value: '/p' }, headers: [{ name: 'h', value: '1' }, { name: 'i', value: '1' }] }, backend('ranked')),
        rule('method', { path: { value: '/p' }, method: 'PUT' }, backend('ranked')),
        rule('short', { path: { value: '/p' } }, backend('ranked')),
        rule('long', { path: { value: '/p/long' } }, backend('ranked')),
        rule('regex', { path: { type: 'RegularExpression', value: '/p/long/r.*' } }, backend('ranked')),
        rule('exact', { path: { type: 'Exact', value: '/p/long/rest' } }, backend('ranked')),
        rule('second', { path: { value: '/p' } }, backend('ranked')),
      ]),
    ],
    run: async (context) => {
      const all = { method: 'PUT', body: 'x', headers: { h: '1', i: '1' } }
      await judged(context, 'ranked', [
        ['/p/long/rest?q=1&r=1', 'exact', all], ['/p/long/rose?q=1&r=1', 'regex', all], ['/p/long/x?q=1&r=1', 'long', all], ['/p?q=1&r=1', 'method', all],
        ['/p?q=1&r=1', 'two-headers', { headers: { h: '1', i: '1' } }], ['/p?q=1&r=1', 'header', { headers: { h: '1' } }], ['/p?q=1&r=1', 'two-queries'], ['/p?q=1', 'query'],
        ['/p', 'short'], ['/x', 'all'],
      ])
    },
  },
  {
    ...everywhere,
    name: 'parents and backends: the group\'s other spelling, a Gateway as the parent of all Services, no chaining, and no grant to send elsewhere',
    features: ['HTTPRoute', 'parentRef', 'no chaining', 'SupportMesh'],
    manifests: [
      service('store', 'spelled', echo.both),
      service('store', 'chained', echo.v2),
      service('shop', 'gatewayed', undefined),
      // What is attached to a backend is not asked for its routes.
      route('HTTPRoute', 'store', 'chained', [parent('chained', { port: 80 })], [{ filters: [{ type: 'RequestRedirect', requestRedirect: { statusCode: 301, hostname: 'chained.example' } }] }]),
      route('HTTPRoute', 'store', 'spelled', [{ group: 'core', kind: 'Service', name: 'spelled', port: 80 }], [rule('spelled', [], backend('chained'))]),
      route('HTTPRoute', 'shop', 'gatewayed', [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'waypoint' }], [rule('gatewayed', [], backend('chained', { namespace: 'store' }))]),
    ],
    run: async (context) => {
      const { client, url, inARow } = context
      await seen(context, 'garden', 'spelled', 'spelled')
      await seen(context, 'garden', 'gatewayed', 'gatewayed', '/', 'shop')
      const from = await client('garden')
      await inARow(async () => {
        for (const [role, service, name] of [['store', 'spelled', 'spelled'], ['shop', 'gatewayed', 'gatewayed']] as const) {
          const { status, version, headers } = await from.request(url(role, service))
          assert.deepEqual([status, version, headers?.['x-route']], [200, 'v2', [name]])
        }
        const { status, headers } = await from.request(url('store', 'chained'))
        assert.deepEqual([status, headers?.['location']], [301, ['http://chained.example/']])
      })
    },
  },
  {
    ...everywhere,
    name: 'a consumer route that is not accepted takes nothing: its namespace goes on with the producer\'s',
    features: ['HTTPRoute', 'MeshConsumerRoute', 'NoMatchingParent'],
    manifests: [
      service('store', 'untaken', echo.v1),
      service('store', 'untaken-v2', echo.v2),
      route('HTTPRoute', 'store', 'untaken', [parent('untaken', { port: 80 })], [rule('producer', [], backend('untaken'))]),
      route('HTTPRoute', 'shop', 'untaken', [parent('untaken', { namespace: 'store', port: 999 })], [rule('consumer', [], backend('untaken-v2', { namespace: 'store' }))]),
    ],
    // The one of `shop`; the name is that of the producer's, too, which is awaited below.
    notInForce: ['untaken'],
    run: async (context) => {
      const { client, url, inARow } = context
      for (const role of ['shop', 'store']) await seen(context, role, 'untaken', 'producer')
      await inARow(async () => {
        for (const role of ['shop', 'store']) {
          const { status, version, headers } = await (await client(role)).request(url('store', 'untaken'))
          assert.deepEqual([status, version, headers?.['x-route']], [200, 'v1', ['producer']], role)
        }
      })
    },
  },
  {
    ...everywhere,
    name: 'session persistence: by cookie and by header, a client stays with its backend',
    features: ['HTTPRoute', 'HTTPRouteSessionPersistence'],
    manifests: [
      service('store', 'persisted', echo.both),
      route('HTTPRoute', 'store', 'persisted', [parent('persisted', { port: 80 })], [
        { matches: [{ path: { value: '/cookie' } }], sessionPersistence: { sessionName: 'stay', type: 'Cookie' }, backendRefs: [backend('persisted')] },
        { matches: [{ path: { value: '/header' } }], sessionPersistence: { sessionName: 'x-stay', type: 'Header' }, backendRefs: [backend('persisted')] },
      ]),
    ],
    run: async ({ client, url, inARow }) => {
      const from = await client('shop')
      const versions = new Set<string>()
      const stays = async (path: string, given: string, sent: (value: string) => Readonly<Record<string, string>>): Promise<void> => {
        const first = await from.request(url('store', 'persisted', path))
        const value = first.headers?.[given]?.[0]
        assert.ok(first.status === 200 && value !== undefined, JSON.stringify(first))
        versions.add(first.version ?? '')
        const next = await from.requests({ url: url('store', 'persisted', path), headers: sent(value), count: 10 })
        assert.deepEqual(tally(next.map(({ version }) => version)), { [first.version ?? '']: 10 })
      }
      await inARow(async () => {
        await stays('/cookie', 'set-cookie', (value) => ({ cookie: value.split(';', 1)[0] ?? '' }))
        await stays('/header', 'x-stay', (value) => ({ 'x-stay': value }))
      })
      return `clients stayed with ${[...versions].sort().join(' and ')}`
    },
  },
  {
    ...everywhere,
    name: 'TLSRoute: by the name that a TLS client asks for, unread; a name that no route has is refused',
    features: ['TLSRoute', 'TLSRouteModePassthrough'],
    manifests: [
      service('store', 'sealed', echo.both, { ports: [{ name: 'http', port: 80, targetPort: 'http' }, { name: 'tls', port: 443, targetPort: 'tcp' }] }),
      service('store', 'sealed-v1', echo.v1),
      service('store', 'sealed-v2', echo.v2),
      ...([['v1', 'one.example'], ['v2', '*.two.example']] as const).map(([version, name]) => {
        const made = route('TLSRoute', 'store', `sealed-${version}`, [parent('sealed', { port: 443 })], [{ backendRefs: [backend(`sealed-${version}`, { port: 9000 })] }])
        return { ...made, spec: { ...(made['spec'] as object), hostnames: [name] } }
      }),
    ],
    run: async ({ client, url, target, inARow, until }) => {
      const from = await client('shop')
      await from.request(url('store', 'sealed'))
      const met = async (sni: string): Promise<string> => {
        const [reply] = await from.raw({ target: target('store', 'sealed', 443), sni, untilText: '\n', timeoutMs: 5_000 })
        return reply?.end === 'text' ? (JSON.parse(reply.received.split('\n')[0] ?? '{}') as { readonly version: string }).version : 'refused'
      }
      await until('the TLSRoutes to be at work', async () => (await met('one.example')) === 'v1' && (await met('a.two.example')) === 'v2', 20_000)
      await inARow(async () => {
        assert.deepEqual([await met('one.example'), await met('a.two.example'), await met('two.example'), await met('other.example')], ['v1', 'v2', 'refused', 'refused'])
      })
    },
  },
  {
    ...everywhere,
    name: 'what is ambiguous or too large is refused by the waypoint, and closed',
    features: ['HTTPRoute', 'malformed requests'],
    manifests: [
      service('store', 'strict', echo.v1),
      route('HTTPRoute', 'store', 'strict', [parent('strict', { port: 80 })], [{ backendRefs: [backend('strict')] }]),
    ],
    run: async ({ client, url, target, inARow }) => {
      const from = await client('shop')
      await from.request(url('store', 'strict'))
      const said = async (head: string): Promise<string> => {
        const [reply] = await from.raw({ target: target('store', 'strict', 80), send: head, timeoutMs: 5_000 })
        return `${/^HTTP\/1\.1 (\d+)/.exec(reply?.received ?? '')?.[1] ?? 'nothing'} ${reply?.end ?? ''}`
      }
      const lines = (...all: readonly string[]): string => `${all.join('\r\n')}\r\n\r\n`
      await inARow(async () => {
        assert.deepEqual([
          await said(lines('POST / HTTP/1.1', 'host: x', 'content-length: 4', 'content-length: 5')),
          await said(lines('POST / HTTP/1.1', 'host: x', 'content-length: 4', 'transfer-encoding: chunked')),
          await said(lines('GET / HTTP/1.1', 'host: x', 'x-folded: a', ' b')),
          await said(lines('GET / HTTP/1.1', 'host: x', 'x-spaced : a')),
          await said(lines('GET / HTTP/1.1', 'host: x', 'host: y')),
          await said(lines(`GET /${'x'.repeat(70_000)} HTTP/1.1`, 'host: x')),
          await said(lines('GET / HTTP/1.1', 'host: x', `x-large: ${'x'.repeat(130_000)}`)),
        ], ['400 end', '400 end', '400 end', '400 end', '400 end', '414 end', '431 end'])
      })
    },
  },
])
