import assert from 'node:assert/strict'
import { allCaptured, marked, onePod } from '../lib/captured.ts'
import { defineCases, type Case } from '../lib/case.ts'
import { withWaymark } from '../lib/cli.ts'
import { backend, echo, parent, route, service, waypointSelector } from '../lib/manifests.ts'
import { allEnforced, authorization, judgedAs, onService, settles, withdrawn, wordOf } from '../lib/policies.ts'
import { scrape, sumOf } from '../lib/scrape.ts'
import { callers, wallsPlace } from '../lib/walls.ts'

const captured = { group: 'captured', beside: true, place: wallsPlace } as const satisfies Partial<Case>

type Headers = Readonly<Record<string, string | readonly string[]>>
/** `METHOD PATH`, by GET if no method is named, and headers. */
type Asked = string | readonly [line: string, headers: Headers]

/** L7: what a rule says of requests, what it means and what not. */
const l7: readonly (readonly [what: string, to: object, meant: readonly Asked[], other: readonly Asked[]])[] = [
  ['methods', { methods: ['GET', 'PUT'] }, ['/', 'PUT /x'], ['POST /', 'DELETE /']],
  ['an exact path', { paths: [{ type: 'Exact', value: '/only' }] }, ['/only', '/only?a=b'], ['/only/this', '/', '/onlyx']],
  ['a prefix of paths', { paths: [{ value: '/in' }] }, ['/in', '/in/side', '/in/'], ['/inside', '/', '/x/in']],
  ['an expression', { paths: [{ type: 'RegularExpression', value: '/v[0-9]+/.*' }] }, ['/v1/a', '/v22/'], ['/v/a', '/x/v1/a', '/V1/a']],
  ['hosts', { hosts: ['*.example.org', 'front'] }, [['/', { host: 'a.example.org' }], ['/', { host: 'Front:80' }]], [['/', { host: 'example.org' }], '/']],
  ['headers', { headers: [{ name: 'X-Role', value: 'admin' }, { name: 'x-n', type: 'RegularExpression', value: '[0-9]+' }] },
    [['/', { 'x-role': 'admin', 'x-n': '12' }]], [['/', { 'x-role': 'admin' }], ['/', { 'x-role': 'user', 'x-n': '1' }], ['/', { 'x-role': ['admin', 'user'], 'x-n': '1' }]]],
  ['all but a path', { notPaths: [{ value: '/shut' }] }, ['/', '/open'], ['/shut', '/shut/x', '/SHUT', '/shut;a', '/%2573hut']],
]

