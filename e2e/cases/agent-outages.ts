import assert from 'node:assert/strict'
import { install } from '../../src/model/install.ts'
import { agentPods } from '../lib/agents.ts'
import { allCaptured, arrived, capturedPlace, locationOf, marked, onePod, podsOf, senders } from '../lib/captured.ts'
import { defineCases, type Case, type Context } from '../lib/case.ts'
import { throughPortForward } from '../lib/forward.ts'
import { backend, driverPod, echo, parent, route, service } from '../lib/manifests.ts'
import { onNode, processOf, restartsOf, signalProcess } from '../lib/nodes.ts'
import type { KubeObject } from '../lib/objects.ts'
import { isUnharmed, probedObjects } from '../lib/probed.ts'
import { tally } from '../lib/statistics.ts'
import { isReady } from '../lib/sturdy.ts'

/** Agents on no node, or on all again. */
async function away({ kube, installation: { namespace }, until }: Context, gone: boolean): Promise<void> {
  const agents = gone ? await kube.list('Pod', namespace, agentPods) : []
  const processes = await Promise.all(agents.map(({ metadata }) => processOf(kube, namespace, metadata.name, 'agent')))
  await kube.patch('DaemonSet', namespace, install.agent, { spec: { template: { spec: { nodeSelector: { 'waymark.dev/no-node': gone ? 'true' : null } } } } })
  if (!gone) return
  // Killed: it has no time to say anything to anybody.
  for (const { metadata } of agents) await kube.remove('Pod', namespace, metadata.name, 0)
  await until('the agents to be gone', async () => (await kube.list('Pod', namespace, agentPods)).length === 0, 60_000)
  // The API server has forgotten them before the kubelet has ended them.
  await until('their processes to be gone', async () =>
    (await Promise.all(processes.map(({ node, pid }) => onNode(node, `test ! -e /proc/${pid} || echo there`)))).join('') === '', 30_000)
}

/** What the pods of the application and the witness have seen of requests with a key. */
async function seenWith({ url, driver }: Context, service: readonly [role: string, name: string], key: string): Promise<number> {
  const { body = '{}' } = await (await driver('outside', 'stranger')).request(url(...service, `/seen?key=${key}`), { fresh: true })
  return (JSON.parse(body) as { readonly count: number }).count
}

const captured = { group: 'captured', place: capturedPlace } as const satisfies Partial<Case>

