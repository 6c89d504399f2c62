import assert from 'node:assert/strict'
import { senders } from '../lib/captured.ts'
import { defineCases } from '../lib/case.ts'
import { echo, parent, route, service } from '../lib/manifests.ts'
import { percentile } from '../lib/statistics.ts'

const rounds = 25

/** How soon captured pods see what became of a route. */
export const cases = defineCases([
  {
    name: `captured: a route that is made or deleted is in force within a second on both nodes: p95 of ${4 * rounds} times`,
    features: ['node agent', 'HTTPRoute', 'propagation'],
    group: 'captured',
    limitSeconds: 180,
    manifests: [service('store', 'born', echo.v1)],
    run: async ({ kube, namespace, placed, url, driver }) => {
      const clients = await Promise.all(senders.map((sender) => driver('shop', sender)))
      const asked = { url: url('store', 'born'), everyMs: 10, withinMs: 10_000, fresh: true }
      // The Service itself, by way of its namespace's waypoint.
      for (const from of clients) assert.ok((await from.until({ ...asked, status: 200, byWaypoint: true, withinMs: 30_000 })).held)
      const [made] = placed([route('HTTPRoute', 'store', 'born', [parent('born', { port: 80 })], [{ filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: 'born.example', statusCode: 301 } }] }])])
      assert.ok(made !== undefined)
      let took: number[] = []
      const seen = async (status: number, change: () => Promise<unknown>): Promise<void> => {
        // From before it is sent until the first answer under it is here.
        const start = performance.now()
        const all = Promise.all(clients.map(async (from) => {
          const { held, reply } = await from.until({ ...asked, status })
          took.push(performance.now() - start)
          assert.ok(held, `${from.pod} still sees ${reply.status} ${reply.error ?? ''} in place of ${status}`)
        }))
        await Promise.all([change(), all])
      }
      const told: string[] = []
      // A machine that does other things besides may need more than one series.
      for (let series = 0; series < 3; series++) {
        took = []
        for (let round = 0; round < rounds; round++) {
          await seen(301, () => kube.create(made))
          await seen(200, () => kube.remove('HTTPRoute', namespace('store'), 'born'))
        }
        const [p50 = Infinity, p95 = Infinity, max = Infinity] = [0.5, 0.95, 1].map((fraction) => Math.round(percentile(took, fraction)))
        told.push(`p50 ${p50} ms, p95 ${p95} ms, max ${max} ms`)
        if (p95 < 1_000) return told.join('; ')
      }
      return assert.fail(told.join('; '))
    },
  },
])
