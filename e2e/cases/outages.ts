import assert from 'node:assert/strict'
import { defineCases, type Context } from '../lib/case.ts'
import { startClientOnNode, type Client } from '../lib/client.ts'
import { controllerPods } from '../lib/install.ts'
import { processOf, restartsOf, signalProcess } from '../lib/nodes.ts'
import { conditionsOf, holds } from '../lib/objects.ts'
import { readyAddresses } from '../lib/place.ts'
import { scrape, sumOf } from '../lib/scrape.ts'
import { withoutFailure } from '../lib/steady.ts'
import { editedRoute, isReady, sturdyManifests, sturdyPlace, waypointPods } from '../lib/sturdy.ts'

const lease = 'waymark-controller'
/** Milliseconds without a controller. */
const goneMs = 120_000

/** Edits the route and waits until traffic shows the edit. @returns milliseconds */
async function editShows(context: Context, from: Client, edit: string): Promise<number> {
  const { kube, placed, url } = context
  const start = performance.now()
  const [object] = placed([editedRoute(edit)])
  assert.ok(object !== undefined)
  await kube.apply(object)
  const { held, reply } = await from.until({ url: url('sturdy', 'echo'), header: { name: 'x-edit', value: edit }, withinMs: 20_000 })
  assert.ok(held, `the edit ${edit} is not in force; the last answer was ${reply.status} ${reply.headers?.['x-edit']?.[0] ?? reply.reason ?? reply.error ?? ''}`)
  return Math.round(performance.now() - start)
}

/** Edits the route, and waits until traffic and status show it. @returns words */
async function editIsProgrammed(context: Context, from: Client, edit: string): Promise<string> {
  const { apply, placed } = context
  const ms = await editShows(context, from, edit)
  await apply(placed([editedRoute(edit)]))
  return `an edit was in force after ${ms} ms`
}

async function holder({ kube, installation }: Context): Promise<string> {
  const { spec } = (await kube.get('Lease', installation.namespace, lease)) as unknown as { readonly spec: { readonly holderIdentity?: string } }
  return spec.holderIdentity ?? ''
}

/** Waits until so many controllers are ready, and one of them leads. */
async function controllersLead(context: Context, count: number): Promise<void> {
  const { kube, installation: { namespace, controller }, until } = context
  await until(`${count} controllers, one of which leads`, async () => {
    const pods = await kube.list('Pod', namespace, controllerPods)
    const leader = await holder(context)
    return pods.length === count && pods.every(isReady) && pods.some(({ metadata }) => metadata.name === leader) && (await readyAddresses(kube, namespace, controller)).length === count
  }, 90_000)
}

