import assert from 'node:assert/strict'
import { agentPods } from '../lib/agents.ts'
import { allCaptured, onePod, podsOf } from '../lib/captured.ts'
import { defineCases, type Case } from '../lib/case.ts'
import { holdOpen, type Held } from '../lib/held.ts'
import { echo, service } from '../lib/manifests.ts'
import { restartsOf } from '../lib/nodes.ts'
import type { KubeObject } from '../lib/objects.ts'
import { allEnforced, authorization, judgedAs, mtls, onService, settles, withdrawn, wordOf } from '../lib/policies.ts'
import { withoutFailure } from '../lib/steady.ts'
import { isReady } from '../lib/sturdy.ts'
import { callers, wallsPlace } from '../lib/walls.ts'

const captured = { group: 'captured', place: wallsPlace } as const satisfies Partial<Case>

/** Pods that are tried, and who tries in plain: from both nodes. */
const pods = { v1: ['store', 'version=v1'], plot: ['garden', 'app=plot'], patch: ['garden', 'app=patch'] } as const
type Pod = keyof typeof pods
const strangers = ['stranger', 'far'] as const

/** Policies of the mesh, of garden, and of plot alone; and which pods still take what comes in plain. */
const levels: readonly (readonly [what: string, policies: (mesh: string) => readonly KubeObject[], open: readonly Pod[]])[] = [
  ['no policy', () => [], ['v1', 'plot', 'patch']],
  ['the mesh is strict', (mesh) => [mtls(mesh, 'e2e', 'Strict')], []],
  ['… but not garden', (mesh) => [mtls(mesh, 'e2e', 'Strict'), mtls('garden', 'e2e', 'Permissive')], ['plot', 'patch']],
  ['… of which plot is', (mesh) => [mtls(mesh, 'e2e', 'Strict'), mtls('garden', 'e2e', 'Permissive'), mtls('garden', 'e2e-plot', 'Strict', { app: 'plot' })], ['patch']],
  ['garden is strict, but not plot', () => [mtls('garden', 'e2e', 'Strict'), mtls('garden', 'e2e-plot', 'Permissive', { app: 'plot' })], ['v1', 'plot']],
]