/** What only waypoints can judge. */
export const cases = defineCases([
  {
    ...captured,
    name: `captured: requests are judged at the waypoint: method, path, host, header, allowed and denied (${l7.length} policies)`,
    features: ['AuthorizationPolicy', 'node agent', 'HTTP'],
    manifests: [service('store', 'requests', echo.both)],
    limitSeconds: 120,
    run: async (context) => {
      const { url, kube, namespace } = context
      const who = await callers(context)
      await allCaptured(context, ['store', 'shop'])
      const ask = async (asked: Asked): Promise<string> => {
        const [line, headers] = typeof asked === 'string' ? [asked, {}] : asked
        const [, method = 'GET', path = '/'] = /^(?:([A-Z]+) )?(\/.*)$/.exec(line) ?? []
        return wordOf(await who.a.request(url('store', 'requests', path), { method, headers }))
      }
      await settles(context, 'open', () => ask('/'), '200')
      let judged = 0
      for (const [what, to, meant, other] of l7) {
        await judgedAs(context, authorization('store', 'l7', { targetRefs: [onService('requests')], rules: [{ to: [to] }] }), allEnforced)
        const look = async (): Promise<readonly string[]> => Promise.all([...meant, ...other].map(ask))
        await settles(context, `Allow of ${what}`, look, [...meant.map(() => '200'), ...other.map(() => '403 denied')])
        judged += meant.length + other.length
      }
      // Deny before Allow; an Audit beside both tells and changes nothing.
      const allow = authorization('store', 'l7', { targetRefs: [onService('requests')], rules: [{ from: [{ namespaces: [namespace('shop')] }] }] })
      const deny = authorization('store', 'l7-deny', { targetRefs: [onService('requests')], action: 'Deny', rules: [{ to: [{ paths: [{ value: '/admin' }] }] }] })
      const audit = authorization('store', 'l7-audit', { targetRefs: [onService('requests')], action: 'Audit', rules: [{ to: [{ methods: ['GET'] }] }] })
      for (const policy of [allow, deny, audit]) await judgedAs(context, policy, allEnforced)
      await settles(context, 'Deny before Allow', async () => Promise.all([ask('/'), ask('/admin'), ask('/admin/x')]), ['200', '403 denied', '403 denied'])
      const [waypoint] = await kube.list('Pod', namespace('store'), waypointSelector)
      const name = waypoint?.metadata.name ?? ''
      await context.until('verdicts to be counted', async () => {
        const samples = await scrape(kube, namespace('store'), name)
        const count = (verdict: string, policy: string) => sumOf(samples, 'waymark_policy_verdicts_total', { verdict, policy: `${namespace('store')}/${policy}` })
        return count('audited', 'l7-audit') >= 6 && count('denied', 'l7-deny') >= 4 && count('allowed', 'l7') >= 2
      }, 20_000)
      const lines = (await kube.kubectl(['logs', '-n', namespace('store'), name, '--tail=300'])).split('\n')
      assert.ok(lines.some((line) => line.includes('"denied"') && line.includes('l7-deny') && line.includes('l7-audit') && line.includes(`${namespace('shop')}/sa/default`)), lines.slice(-3).join('\n'))
      await withWaymark(kube, async (waymark) => {
        const explain = async (account: string, path: string): Promise<string> => (await waymark(['explain', '--from', account, url('store', 'requests', path)], { signal: context.signal })).stdout
        const [denied, allowed] = await Promise.all([explain(`${namespace('shop')}/default`, '/admin/x'), explain(`${namespace('shop')}/default`, '/')])
        assert.match(denied, /403/)
        assert.match(denied, /l7-deny/)
        assert.doesNotMatch(allowed, /403/)
      })
      await withdrawn(context, [allow, deny, audit])
      return `${judged} kinds of requests`
    },
  },
  {
    ...captured,
    name: 'captured: gRPC calls are judged by service and method, and denied by PERMISSION_DENIED',
    features: ['AuthorizationPolicy', 'node agent', 'gRPC'],
    manifests: [service('store', 'calls-guarded', echo.both)],
    run: async (context) => {
      const { target } = context
      const who = await callers(context)
      const methods = ['Say', 'Stream', 'Chat', 'Fail'] as const
      const codes = async (): Promise<readonly number[]> =>
        Promise.all(methods.map(async (method) => (await who.a.grpc({ target: target('store', 'calls-guarded', 9090), method, message: { count: 1 } }))[0]?.code ?? -1))
      const [ok, internal, denied] = [0, 13, 7]
      await settles(context, 'open', codes, [ok, ok, ok, internal])
      const guard = (spec: object) => authorization('store', 'calls-guarded', { targetRefs: [onService('calls-guarded')], ...spec })
      const steps = [
        ['one method', { rules: [{ to: [{ grpc: [{ service: 'e2e.Echo', method: 'Say' }] }] }] }, [ok, denied, denied, denied]],
        ['a service', { rules: [{ to: [{ grpc: [{ service: 'e2e.Echo' }] }] }] }, [ok, ok, ok, internal]],
        ['another service', { rules: [{ to: [{ grpc: [{ service: 'e2e.Other' }] }] }] }, [denied, denied, denied, denied]],
        ['a method of whatever service, denied', { action: 'Deny', rules: [{ to: [{ grpc: [{ method: 'Stream' }, { method: 'Chat' }] }] }] }, [ok, denied, denied, internal]],
      ] as const
      for (const [what, spec, expected] of steps) {
        await judgedAs(context, guard(spec), allEnforced)
        await settles(context, what, codes, [...expected])
      }
      const [reply] = await who.a.grpc({ target: target('store', 'calls-guarded', 9090), method: 'Chat', message: { count: 2 } })
      assert.equal(reply?.details, 'the caller may not do this')
      await withdrawn(context, [guard({})])
    },
  },
  {
    ...captured,
    name: 'captured: behind consumer routes of another namespace policies are judged by who asked first',
    features: ['AuthorizationPolicy', 'node agent', 'MeshConsumerRoute'],
    manifests: [
      service('store', 'behind', echo.both),
      service('store', 'behind-other', echo.v2),
      route('HTTPRoute', 'shop', 'behind', [parent('behind', { namespace: 'store', port: 80 })], [
        { matches: [{ path: { value: '/other' } }], filters: [marked('other')], backendRefs: [backend('behind-other', { namespace: 'store' })] },
        { filters: [marked('shop')], backendRefs: [backend('behind', { namespace: 'store' })] },
      ]),
    ],
    run: async (context) => {
      const { url, namespace } = context
      const who = await callers(context)
      const { ip } = await onePod(context, 'shop', 'app=thief')
      const look = async (): Promise<readonly string[]> => {
        const asked = [[who.a, '/'], [who.thief, '/'], [who.thief, '/admin'], [who.thief, '/other'], [who.c, '/']] as const
        return Promise.all(asked.map(async ([from, path]) => {
          const reply = await from.request(url('store', 'behind', path), { fresh: true })
          return [wordOf(reply), ...(reply.headers?.['x-route'] ?? [])].join(' ')
        }))
      }
      await settles(context, 'routed', look, ['200 shop', '200 shop', '200 shop', '200 other', '200'])
      const guard = (name: string, service: string, spec: object) => authorization('store', name, { targetRefs: [onService(service)], ...spec })
      const allow = guard('behind', 'behind', { rules: [{ from: [{ serviceAccounts: [`${namespace('shop')}/thief`] }] }] })
      const deny = guard('behind-deny', 'behind', { action: 'Deny', rules: [{ to: [{ paths: [{ value: '/admin' }] }] }] })
      const other = guard('behind-other', 'behind-other', { rules: [{ from: [{ namespaces: [namespace('garden')] }] }] })
      for (const policy of [allow, deny, other]) await judgedAs(context, policy, allEnforced)
      await settles(context, 'judged by account, path and backend', look, ['403 denied shop', '200 shop', '403 denied shop', '403 denied other', '403 denied'])
      // By the client's own address, too, which two waypoints have handed on.
      await withdrawn(context, [deny, other])
      await judgedAs(context, guard('behind', 'behind', { rules: [{ from: [{ cidrs: [`${ip}/32`] }], to: [{ methods: ['GET'] }] }] }), allEnforced)
      await settles(context, 'judged by address', look, ['403 denied shop', '200 shop', '200 shop', '200 other', '403 denied'])
      await withdrawn(context, [allow])
    },
  },
])