/** What takes parts of the mesh, or what it stands on, away; each edit has a mark of its own, for the cases share their place. */
export const cases = defineCases([
  {
    name: 'controllers restarted one by one, and the leader killed: no request fails, and edits get in force with their status',
    features: ['controller', 'leader election', 'zero failures'],
    group: 'disruptive',
    place: sturdyPlace,
    manifests: sturdyManifests,
    limitSeconds: 240,
    run: async (context) => {
      const { client, url, kube, installation: { namespace, controller }, until, log } = context
      const from = await client('sturdy')
      const first = await withoutFailure('rolling restart', from, { url: url('sturdy', 'echo'), rps: 100 }, async () => {
        await kube.kubectl(['rollout', 'restart', '-n', namespace, `deployment/${controller}`])
        await kube.kubectl(['rollout', 'status', '-n', namespace, `deployment/${controller}`, '--timeout=120s'], { timeoutMs: 150_000 })
        const told = await editIsProgrammed(context, from, 'restarted')
        await controllersLead(context, 2)
        return told
      })
      log(`${first.told}; ${first.result}`)
      const killed = await withoutFailure('leader killed', from, { url: url('sturdy', 'echo'), rps: 100 }, async () => {
        const leader = await holder(context)
        await signalProcess(await processOf(kube, namespace, leader, 'controller'), 'KILL')
        // Neither may it come back under its name and go on with its Lease.
        await kube.remove('Pod', namespace, leader, 0)
        const start = performance.now()
        const ms = await editShows(context, from, 'killed')
        await until('another one to lead', async () => ![leader, ''].includes(await holder(context)), 60_000)
        const leadMs = Math.round(performance.now() - start)
        const told = await editIsProgrammed(context, from, 'led')
        await controllersLead(context, 2)
        return `an edit without a leader was in force after ${ms} ms; another one led after ${leadMs} ms; then ${told}`
      })
      log(`${killed.told}; ${killed.result}`)
    },
  },
  {
    name: 'the API server killed: no request fails, and what changes afterwards arrives',
    features: ['API server', 'zero failures'],
    group: 'disruptive',
    place: sturdyPlace,
    manifests: sturdyManifests,
    limitSeconds: 240,
    run: async (context) => {
      const { kube, namespace, url, installation, until } = context
      // `kubectl exec` goes by the API server and would end with it.
      const from = await startClientOnNode(kube, namespace('sturdy'))
      try {
        const { told, result } = await withoutFailure('load', from, { url: url('sturdy', 'echo'), rps: 100 }, async () => {
          const node = `${installation.cluster}-control-plane`
          const start = performance.now()
          await signalProcess(await processOf(kube, 'kube-system', `kube-apiserver-${node}`, 'kube-apiserver'), 'KILL')
          await until('another API server to be ready', () => kube.raw('GET', '/readyz').then(() => true), 120_000)
          const awayMs = Math.round(performance.now() - start)
          const edit = await editIsProgrammed(context, from, 'api-server')
          await controllersLead(context, 2)
          return `the API server was away for ${awayMs} ms; ${edit}`
        })
        return `${told}; ${result}`
      } finally {
        from.close()
      }
    },
  },
  {
    name: 'no controller for two minutes: traffic goes on, a waypoint that restarts serves from what it kept, and then changes arrive again',
    features: ['controller', 'kept snapshot', 'zero failures'],
    group: 'disruptive',
    place: sturdyPlace,
    manifests: sturdyManifests,
    // Longer than the outage, as an hour is than those that people have.
    svidLifetimeSeconds: 3600,
    limitSeconds: 400,
    run: async (context) => {
      const { client, url, kube, namespace, installation, until } = context
      const from = await client('sturdy')
      const restarted: string[] = []
      let kept = 0
      const { told, result } = await withoutFailure('load', from, { url: url('sturdy', 'echo'), rps: 100, forSeconds: 350 }, async () => {
        await kube.scale(installation.namespace, installation.controller, 0)
        try {
          await until('the controllers to be gone', async () => (await kube.list('Pod', installation.namespace, controllerPods)).length === 0, 60_000)
          const gone = performance.now()
          // Edits are stored all the while; nobody hears of them.
          for (const object of context.placed([editedRoute('unheard')])) await kube.apply(object)
          for (const { metadata: { name } } of (await kube.list('Pod', namespace('sturdy'), waypointPods)).toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name))) {
            const before = restartsOf(await kube.get('Pod', namespace('sturdy'), name), 'waypoint')
            await signalProcess(await processOf(kube, namespace('sturdy'), name, 'waypoint'), 'TERM')
            await until(`${name} to be ready again`, async () => {
              const pod = await kube.get('Pod', namespace('sturdy'), name)
              return restartsOf(pod, 'waypoint') > before && isReady(pod)
            }, 60_000)
            restarted.push(name)
          }
          const [earlier, later] = restarted
          assert.ok(earlier !== undefined && later !== undefined)
          // All traffic went over to it when the other one ended. Its counters began anew: it has served all of that without ever having heard of a controller.
          kept = await until(`${earlier} to serve again`, async () => {
            const samples = await scrape(kube, namespace('sturdy'), earlier)
            assert.equal(sumOf(samples, 'waymark_controller_connected'), 0)
            const found = sumOf(samples, 'waymark_requests_total', { service: 'echo', code: '200' })
            return found > 0 && found
          }, 30_000)
          await new Promise((resolve) => setTimeout(resolve, Math.max(0, goneMs - (performance.now() - gone))))
          const { headers } = await from.request(url('sturdy', 'echo'))
          assert.notEqual(headers?.['x-edit']?.[0], 'unheard')
        } finally {
          await kube.scale(installation.namespace, installation.controller, 2)
        }
        const back = performance.now()
        const { held } = await from.until({ url: url('sturdy', 'echo'), header: { name: 'x-edit', value: 'unheard' }, withinMs: 60_000 })
        assert.ok(held, 'what was edited meanwhile does not arrive')
        const backMs = Math.round(performance.now() - back)
        await controllersLead(context, 2)
        const edit = await editIsProgrammed(context, from, 'heard')
        await until('the Gateway to be programmed', async () => {
          const gateway = await kube.get('Gateway', namespace('sturdy'), 'waypoint')
          return holds(conditionsOf(gateway), 'Programmed', gateway.metadata.generation)
        }, 30_000)
        return `${restarted.length} waypoints restarted meanwhile, one of which served ${kept} requests from what it kept; what was edited meanwhile was in force ${backMs} ms after controllers were asked for; ${edit}`
      })
      return `${told}; ${result}`
    },
  },
])
