import assert from 'node:assert/strict'
import { install } from '../../src/model/install.ts'
import { allCaptured, clusterIp, locationOf, podsOf } from '../lib/captured.ts'
import { defineCases, type Case, type Context, type Place } from '../lib/case.ts'
import type { Client } from '../lib/client.ts'
import { disruptionBudget, drained } from '../lib/drain.ts'
import { restartMesh } from '../lib/install.ts'
import { service } from '../lib/manifests.ts'
import { withoutFailure } from '../lib/steady.ts'
import { restarted, sturdyManifests, sturdyPlace, waypointPods } from '../lib/sturdy.ts'

/** Two of everything, a sender on each node, and a namespace that is not in the mesh yet. */
const place: Place = {
  sturdy: { ...sturdyPlace['sturdy'], client: false, drivers: { a: 'control-plane', b: 'worker' } },
  joining: { mesh: false, waypoint: false, apps: { echo: { version: 'v1', replicas: 2 } }, drivers: { c: 'worker' } },
}

/** Requests a second in all, whatever the answers do. */
const rps = 200

/** `work` under load: half of the requests over connections of their own, from `fresh`, half over connections that are kept, or not, from `other`. */
async function underLoad(context: Context, what: string, [fresh, other]: readonly [Client, Client], work: () => Promise<void>, keep = true): Promise<void> {
  // By its address, so that it is the mesh that is seen, and not the cluster's DNS.
  const url = `http://${await clusterIp(context, 'sturdy', 'echo')}/`
  for (const from of [fresh, other]) await from.until({ url, header: { name: 'x-edit', value: '0' }, withinMs: 20_000, fresh: true })
  const { told, result } = await withoutFailure(`${what}, new connections`, fresh, { url, rps: rps / 2, fresh: true }, async () =>
    (await withoutFailure(`${what}, ${keep ? 'connections kept' : 'new connections, from the other node'}`, other, { url, rps: rps / 2, fresh: !keep, resend: keep }, work)).told)
  context.log(told)
  context.log(result)
}

const captured = { group: 'captured', place, manifests: [...sturdyManifests, disruptionBudget('sturdy', 'echo'), service('joining', 'echo', { app: 'echo' })] } as const satisfies Partial<Case>

/** What comes and goes under load. Last but for un-installing: a node that is drained loses the pods of other places too. */
export const cases = defineCases([
  {
    ...captured,
    name: `captured: rollouts of application, waypoint, controllers and agents at ${rps} requests a second: none fails`,
    features: ['node agent', 'rollout', 'zero failures'],
    limitSeconds: 360,
    run: async (context) => {
      const { kube, installation: { namespace }, driver } = context
      await allCaptured(context, ['sturdy'])
      const both = [await driver('sturdy', 'a'), await driver('sturdy', 'b')] as const
      await underLoad(context, 'application rollout', both, () => restarted(context, 'echo', 'app=echo'))
      await underLoad(context, 'waypoint rollout', both, () => restarted(context, 'waypoint', waypointPods))
      await underLoad(context, 'controller rollout', both, () => restartMesh(kube))
      // A connection that is kept for longer than the old agent drains is cut.
      await underLoad(context, 'agents restarted', both, async () => {
        await kube.kubectl(['rollout', 'restart', '-n', namespace, `daemonset/${install.agent}`])
        await kube.kubectl(['rollout', 'status', '-n', namespace, `daemonset/${install.agent}`, '--timeout=180s'], { timeoutMs: 200_000 })
      }, false)
    },
  },
  {
    ...captured,
    name: `captured: a namespace enters the mesh and leaves it at ${rps} requests a second: none fails, to it, from it and within it`,
    features: ['node agent', 'enrolment', 'zero failures'],
    limitSeconds: 180,
    run: async (context) => {
      const { kube, namespace, url, driver, log, until } = context
      await allCaptured(context, ['sturdy'])
      const [from, within] = [await driver('sturdy', 'a'), await driver('joining', 'c')]
      const label = (value: string | null): Promise<unknown> => kube.patch('Namespace', undefined, namespace('joining'), { metadata: { labels: { 'waymark.dev/mesh': value } } })
      const loads = [
        ['to it', from, url('joining', 'echo'), true], ['to it, connections kept', from, url('joining', 'echo'), false],
        ['from it', within, url('sturdy', 'echo'), true], ['within it', within, url('joining', 'echo'), true],
      ] as const
      const work = async (): Promise<void> => {
        await label('enabled')
        await allCaptured(context, ['joining'])
        await until('its requests to be routed', async () => (await within.request(url('sturdy', 'echo'), { fresh: true })).headers?.['x-edit']?.[0] === '0', 20_000)
        await new Promise((resolve) => setTimeout(resolve, 2_000))
        await label(null)
        await allCaptured(context, ['joining'], false)
        // Rules are taken back a little later than the annotation.
        await new Promise((resolve) => setTimeout(resolve, 5_000))
      }
      const nested = loads.reduce<() => Promise<void>>((inner, [what, client, target, fresh]) => async () => {
        log((await withoutFailure(what, client, { url: target, rps: rps / loads.length, fresh }, inner)).told)
      }, work)
      await nested()
    },
  },
  {
    ...captured,
    name: `captured: a node is drained at ${rps} requests a second: none fails while its pods, waypoints and controllers move`,
    features: ['node agent', 'node drain', 'zero failures'],
    limitSeconds: 300,
    run: async (context) => {
      const { driver, installation: { cluster } } = context
      const node = `${cluster}-worker`
      await allCaptured(context, ['sturdy'])
      const moving = await nodesOf(context)
      assert.ok(moving.includes(node), `nothing to be moved: ${moving.join()}`)
      const a = await driver('sturdy', 'a')
      // A driver is a pod that nobody makes anew: only the one on the other node stays.
      await drained(context, node, (drain) => underLoad(context, `${moving.filter((each) => each === node).length} pods moved`, [a, a], drain))
      const moved = await nodesOf(context)
      assert.ok(!moved.includes(node), moved.join())
    },
  },
])

/** Where application and waypoints are, node by node. */
async function nodesOf(context: Context): Promise<readonly string[]> {
  const pods = [...await podsOf(context, 'sturdy', 'app=echo'), ...await podsOf(context, 'sturdy', waypointPods)]
  return pods.map((pod) => locationOf(pod).node).sort()
}
