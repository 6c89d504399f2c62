import assert from 'node:assert/strict'
import { agentPods } from '../lib/agents.ts'
import { allCaptured, locationOf, onePod } from '../lib/captured.ts'
import { defineCases, type Case, type Context } from '../lib/case.ts'
import { withWaymark } from '../lib/cli.ts'
import { echo, service } from '../lib/manifests.ts'
import { inPodNetwork, onNode } from '../lib/nodes.ts'
import { allEnforced, authorization, judgedAs, mtls, onService, settles, withdrawn, wordOf } from '../lib/policies.ts'
import { scrape, sumOf } from '../lib/scrape.ts'
import { isReady } from '../lib/sturdy.ts'
import { callers, wallsPlace } from '../lib/walls.ts'

const captured = { group: 'captured', place: wallsPlace } as const satisfies Partial<Case>

/** A sum over the agents of all nodes. */
async function counted({ kube, installation }: Context, metric: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const agents = await kube.list('Pod', installation.namespace, agentPods)
  return sumOf((await Promise.all(agents.map(({ metadata }) => scrape(kube, installation.namespace, metadata.name)))).flat(), metric, labels)
}

interface Tapped {
  readonly kind: string
  readonly verdict: string
  readonly source?: string
  readonly source_id?: string
  readonly destination?: string
  readonly direction?: string
  readonly transport?: string
  readonly status?: number
}

