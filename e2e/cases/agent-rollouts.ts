import { install } from '../../src/model/install.ts'
import { allCaptured } from '../lib/captured.ts'
import { defineCases, type Case, type Context, type Place } from '../lib/case.ts'
import { service } from '../lib/manifests.ts'
import { withoutFailure } from '../lib/steady.ts'
import { restarted, sturdyManifests, sturdyPlace, waypointPods } from '../lib/sturdy.ts'

/** Two of everything, a sender on each node, and a namespace that is not in the mesh yet. */
const place: Place = {
  sturdy: { ...sturdyPlace['sturdy'], client: false, drivers: { a: 'control-plane', b: 'worker' } },
  joining: { mesh: false, waypoint: false, apps: { echo: { version: 'v1', replicas: 2 } }, drivers: { c: 'worker' } },
}

/** `work` under 100 requests a second: half of them, from one node, over connections of their own. */
async function underLoad(context: Context, what: string, url: string, work: () => Promise<void>, keep = true): Promise<void> {
  const { driver, log } = context
  const [a, b] = [await driver('sturdy', 'a'), await driver('sturdy', 'b')]
  await a.until({ url, header: { name: 'x-edit', value: '0' }, withinMs: 20_000 })
  const { told, result } = await withoutFailure(`${what}, from one node`, a, { url, rps: 50, fresh: true }, async () =>
    (await withoutFailure(`${what}, from the other${keep ? ', connections kept' : ''}`, b, { url, rps: 50, fresh: !keep, resend: keep }, work)).told)
  log(told)
  log(result)
}

const captured = { group: 'captured', place, manifests: [...sturdyManifests, service('joining', 'echo', { app: 'echo' })] } as const satisfies Partial<Case>

/** What comes and goes under load. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: application rollout, waypoint rollout and agents restarted one by one: no request fails',
    features: ['node agent', 'rollout', 'zero failures'],
    limitSeconds: 300,
    run: async (context) => {
      const { kube, installation: { namespace }, url } = context
      await allCaptured(context, ['sturdy'])
      const target = url('sturdy', 'echo')
      await underLoad(context, 'application rollout', target, () => restarted(context, 'echo', 'app=echo'))
      await underLoad(context, 'waypoint rollout', target, () => restarted(context, 'waypoint', waypointPods))
      // A connection that is kept for longer than the old agent drains is cut.
      await underLoad(context, 'agents restarted', target, async () => {
        await kube.kubectl(['rollout', 'restart', '-n', namespace, `daemonset/${install.agent}`])
        await kube.kubectl(['rollout', 'status', '-n', namespace, `daemonset/${install.agent}`, '--timeout=180s'], { timeoutMs: 200_000 })
      }, false)
    },
  },
  {
    ...captured,
    name: 'captured: a namespace enters the mesh and leaves it under load: no request fails, to it, from it and within it',
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
        log((await withoutFailure(what, client, { url: target, rps: 25, fresh }, inner)).told)
      }, work)
      await nested()
    },
  },
])
