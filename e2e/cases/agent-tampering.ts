import assert from 'node:assert/strict'
import { agentPods } from '../lib/agents.ts'
import { to } from '../lib/bypass/plain.ts'
import { bypassManifests, walls } from '../lib/bypass/scene.ts'
import { wordsOf } from '../lib/bypass/table.ts'
import { allCaptured, arrived, locationOf, onePod } from '../lib/captured.ts'
import { defineCases, type Case, type Context } from '../lib/case.ts'
import type { Load } from '../lib/client.ts'
import { driverPod, waypointObjects } from '../lib/manifests.ts'
import { inPodNetwork, onNode, processOf, restartsOf, signalProcess } from '../lib/nodes.ts'
import { allEnforced, judgedAs, verdictsOf, withdrawn } from '../lib/policies.ts'
import { cut } from '../lib/bypass/plain.ts'
import type { KubeObject } from '../lib/objects.ts'
import { attempt } from '../lib/strangers.ts'
import { isReady } from '../lib/sturdy.ts'
import { callers, wallsPlace } from '../lib/walls.ts'

const captured = { group: 'captured', place: wallsPlace } as const satisfies Partial<Case>
/** Those of other meshes and some that come to mind; the others at random. */
const guesses = [0x539, 0x1337, 0x1, 0x80000000, 0xffffffff, ...Array.from({ length: 59 }, () => 0x1000 + Math.floor(Math.random() * 0xffff0000))]
/** Of packets that answer sockets of the agent which show another's address: it is no secret. */
const replyMark = 0x111

/** A pod of shop that is user 0 of its container, with the capabilities that many clusters give to all. */
function rogue({ installation }: Context): KubeObject {
  const pod = driverPod('shop', 'rogue', 'worker', installation.images)
  const spec = pod['spec'] as { readonly containers: readonly object[] }
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'], add: ['NET_RAW'] } }
  return { ...pod, spec: { ...spec, serviceAccountName: 'thief', securityContext: { runAsUser: 0 }, containers: spec.containers.map((container) => ({ ...container, securityContext })) } }
}

/** Runs a script of the pod's node in the network namespace of a pod. */
function inside({ kube, namespace }: Context, role: string, pod: string, script: string): Promise<string> {
  return inPodNetwork(kube, namespace(role), pod, 'driver', script)
}

/** The mark by which the agent's own packets pass a pod's rules, as who may list them sees it. */
async function markOf(context: Context, pod: string): Promise<number> {
  const rules = await inside(context, 'shop', pod, 'nft list table inet waymark')
  const [, mark = ''] = /chain outbound \{[^}]*?meta mark (0x[0-9a-f]+) accept/.exec(rules) ?? []
  assert.match(mark, /^0x/, rules)
  return Number(mark)
}