/** How operators look at agents, and what becomes of captures that somebody takes away. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: agent dump, tap and explain say what agents do: a connection that lives, one that is denied, and which way a pod takes',
    features: ['node agent', 'agent dump', 'tap', 'explain'],
    manifests: [service('garden', 'watched', { app: 'plot' }), service('store', 'watched', echo.both)],
    run: async (context) => {
      const { kube, namespace, url, signal } = context
      const { a, thief } = await callers(context)
      await allCaptured(context, ['store', 'shop', 'garden'])
      const [shop, garden, store] = [namespace('shop'), namespace('garden'), namespace('store')]
      const policy = authorization('garden', 'watched', { targetRefs: [onService('watched')], rules: [{ from: [{ serviceAccounts: [`${shop}/default`] }] }] })
      await judgedAs(context, policy, allEnforced)
      const asked = async () => (await Promise.all([a.request(url('garden', 'watched'), { fresh: true }), thief.request(url('garden', 'watched'), { fresh: true }), a.request(url('store', 'watched'), { fresh: true })])).map(wordOf)
      await settles(context, 'one to be let in and the other not', asked, ['200', 'ECONNRESET', '200'])
      await withWaymark(kube, async (waymark) => {
        /** The first that is seen while all of this goes on. */
        const seen = async (...args: readonly string[]): Promise<Tapped> => {
          const tapping = waymark(['tap', ...args, '-o', 'json', '--max', '1', '--for', '30s'], { signal })
          const over = tapping.then(() => true, () => true)
          const pause = (): Promise<boolean> => new Promise((resolve) => setTimeout(() => resolve(false), 100))
          while (!(await Promise.race([over, pause()]))) await asked()
          const { stdout, stderr } = await tapping
          assert.notEqual(stdout, '', `${args.join(' ')}: nothing was seen; ${stderr}`)
          return JSON.parse(stdout) as Tapped
        }
        const [denied, live, request] = await Promise.all([
          seen(shop, '--verdict', 'denied'), seen('pod/a', '-n', shop, '--verdict', 'allowed', '--destination', garden), seen('svc/watched', '-n', store, '--only', 'requests', '--status', '2xx'),
        ])
        assert.deepEqual([denied.kind, denied.verdict, denied.source_id], ['connection', 'denied', `spiffe://cluster.local/ns/${shop}/sa/thief`], JSON.stringify(denied))
        assert.deepEqual([live.kind, live.verdict, live.transport, live.source], ['connection', 'allowed', 'mtls', `${shop}/a`], JSON.stringify(live))
        assert.deepEqual([request.kind, request.verdict, request.status, request.destination], ['request', 'allowed', 200, `${store}/watched:80`], JSON.stringify(request))

        const node = (await onePod(context, 'shop', 'app=thief')).node
        const [dumped, explained] = await Promise.all([
          waymark(['agent', 'dump', '--node', node, '-o', 'json'], { signal }),
          waymark(['explain', '--from', `pod/thief.${shop}`, url('garden', 'watched')], { signal }),
        ])
        const [dump] = JSON.parse(dumped.stdout) as readonly Dump[]
        const one = dump?.pods.find((each) => each.namespace === shop && each.name === 'thief')
        assert.deepEqual([one?.state, one?.rules, one?.identity], ['captured', true, `spiffe://cluster.local/ns/${shop}/sa/thief`], dumped.stdout)
        assert.match(dump?.others.find((each) => each.namespace === namespace('outside') && each.name === 'stranger')?.why ?? '', /is not labelled waymark.dev\/mesh=enabled/)
        for (const words of [`pod ${shop}/thief on node ${node}, captured`, `Service ${garden}/watched`, `${garden}/watched: does not match`, 'denied']) assert.ok(explained.stdout.includes(words), explained.stdout)
      })
      await withdrawn(context, [policy])
    },
  },
  {
    ...captured,
    name: 'captured: rules that somebody deletes in a pod or on its node are back within seconds; meanwhile strict pods let nothing in',
    features: ['node agent', 'MTLSPolicy', 'NET_ADMIN', 'probes'],
    manifests: [],
    run: async (context) => {
      const { kube, namespace, until } = context
      const { a } = await callers(context)
      await allCaptured(context, ['shop', 'garden'])
      const plot = await onePod(context, 'garden', 'app=plot')
      const strict = mtls('garden', 'repaired', 'Strict')
      await judgedAs(context, strict, allEnforced)
      const target = `http://${plot.ip}:8080/`
      await settles(context, 'a member to get in', async () => wordOf(await a.request(target, { fresh: true })), '200')
      const plain = () => counted(context, 'waymark_agent_connections_total', { direction: 'plaintext', destination_namespace: namespace('garden'), outcome: 'allowed' })
      const before = await plain()
      const mended = async (what: string, listed: () => Promise<string>, work: () => Promise<unknown>): Promise<number> => {
        const repairs = await counted(context, 'waymark_agent_repairs_total', { what })
        const start = performance.now()
        await work()
        await until(`${what} to be back`, async () => (await listed()).includes('table inet waymark'), 15_000)
        const tookMs = Math.round(performance.now() - start)
        await until('the repair to be counted', async () => (await counted(context, 'waymark_agent_repairs_total', { what })) > repairs, 10_000)
        return tookMs
      }
      const inPod = (command: string): Promise<string> => inPodNetwork(kube, namespace('shop'), 'a', 'driver', command)
      const load = await a.load({ url: target, rps: 50, forSeconds: 60, timeoutMs: 3_000, fresh: true })
      const podMs = await mended('rules', () => inPod('nft list tables'), () => inPod('nft delete table inet waymark'))
      await settles(context, 'the pod to get in again', async () => wordOf(await a.request(target, { fresh: true })), '200')
      const nodeMs = await mended('node', () => onNode(plot.node, 'nft list tables'), () => onNode(plot.node, 'nft delete table inet waymark'))
      const { sent, statuses, failures } = await load.stop()
      assert.deepEqual(Object.keys(statuses).filter((status) => !['0', '200'].includes(status)), [])
      // One that is open when its rules go may hear of nobody any more.
      for (const { error = '' } of failures) assert.match(error, /^ECONNRE(?:SET|FUSED)|socket hang up|^no answer within/)
      assert.ok((statuses['0'] ?? 0) > 0, 'nobody noticed')
      assert.equal(await plain(), before)
      const pod = await kube.get('Pod', namespace('garden'), plot.name)
      assert.ok(isReady(pod), 'a probe has failed')
      assert.equal(locationOf(pod).ip, plot.ip)
      await withdrawn(context, [strict])
      return `after ${podMs} ms in the pod, ${nodeMs} ms on the node; ${statuses['0'] ?? 0} of ${sent} connections refused meanwhile`
    },
  },
])

interface Dump {
  readonly pods: readonly { readonly namespace: string; readonly name: string; readonly state: string; readonly rules: boolean; readonly identity: string }[]
  readonly others: readonly { readonly namespace: string; readonly name: string; readonly why: string }[]
}