/** What fails closed. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: an agent that is killed: new connections are refused meanwhile, never plain, and it is back within seconds',
    features: ['node agent', 'fail closed'],
    manifests: [
      service('store', 'killed', echo.both),
      route('HTTPRoute', 'store', 'killed', [parent('killed', { port: 80 })], [{ filters: [marked('killed')], backendRefs: [backend('killed')] }]),
    ],
    limitSeconds: 120,
    run: async (context) => {
      const { kube, url, driver, installation: { namespace }, until } = context
      const from = await driver('shop', 'b')
      const target = url('store', 'killed')
      const { held } = await from.until({ url: target, header: { name: 'x-route', value: 'killed' }, withinMs: 20_000, fresh: true })
      assert.ok(held)
      const before = await arrived(context, 'store', { workload: 'echo-v1' })
      const { node } = await onePod(context, 'shop', 'app=b')
      const agent = (await kube.list('Pod', namespace, agentPods)).find((pod) => locationOf(pod).node === node)
      assert.ok(agent !== undefined)
      const load = await from.load({ url: target, rps: 50, forSeconds: 60, fresh: true })
      await new Promise((resolve) => setTimeout(resolve, 500))
      await signalProcess(await processOf(kube, namespace, agent.metadata.name, 'agent'), 'KILL')
      await until('the agent to be back', async () => {
        const now = await kube.get('Pod', namespace, agent.metadata.name)
        return restartsOf(now, 'agent') > restartsOf(agent, 'agent') && isReady(now)
      }, 60_000)
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      const { sent, statuses, failed, failures } = await load.stop()
      assert.ok(failed > 0, 'nobody noticed')
      assert.deepEqual(Object.keys(statuses).sort(), ['0', '200'])
      for (const { error = '' } of failures) assert.match(error, /^(?:ECONNREFUSED|ECONNRESET|.*socket hang up)/)
      // Of the agent that was not killed; the other one's counters began anew.
      assert.equal((await arrived(context, 'store', { workload: 'echo-v1' })).plain, before.plain)
      const last = await from.requests({ url: target, count: 50, fresh: true })
      assert.deepEqual(tally(last.map(({ status, headers }) => `${status} ${headers?.['x-route']?.[0] ?? ''}`)), { '200 killed': 50 })
      return `${failed} of ${sent} refused; away for about ${(failed / 50).toFixed(1)} s`
    },
  },
  {
    ...captured,
    name: 'captured: no agent: pods of the mesh are refused and do not start, nothing leaks, probes, exec and port-forward pass, and others notice nothing',
    features: ['node agent', 'fail closed', 'probes', 'exec', 'port-forward', 'CNI plugin'],
    manifests: [service('outside', 'seer', { app: 'witness' }), service('store', 'seen', echo.v1)],
    limitSeconds: 240,
    run: async (context) => {
      const { kube, namespace, url, driver, placed, until, installation, signal } = context
      await allCaptured(context, ['store', 'shop', 'garden'])
      // kube-proxy, too, takes a moment to know a Service.
      for (const target of [url('store', 'seen'), url('outside', 'seer')]) {
        const { held } = await (await driver('outside', 'stranger')).until({ url: target, status: 200, withinMs: 20_000, fresh: true })
        assert.ok(held, target)
      }
      const witness = await onePod(context, 'outside', 'app=witness')
      const pod = await onePod(context, 'store', 'version=v1')
      const key = 'no-agent'
      const targets = [url('store', 'seen'), `http://${pod.ip}:8080/`, url('outside', 'seer'), `http://${witness.ip}:8080/`]
      const outcomes = async (from: string, role = 'shop'): Promise<readonly string[]> => {
        const replies = await Promise.all(targets.map(async (target) => (await driver(role, from)).requests({ url: target, count: 10, concurrency: 5, headers: { 'x-key': key }, fresh: true })))
        return replies.map((some) => [...new Set(some.map(({ status, error = '' }) => (status === 0 ? (error.split(':')[0] ?? '') : String(status))))].join())
      }
      const probed = placed(probedObjects('garden', 'probed', 'worker', installation.images))
      for (const object of probed) await kube.apply(object)
      const unharmed = async (): Promise<boolean> => isUnharmed(await kube.get('Pod', namespace('garden'), 'probed'))
      await until('a pod with probes of every kind to be ready', unharmed, 60_000)
      await allCaptured(context, ['garden'])
      const { ip: strict } = await onePod(context, 'garden', 'app=probed')
      const strictly = async (role: string, from: string): Promise<string> => {
        const { status, error = '' } = await (await driver(role, from)).request(`http://${strict}:8080/`, { fresh: true })
        return status === 0 ? (error.split(':')[0] ?? '') : String(status)
      }
      await until('strict mode to be in force', async () => (await strictly('outside', 'stranger')) === 'ECONNRESET' && (await strictly('shop', 'b')) === '200', 20_000)
      const restartsBefore = (await podsOf(context, 'store')).map((each) => restartsOf(each, 'app'))
      await away(context, true)
      const gone = performance.now()
      let late: readonly KubeObject[] = []
      let goneMs = 0
      try {
        for (const sender of senders) assert.deepEqual(await outcomes(sender), Array(4).fill('ECONNREFUSED'), sender)
        // The stranger is captured by nobody, but what it wants to reach is.
        const [seen, direct, ...uncaptured] = await outcomes('stranger', 'outside')
        assert.deepEqual(uncaptured, ['200', '200'])
        for (const outcome of [seen, direct]) assert.match(outcome ?? '', /^ECONNRE(?:FUSED|SET)$/)
        assert.equal(await seenWith(context, ['outside', 'seer'], key), 20)

        late = placed([driverPod('garden', 'late', 'worker', installation.images), driverPod('outside', 'early', 'worker', installation.images)])
        for (const object of late) await kube.create(object)
        await until('a pod outside the mesh to start', async () => isReady(await kube.get('Pod', namespace('outside'), 'early')), 60_000)
        await until('an Event that says why the other one does not', async () => {
          const events = await kube.list('Event', namespace('garden'))
          return events.some((event) => /waymark: the node agent did not answer/.test(String(event['message'])))
        }, 60_000)
        assert.equal(JSON.stringify((await kube.get('Pod', namespace('garden'), 'late'))['status']).includes('"started":true'), false)
        // Longer than three probes take to fail.
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, 10_000 - (performance.now() - gone))))
        for (const each of await podsOf(context, 'store')) assert.ok(isReady(each), each.metadata.name)
        assert.deepEqual((await podsOf(context, 'store')).map((each) => restartsOf(each, 'app')), restartsBefore)
        assert.ok(await unharmed(), 'a probe of the strict pod has failed')
        assert.match(await strictly('outside', 'stranger'), /^ECONNRE(?:FUSED|SET)$/)
        const forwarded = await throughPortForward(kube, namespace('store'), pod.name, 8080, 'GET /forwarded HTTP/1.0\r\n\r\n', signal)
        assert.match(forwarded, /^HTTP\/1\.1 200 OK\r\n[^]*"path":"\/forwarded"/)
        assert.equal((await kube.kubectl(['exec', '-n', namespace('store'), pod.name, '-c', 'app', '--', 'echo', 'still here'])).trim(), 'still here')
        const node = pod.node
        await until('an Event that says that the node has no agent', async () =>
          (await kube.list('Event', 'default')).some((event) => event['reason'] === 'NodeAgentGone' && (event['involvedObject'] as { readonly name?: string }).name === node), 60_000)
      } finally {
        goneMs = performance.now() - gone
        await away(context, false)
      }
      const back = performance.now()
      for (const sender of senders) {
        const { held } = await (await driver('shop', sender)).until({ url: url('store', 'seen'), status: 200, withinMs: 60_000, fresh: true })
        assert.ok(held, sender)
      }
      const backMs = performance.now() - back
      await until('the pod that waited to run, captured', async () => isReady(await kube.get('Pod', namespace('garden'), 'late')), 90_000)
      await allCaptured(context, ['garden'])
      // What was refused never arrived, neither at the pod of the mesh nor at the one outside: there only what the stranger sent.
      assert.deepEqual([await seenWith(context, ['store', 'seen'], key), await seenWith(context, ['outside', 'seer'], key)], [0, 20])
      assert.ok(await unharmed(), 'a probe of the strict pod has failed')
      for (const { kind, apiVersion, metadata } of probed) await kube.remove({ kind, apiVersion }, metadata.namespace, metadata.name, 0)
      for (const { metadata } of late) await kube.remove('Pod', metadata.namespace, metadata.name, 0)
      return `away for ${(goneMs / 1000).toFixed(1)} s; connections again ${(backMs / 1000).toFixed(1)} s after it was asked for`
    },
  },
])