/** Who tampers, and what happens while parts of the mesh are away. */
export const cases = defineCases([
  {
    ...captured,
    name: `captured: nobody gets past by marks (${guesses.length} guessed), without the rules of his own pod, or with the address of probes`,
    features: ['node agent', 'bypass', 'NET_RAW', 'NET_ADMIN', 'probes'],
    manifests: bypassManifests,
    limitSeconds: 150,
    run: async (context) => {
      const { apply, kube, namespace, until } = context
      await callers(context)
      await apply([rogue(context)])
      await allCaptured(context, ['store', 'shop', 'garden'])
      const [plot, v1, a, stranger] = [await onePod(context, 'garden', 'app=plot'), await onePod(context, 'store', 'version=v1'), await onePod(context, 'shop', 'app=a'), await onePod(context, 'outside', 'app=stranger')]
      const tries = async (attempts: Parameters<typeof attempt>[2], role = 'shop', pod = 'rogue'): Promise<readonly string[]> => (await attempt(context, role, attempts, pod)).map(wordsOf)

      // A mark that is guessed leads into the mesh as ever; the right one would lead past the agent, in plain.
      const before = await arrived(context, 'garden', { workload: 'plot' })
      assert.deepEqual([...new Set(await tries(guesses.map((mark) => ({ ...to(plot.ip, 8080), mark }))))], ['200 saw /public'])
      assert.match((await tries([{ ...to(plot.ip, 8080), mark: replyMark, waitMs: 3_000 }]))[0] ?? '', /^(?:E|nothing happened)/)
      const between = await until('guesses to be counted', async () => {
        const now = await arrived(context, 'garden', { workload: 'plot' })
        return now.mtls - before.mtls >= guesses.length && now
      }, 20_000)
      assert.equal(between.plain, before.plain)
      const marked = { ...to(plot.ip, 8080), mark: await markOf(context, 'rogue') }
      assert.deepEqual(await tries([marked]), ['200 saw /public'])
      await until('the one that was no guess to be counted', async () => (await arrived(context, 'garden', { workload: 'plot' })).plain === before.plain + 1, 20_000)

      // Past its own agent it is nobody: what guards others is before those.
      const policies = walls(context, a.ip)
      for (const policy of policies) await judgedAs(context, policy, allEnforced)
      const straight = [to(plot.ip, 8080), to(v1.ip, 8080)]
      for (const words of await tries([marked, { ...marked, host: v1.ip }])) assert.match(words, cut, 'with the right mark')
      await inside(context, 'shop', 'rogue', 'nft delete table inet waymark')
      for (const words of await tries(straight)) assert.match(words, cut, 'without rules')

      // The address of probes: root of the node has it and passes, whoever else shows it is not answered.
      await inside(context, 'outside', 'stranger', 'ip address add 169.254.7.127/32 dev lo')
      for (const words of await tries([{ ...to(plot.ip, 8080), localAddress: '169.254.7.127', waitMs: 2_000 }], 'outside', 'stranger')) assert.match(words, /^nothing happened/)
      await inside(context, 'outside', 'stranger', 'ip address del 169.254.7.127/32 dev lo')
      const curl = `curl -s -m 5 -o /dev/null -w "%{http_code}" http://${plot.ip}:8080/public || true`
      assert.deepEqual([await onNode(plot.node, curl), await onNode(v1.node, curl)], ['200', '000'])
      assert.match((await tries([{ ...to(plot.ip, 8080), localAddress: stranger.ip }], 'outside', 'stranger'))[0] ?? '', cut)
      await withdrawn(context, policies)
      for (const words of await tries(straight)) assert.equal(words, '200 saw /public', 'when there are no policies')
      await kube.remove('Pod', namespace('shop'), 'rogue', 0)
      return `${guesses.length} marks, all captured; 7 other attempts refused`
    },
  },
  {
    ...captured,
    name: 'captured: nobody gets past while the agent before the pod is killed, and while the waypoint is deleted',
    features: ['node agent', 'bypass', 'fail closed', 'waypoint'],
    manifests: bypassManifests,
    limitSeconds: 180,
    run: async (context) => {
      const { kube, namespace, placed, until, driver, installation, url, apply } = context
      const { a, thief, stranger } = await callers(context)
      await allCaptured(context, ['store', 'shop', 'garden'])
      const [plot, v1, { ip }] = [await onePod(context, 'garden', 'app=plot'), await onePod(context, 'store', 'version=v1'), await onePod(context, 'shop', 'app=a')]
      const far = await driver('outside', 'far')
      const policies = walls(context, ip)
      for (const policy of policies) await judgedAs(context, policy, allEnforced)
      const allowed = async (): Promise<readonly number[]> => [(await a.request(`http://${plot.ip}:8080/`, { fresh: true })).status, (await a.request(url('store', 'guarded', '/public'), { fresh: true })).status]
      await until('who may to get through', async () => (await allowed()).join() === '200,200', 20_000)

      /** `work` while all of these are tried: none may get through. @returns how often they were tried, and how it ended */
      const neverThrough = async (tries: readonly (readonly [from: typeof a, target: string])[], work: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> => {
        const loads: Load[] = []
        for (const [from, target] of tries) loads.push(await from.load({ url: target, rps: 40, forSeconds: 120, fresh: true }))
        await work()
        const results = await Promise.all(loads.map((each) => each.stop()))
        const all: Record<string, number> = {}
        for (const [at, { statuses, sent, failures }] of results.entries()) {
          assert.ok(sent > 0)
          assert.deepEqual(Object.keys(statuses).filter((status) => Number(status) > 0 && Number(status) < 400), [], tries[at]?.[1])
          for (const { status, error = '' } of failures) {
            const word = status === 0 ? (/^E[A-Z]+/.exec(error)?.[0] ?? error) : String(status)
            all[word] = (all[word] ?? 0) + 1
          }
        }
        return all
      }
      const agents = await kube.list('Pod', installation.namespace, agentPods)
      const agent = agents.find((pod) => locationOf(pod).node === plot.node)
      assert.ok(agent !== undefined)
      const toPlot = `http://${plot.ip}:8080/`
      const killed = await neverThrough([[stranger, toPlot], [far, toPlot], [thief, toPlot]], async () => {
        await signalProcess(await processOf(kube, installation.namespace, agent.metadata.name, 'agent'), 'KILL')
        await until('the agent to be back', async () => {
          const now = await kube.get('Pod', installation.namespace, agent.metadata.name)
          return restartsOf(now, 'agent') > restartsOf(agent, 'agent') && isReady(now)
        }, 60_000)
      })
      // Refused by the kernel: that is the time without the agent, so it was tried.
      assert.ok((killed['ECONNREFUSED'] ?? 0) > 0, JSON.stringify(killed))
      await until('who may to get through again', async () => (await allowed()).join() === '200,200', 30_000)

      const deleted = await neverThrough([[thief, url('store', 'guarded', '/public')], [a, url('store', 'guarded', '/private')], [a, `http://${v1.ip}:8080/public`], [stranger, `http://${v1.ip}:8080/public`]], async () => {
        await kube.remove('Gateway', namespace('store'), 'waypoint')
        await until('the policy to say that its waypoint is missing', async () => {
          const [policy] = placed(policies)
          return verdictsOf(await kube.get(policy ?? assert.fail(), namespace('store'), 'only-public'))?.every((each) => each.includes('WaypointMissing'))
        }, 30_000)
        await until('nobody to get through any more', async () => (await a.request(url('store', 'guarded', '/public'), { fresh: true })).status !== 200, 20_000)
        await apply(waypointObjects('store', { replicas: '1', cpuRequest: '10m', memoryRequest: '64Mi' }))
      })
      await until('who may to get through again', async () => (await allowed()).join() === '200,200', 60_000)
      await withdrawn(context, policies)
      return `while the agent was killed ${JSON.stringify(killed)}, without the waypoint ${JSON.stringify(deleted)}`
    },
  },
])
