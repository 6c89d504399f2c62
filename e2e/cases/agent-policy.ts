import assert from 'node:assert/strict'
import { agentPods } from '../lib/agents.ts'
import { allCaptured, onePod } from '../lib/captured.ts'
import { defineCases, type Case, type Context } from '../lib/case.ts'
import { withWaymark } from '../lib/cli.ts'
import { CommandError } from '../lib/command.ts'
import { echo, service } from '../lib/manifests.ts'
import { allEnforced, authorization, judgedAs, mtls, onService, refusalOf, settles, withdrawn, wordOf } from '../lib/policies.ts'
import { scrape, sumOf } from '../lib/scrape.ts'
import { callers, wallsPlace, type Callers } from '../lib/walls.ts'

const captured = { group: 'captured', beside: true, place: wallsPlace } as const satisfies Partial<Case>
const names = ['a', 'thief', 'c', 'stranger'] as const

/** What the API server must not take, and its words. */
const malformed: readonly (readonly [what: string, spec: object, words: RegExp])[] = [
  ['targets beside a selector', { targetRefs: [onService('x')], selector: { matchLabels: { app: 'x' } } }, /targetRefs and selector exclude each other/],
  ['a Deny of nothing', { action: 'Deny' }, /a policy that denies or audits needs rules/],
  ['a target that nobody guards', { targetRefs: [{ group: 'apps', kind: 'Deployment', name: 'x' }] }, /a target is a Service/],
  ['a Service of another group', { targetRefs: [{ group: 'apps', kind: 'Service', name: 'x' }] }, /a target is a Service/],
  ['a target of another namespace', { targetRefs: [{ ...onService('x'), namespace: 'other' }] }, /unknown field|namespace/],
  ['no targets', { targetRefs: [] }, /at least 1 items/],
  ['an action that there is not', { action: 'Maybe', rules: [{}] }, /Unsupported value: "Maybe"/],
  ['a path without a slash', { rules: [{ to: [{ paths: [{ value: 'admin' }] }] }] }, /a path begins with \//],
  ['a source that says nothing', { rules: [{ from: [{}] }] }, /at least 1 properties/],
  ['an id that is none', { rules: [{ from: [{ spiffeIds: ['cluster.local/ns/a/sa/b'] }] }] }, /spiffeIds/],
  ['a port that there is not', { rules: [{ to: [{ ports: [70_000] }] }] }, /less than or equal to 65535/],
  ['a range of letters', { rules: [{ from: [{ cidrs: ['everybody'] }] }] }, /cidrs/],
]

/** L4: what a policy says, and who gets to the pod by it. The names of namespaces are roles. */
const l4: readonly (readonly [what: string, spec: (real: Reals) => object, allowed: readonly (typeof names)[number][]])[] = [
  ['namespaces', ({ shop }) => ({ rules: [{ from: [{ namespaces: [shop] }] }] }), ['a', 'thief']],
  ['service accounts', ({ shop }) => ({ rules: [{ from: [{ serviceAccounts: [`${shop}/thief`] }] }] }), ['thief']],
  ['a service account of the own namespace', () => ({ rules: [{ from: [{ serviceAccounts: ['default'] }] }] }), ['c']],
  ['SPIFFE ids with *', () => ({ rules: [{ from: [{ spiffeIds: ['spiffe://cluster.local/ns/*/sa/default'] }] }] }), ['a', 'c']],
  ['the range of a member', ({ ips }) => ({ rules: [{ from: [{ cidrs: [`${ips.c}/32`] }] }] }), ['c']],
  ['the range of a stranger', ({ ips }) => ({ rules: [{ from: [{ cidrs: [`${ips.stranger}/32`] }] }] }), ['stranger']],
  ['other ports', () => ({ rules: [{ to: [{ ports: [9000] }] }] }), []],
  ['its port, by the Service\'s number', () => ({ rules: [{ to: [{ ports: [80] }] }] }), ['a', 'thief', 'c', 'stranger']],
  ['a Deny of all but one namespace, which means strangers too', ({ garden }) => ({ action: 'Deny', rules: [{ from: [{ notNamespaces: [garden] }] }] }), ['c']],
  ['an Allow of all but one namespace, which means no strangers', ({ garden }) => ({ rules: [{ from: [{ notNamespaces: [garden] }] }] }), ['a', 'thief']],
  ['an Allow of nothing', () => ({}), []],
]

interface Reals {
  readonly shop: string
  readonly garden: string
  readonly ips: Readonly<Record<(typeof names)[number], string>>
}

async function realsOf(context: Context): Promise<Reals> {
  const { namespace } = context
  const [a, thief, c, stranger] = await Promise.all([onePod(context, 'shop', 'app=a'), onePod(context, 'shop', 'app=thief'), onePod(context, 'garden', 'app=c'), onePod(context, 'outside', 'app=stranger')])
  return { shop: namespace('shop'), garden: namespace('garden'), ips: { a: a.ip, thief: thief.ip, c: c.ip, stranger: stranger.ip } }
}

/** Who reaches a URL, by name. */
async function reach(who: Callers, url: string): Promise<readonly string[]> {
  const replies = await Promise.all(names.map((name) => who[name].request(url, { fresh: true })))
  for (const reply of replies) assert.match(wordOf(reply), /^(?:200|ECONNRESET)$/)
  return names.filter((_, at) => replies[at]?.status === 200)
}

const everybody: readonly string[] = names

/** Who may do what, on a real cluster, with policies that a real API server has taken. */
export const cases = defineCases([
  {
    ...captured,
    name: `captured: the API server takes no policy that means nothing (${malformed.length + 3} tried)`,
    features: ['AuthorizationPolicy', 'MTLSPolicy', 'CEL'],
    manifests: [],
    run: async (context) => {
      for (const [what, spec, words] of malformed) assert.match(await refusalOf(context, authorization('store', 'bad', spec)), words, what)
      const mode = (spec: object) => ({ ...mtls('store', 'bad', 'Strict'), spec })
      assert.match(await refusalOf(context, mode({})), /mode: Required value/)
      assert.match(await refusalOf(context, mode({ mode: 'Off' })), /Unsupported value: "Off"/)
      assert.match(await refusalOf(context, mode({ mode: 'Strict', selector: {} })), /at least 1 properties/)
      assert.equal(await refusalOf(context, authorization('store', 'good', { targetRefs: [onService('x')], action: 'Deny', rules: [{}] })), '')
      assert.equal(await refusalOf(context, mtls('store', 'good', 'Strict', { app: 'x' })), '')
    },
  },
  {
    ...captured,
    name: `captured: callers and ports are judged before the pod, by every way that leads there (${l4.length} policies)`,
    features: ['AuthorizationPolicy', 'node agent'],
    manifests: [service('garden', 'plot', { app: 'plot' })],
    limitSeconds: 120,
    run: async (context) => {
      const { url, target, namespace, kube, installation } = context
      const who = await callers(context)
      await allCaptured(context, ['shop', 'garden'])
      const reals = await realsOf(context)
      const { ip, name: pod } = await onePod(context, 'garden', 'app=plot')
      const byService = url('garden', 'plot')
      const both = async (): Promise<readonly (readonly string[])[]> => [await reach(who, byService), await reach(who, `http://${ip}:8080/`)]
      await settles(context, 'everybody before there is a policy', both, [everybody, everybody])
      const guarding = (spec: object, more: object = { targetRefs: [onService('plot')] }) => authorization('garden', 'l4', { ...more, ...spec })
      const took: number[] = []
      for (const [what, spec, allowed] of l4) {
        await judgedAs(context, guarding(spec(reals)), allEnforced)
        took.push(await settles(context, what, both, [allowed, allowed]))
      }
      // Deny before Allow, and what no Allow allows is denied: by two policies, one for the Service and one for pods by their labels.
      const deny = authorization('garden', 'l4-deny', { selector: { matchLabels: { app: 'plot' } }, action: 'Deny', rules: [{ from: [{ serviceAccounts: [`${reals.shop}/default`] }] }] })
      await judgedAs(context, guarding({ rules: [{ from: [{ namespaces: [reals.shop] }] }] }), allEnforced)
      await judgedAs(context, deny, allEnforced)
      await settles(context, 'Deny before Allow', both, [['thief'], ['thief']])

      // Ports: one open, the other one shut.
      await withdrawn(context, [deny])
      await judgedAs(context, guarding({ rules: [{ to: [{ ports: [9000] }] }] }), allEnforced)
      const tcp = async () => [(await who.a.tcp({ target: target('garden', 'plot', 9000) }))[0]?.version, wordOf(await who.a.request(byService, { fresh: true }))]
      await settles(context, 'one port', tcp, ['plot', 'ECONNRESET'])

      // An Audit policy tells and lets pass, beside one that allows.
      const audit = authorization('garden', 'l4-audit', { action: 'Audit', rules: [{ from: [{ namespaces: [reals.shop] }] }] })
      await withdrawn(context, [guarding({})])
      await judgedAs(context, audit, allEnforced)
      await settles(context, 'everybody but for an Audit policy', both, [everybody, everybody])
      const agents = await kube.list('Pod', installation.namespace, agentPods)
      await context.until('audited connections to be counted', async () => {
        const samples = (await Promise.all(agents.map(({ metadata }) => scrape(kube, installation.namespace, metadata.name)))).flat()
        return sumOf(samples, 'waymark_agent_audited_connections_total', { policy: `${namespace('garden')}/l4-audit` }) >= 4
      }, 20_000)
      // A denial is told of in a line of the agent before the pod, with both ends' names.
      const { spec } = (await kube.get('Pod', namespace('garden'), pod)) as unknown as { readonly spec: { readonly nodeName: string } }
      const agent = agents.find((each) => (each['spec'] as { readonly nodeName: string }).nodeName === spec.nodeName)
      const lines = (await kube.kubectl(['logs', '-n', installation.namespace, agent?.metadata.name ?? '', '--since=120s'])).split('\n')
      assert.ok(lines.some((line) => line.includes('"reason":"denied"') && line.includes(`${reals.shop}/sa/default`) && line.includes(pod)), lines.slice(-3).join('\n'))
      await withdrawn(context, [audit])
      return `in force within ${Math.round(Math.max(...took))} ms`
    },
  },
  {
    ...captured,
    name: 'captured: a policy that can not be enforced where it stands says so in its status, in check and explain, and denies',
    features: ['AuthorizationPolicy', 'MTLSPolicy', 'GEP-713', 'check', 'explain'],
    manifests: [service('garden', 'unread', { app: 'plot' }), service('store', 'read', echo.both)],
    limitSeconds: 120,
    run: async (context) => {
      const { url, kube, namespace, signal } = context
      const { a } = await callers(context)
      const outcome = async (role: string, name: string) => wordOf(await a.request(url(role, name), { fresh: true }))
      const get = { to: [{ methods: ['GET'] }] }
      const judged: readonly (readonly [policy: ReturnType<typeof authorization>, verdict: string, denied: boolean])[] = [
        [authorization('garden', 'odd', { targetRefs: [onService('unread')], rules: [get] }), 'Service unread: Accepted=True Accepted, Enforced=False WaypointMissing', true],
        [authorization('garden', 'odd', { targetRefs: [onService('unread')], action: 'Deny', rules: [{ to: [{ methods: ['DELETE'] }] }] }), 'Service unread: Accepted=True Accepted, Enforced=False WaypointMissing', true],
        [authorization('garden', 'odd', { selector: { matchLabels: { app: 'plot' } }, rules: [get] }), `Namespace ${namespace('garden')}: Accepted=True Accepted, Enforced=False HttpOnPods`, true],
        [authorization('garden', 'odd', { targetRefs: [onService('unread')], rules: [{ from: [{ cidrs: ['1.2.3'] }] }] }), 'Service unread: Accepted=False Invalid, Enforced=True Enforced', true],
        [authorization('garden', 'odd', { targetRefs: [onService('nobody')], rules: [get] }), 'Service nobody: Accepted=False TargetNotFound, Enforced=False TargetNotFound', false],
      ]
      for (const [policy, verdict, denied] of judged) {
        await judgedAs(context, policy, (verdicts) => verdicts.join() === verdict)
        await settles(context, verdict, () => outcome('garden', 'unread'), denied ? 'ECONNRESET' : '200')
        await withdrawn(context, [policy])
      }
      const path = (value: string) => authorization('store', 'odd', { targetRefs: [onService('read')], rules: [{ to: [{ paths: [{ type: 'RegularExpression', value }] }] }] })
      await judgedAs(context, path('/(a'), (verdicts) => verdicts.join() === 'Service read: Accepted=False Invalid, Enforced=True Enforced')
      await settles(context, 'a rule that can not be used', () => outcome('store', 'read'), '403 denied')

      // As a user sees it: in `kubectl get`, in `waymark check` and in `waymark explain`.
      await judgedAs(context, judged[0]?.[0] ?? path('/'), (verdicts) => verdicts.join() === judged[0]?.[1])
      const table = await kube.kubectl(['get', 'authz', '-n', namespace('garden'), 'odd'])
      assert.match(table, /NAME +ACTION +ACCEPTED +ENFORCED +AGE\nodd +Allow +True +False/)
      await withWaymark(kube, async (waymark) => {
        const [checked, explained] = await Promise.all([
          // It ends with 1: there are errors.
          waymark(['check', '-o', 'json'], { signal }).catch((error: unknown) => (error instanceof CommandError ? error : assert.fail(String(error)))),
          waymark(['explain', '--from', `${namespace('shop')}/default`, url('store', 'read', '/a')], { signal }),
        ])
        for (const role of ['garden', 'store']) assert.ok(checked.stdout.includes(`${namespace(role)}/odd`), checked.stdout)
        assert.ok(explained.stdout.includes(`${namespace('store')}/odd`), explained.stdout)
        assert.match(explained.stdout, /403/)
      })
      // Of two that speak for a namespace the older one counts.
      await withdrawn(context, [path('/'), ...judged.map(([policy]) => policy)])
      const [older, newer] = [mtls('garden', 'older', 'Permissive'), mtls('garden', 'newer', 'Strict')]
      await judgedAs(context, older, allEnforced)
      // Creation times have whole seconds; within one the names decide, and `newer` would come first.
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      await judgedAs(context, newer, (verdicts) => verdicts.join() === `Namespace ${namespace('garden')}: Accepted=False Conflicted, Enforced=False Overridden`)
      await withdrawn(context, [older, newer])
      await settles(context, 'all as before', async () => [await outcome('garden', 'unread'), await outcome('store', 'read')], ['200', '200'])
    },
  },
])
