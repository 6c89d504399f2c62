import assert from 'node:assert/strict'
import { defineCases, type Context } from '../lib/case.ts'
import { controllerPods } from '../lib/install.ts'
import { parseMetrics, scrape, type Sample } from '../lib/scrape.ts'
import { sturdyManifests, sturdyPlace } from '../lib/sturdy.ts'
import { withoutFailure } from '../lib/steady.ts'

/** How long nothing must be written, milliseconds. */
const quietMs = 60_000

/** Kinds that are the mesh's alone to write, or nobody's who is there while nothing happens. */
const ours = new Set(['gatewayclasses', 'gateways', 'httproutes', 'grpcroutes', 'tcproutes', 'tlsroutes', 'secrets', 'configmaps', 'serviceaccounts', 'services', 'poddisruptionbudgets', 'horizontalpodautoscalers'])
const writing = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE'])

/** Writes that the API server has counted, also those that changed nothing: server-side applies of any kind, and every write of our kinds. */
async function writes({ kube }: Context): Promise<ReadonlyMap<string, number>> {
  const counted = new Map<string, number>()
  for (const { name, labels, value } of parseMetrics(String(await kube.raw('GET', '/metrics')))) {
    const { verb = '', resource = '', subresource = '' } = labels
    if (name !== 'apiserver_request_total' || !writing.has(verb) || !(verb === 'APPLY' || ours.has(resource) || resource === 'events')) continue
    const what = `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}`
    counted.set(what, (counted.get(what) ?? 0) + value)
  }
  return counted
}

/** What the controllers say that they wrote. */
async function told({ kube, installation }: Context): Promise<ReadonlyMap<string, number>> {
  const pods = await kube.list('Pod', installation.namespace, controllerPods)
  const counted = new Map<string, number>()
  for (const { metadata: { name: pod } } of pods) {
    const samples: readonly Sample[] = await scrape(kube, installation.namespace, pod)
    for (const { name, labels, value } of samples) {
      if (name === 'waymark_status_writes_total' || name === 'waymark_status_events_total') counted.set(`${pod} ${name} ${JSON.stringify(labels)}`, value)
    }
  }
  return counted
}

/** What has grown, with by how much. */
function growth(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): readonly string[] {
  return [...after].flatMap(([what, count]) => (count > (before.get(what) ?? 0) ? [`${what}: ${count - (before.get(what) ?? 0)}`] : []))
}

/** What the mesh does to the API server while nothing changes. */
export const cases = defineCases([
  {
    name: 'a quiet minute under load: nothing is written',
    features: ['status', 'steady state'],
    group: 'disruptive',
    place: sturdyPlace,
    manifests: sturdyManifests,
    limitSeconds: 240,
    run: async (context) => {
      const { client, url, kube, until } = context
      // What ends is written to; so is what has just begun.
      await until('namespaces of other cases to be gone', async () => {
        const namespaces = await kube.list('Namespace', undefined, 'waymark.dev/e2e=true')
        return namespaces.every(({ metadata }) => metadata.deletionTimestamp === undefined)
      }, 90_000)
      await until('writes to cease', async () => {
        const before = await writes(context)
        await new Promise((resolve) => setTimeout(resolve, 3_000))
        return growth(before, await writes(context)).length === 0
      }, 60_000)
      const { told: load, result } = await withoutFailure('load', await client('sturdy'), { url: url('sturdy', 'echo'), rps: 20 }, async () => {
        const before = [await writes(context), await told(context)] as const
        await new Promise((resolve) => setTimeout(resolve, quietMs))
        return [...growth(before[0], await writes(context)), ...growth(before[1], await told(context))]
      })
      assert.deepEqual(result, [])
      return `${quietMs / 1000} s without a write; ${load}`
    },
  },
])
