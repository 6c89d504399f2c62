import { defineCases } from '../lib/case.ts'
import { waypointObjects } from '../lib/manifests.ts'
import { withoutFailure } from '../lib/steady.ts'
import { hasPods, restarted, sturdyManifests, sturdyPlace, waypointPods } from '../lib/sturdy.ts'

/** Pods come and go under load, as they do every day. */
export const cases = defineCases([
  {
    name: 'waypoint rolling restart, scale up and down, and application rollout: no request fails',
    features: ['rollout', 'scale', 'zero failures'],
    group: 'measured',
    place: sturdyPlace,
    manifests: sturdyManifests,
    limitSeconds: 300,
    run: async (context) => {
      const { client, url, placed, kube, log } = context
      const from = await client('sturdy')
      const under = async (what: string, work: () => Promise<void>): Promise<void> => {
        log((await withoutFailure(what, from, { url: url('sturdy', 'echo') }, work)).told)
      }
      const scaled = async (replicas: number): Promise<void> => {
        // The parameters alone: the Gateway stays as it is.
        for (const object of placed(waypointObjects('sturdy', { cpuRequest: '10m', memoryRequest: '64Mi', replicas: String(replicas) }))) await kube.apply(object)
        await hasPods(context, waypointPods, replicas)
      }
      await under('waypoint rolling restart', () => restarted(context, 'waypoint', waypointPods))
      await under('waypoint scale up and down', async () => {
        await scaled(3)
        await scaled(2)
      })
      await under('application rollout', () => restarted(context, 'echo', 'app=echo'))
    },
  },
])