/** Where nothing but mutual TLS is taken, and what happens to connections that are open. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: strict mode of the mesh, of a namespace and of single pods: the most specific counts, members and probes pass, nobody else',
    features: ['MTLSPolicy', 'node agent', 'probes'],
    manifests: [service('garden', 'plot', { app: 'plot' })],
    limitSeconds: 120,
    run: async (context) => {
      const { driver, installation, url } = context
      const { a } = await callers(context)
      await allCaptured(context, ['store', 'shop', 'garden'])
      const ips = Object.fromEntries(await Promise.all(Object.entries(pods).map(async ([name, [role, selector]]) => [name, (await onePod(context, role, selector)).ip] as const)))
      const names = Object.keys(pods) as readonly Pod[]
      const outsiders = await Promise.all(strangers.map((name) => driver('outside', name)))
      const inPlain = async (): Promise<readonly (readonly Pod[])[]> => Promise.all(outsiders.map(async (from) => {
        const replies = await Promise.all(names.map((name) => from.request(`http://${ips[name] ?? ''}:8080/`, { fresh: true })))
        for (const reply of replies) assert.match(wordOf(reply), /^(?:200|ECONNRESET)$/)
        return names.filter((_, at) => replies[at]?.status === 200)
      }))
      let made: readonly KubeObject[] = []
      const took: number[] = []
      try {
        for (const [what, policies, open] of levels) {
          const wanted = policies(installation.namespace)
          const gone = made.filter(({ metadata }) => !wanted.some((each) => each.metadata.name === metadata.name && each.metadata.namespace === metadata.namespace))
          made = [...made, ...wanted]
          await withdrawn(context, gone)
          for (const policy of wanted) await judgedAs(context, policy, (verdicts) => verdicts.every((each) => each.includes('Accepted=True')))
          took.push(await settles(context, what, inPlain, [open, open]))
          for (const name of names) assert.equal(wordOf(await a.request(`http://${ips[name] ?? ''}:8080/`, { fresh: true })), '200', `${what}: a member to ${name}`)
        }
        // A Service is no way around it, and its pods stay ready: the kubelet's probes pass.
        await judgedAs(context, mtls('garden', 'e2e-plot', 'Strict', { app: 'plot' }), allEnforced)
        const byService = async () => [...await Promise.all(outsiders.map(async (from) => wordOf(await from.request(url('garden', 'plot'), { fresh: true })))), wordOf(await a.request(url('garden', 'plot'), { fresh: true }))]
        await settles(context, 'by the Service', byService, ['ECONNRESET', 'ECONNRESET', '200'])
        for (const pod of await podsOf(context, 'garden', 'app in (plot,patch)')) assert.deepEqual([isReady(pod), restartsOf(pod, 'app')], [true, 0], pod.metadata.name)
      } finally {
        await withdrawn(context, made)
      }
      return `in force within ${Math.round(Math.max(...took))} ms`
    },
  },
  {
    ...captured,
    name: 'captured: policies that change are put to open connections: before the pod, in plain and by mTLS, and at the waypoint',
    features: ['AuthorizationPolicy', 'MTLSPolicy', 'node agent', 'TCP'],
    manifests: [service('garden', 'held', { app: 'plot' }), service('store', 'held', echo.v1)],
    run: async (context) => {
      const { target, until, namespace } = context
      await callers(context)
      const { ip } = await onePod(context, 'garden', 'app=plot')
      const opened: Held[] = []
      const hold = async (role: string, pod: string, to: string): Promise<Held> => {
        // kube-proxy and the agents take a moment to know a Service.
        const held = await until(`${pod} to have a connection to ${to}`, async () => {
          const tried = holdOpen(context, role, pod, to)
          opened.push(tried)
          return (await tried.greeted).includes('"pod"') && tried
        }, 20_000)
        return held
      }
      const isCut = (what: string, held: Held) => until(`${what} to be cut`, () => Promise.resolve(!held.isOpen()), 20_000)
      const only = (role: string, accounts: readonly string[]) =>
        authorization(role, 'held', { targetRefs: [onService('held')], rules: [{ from: [{ serviceAccounts: accounts.map((account) => `${namespace('shop')}/${account}`) }] }] })
      // A connection of the waypoint's own, from before there was a policy, would be cut by the agent behind it: nobody there knows whose it is.
      await judgedAs(context, only('store', ['default', 'thief']), allEnforced)
      const [plain, member, thief, throughWaypoint, thiefThroughWaypoint] = await Promise.all([
        hold('outside', 'stranger', `${ip}:9000`), hold('shop', 'a', target('garden', 'held', 9000)), hold('shop', 'thief', target('garden', 'held', 9000)),
        hold('shop', 'a', target('store', 'held', 9000)), hold('shop', 'thief', target('store', 'held', 9000)),
      ])
      const strict = mtls('garden', 'held', 'Strict')
      await judgedAs(context, strict, allEnforced)
      await isCut('what came in plain', plain)
      assert.deepEqual([member, thief, throughWaypoint, thiefThroughWaypoint].map((each) => each.isOpen()), [true, true, true, true])
      await judgedAs(context, only('garden', ['default']), allEnforced)
      await isCut('whom the policy before the pod does not allow', thief)
      await judgedAs(context, only('store', ['default']), allEnforced)
      await isCut('whom the policy at the waypoint does not allow', thiefThroughWaypoint)
      assert.deepEqual([member.isOpen(), throughWaypoint.isOpen()], [true, true])
      await withdrawn(context, [strict, only('garden', ['default']), only('store', ['default'])])
      for (const held of opened) held.close()
    },
  },
  {
    ...captured,
    name: 'captured: policies that allow who is there come and go under load: nothing is denied, and no agent falls over it',
    features: ['AuthorizationPolicy', 'node agent'],
    manifests: [service('store', 'loaded', echo.both), service('garden', 'loaded', { app: 'plot' })],
    run: async (context) => {
      const { driver, url, namespace, kube, installation } = context
      await callers(context)
      const allowing = (role: string, to: object = {}) => authorization(role, 'loaded', { targetRefs: [onService('loaded')], rules: [{ from: [{ namespaces: [namespace('shop')] }], ...to }] })
      const restarts = async () => (await kube.list('Pod', installation.namespace, agentPods)).map((pod) => restartsOf(pod, 'agent'))
      const before = await restarts()
      const loads = await Promise.all((['a', 'b'] as const).map(async (pod) => {
        const from = await driver('shop', pod)
        assert.ok((await from.until({ url: url('store', 'loaded'), status: 200, withinMs: 20_000, fresh: true })).held)
        return from.load({ url: url('store', 'loaded'), rps: 40, forSeconds: 60, fresh: pod === 'b', resend: pod === 'a' })
      }))
      const thief = await driver('shop', 'thief')
      assert.ok((await thief.until({ url: url('garden', 'loaded'), status: 200, withinMs: 20_000, fresh: true })).held)
      // Where callers come themselves nothing fails at all.
      const { told } = await withoutFailure('without a waypoint', thief, { url: url('garden', 'loaded'), rps: 40, fresh: false, resend: true }, async () => {
        await judgedAs(context, allowing('garden'), allEnforced)
        await judgedAs(context, allowing('store'), allEnforced)
        await judgedAs(context, allowing('store', { to: [{ methods: ['GET'] }] }), allEnforced)
        await withdrawn(context, [allowing('store'), allowing('garden')])
      })
      const results = await Promise.all(loads.map((load) => load.stop()))
      assert.deepEqual(await restarts(), before)
      // Until a waypoint knows of the first policy it does not say for whom it comes; agents wait a second for that, and a busy machine may take longer.
      for (const { failures } of results) for (const { status, reason } of failures) assert.match(`${status} ${reason ?? ''}`, /^50[23] (?:upstream-reset|connect-failure)$/)
      assert.ok(results.every(({ statuses }) => (statuses['200'] ?? 0) > 0))
      return `${told}; by the waypoint ${JSON.stringify(results.map(({ statuses }) => statuses))}`
    },
  },
])
