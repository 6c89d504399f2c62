import assert from 'node:assert/strict'
import { defineCases } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { percentile } from '../lib/statistics.ts'

const edits = 200

/** How soon a change is in force. */
export const cases = defineCases([
  {
    name: `a route's edit is in force within a second: p99 of ${edits} edits`,
    features: ['HTTPRoute', 'propagation'],
    group: 'measured',
    limitSeconds: 300,
    manifests: [
      service('store', 'edited', echo.v1),
      route('HTTPRoute', 'store', 'edited', [parent('edited', { port: 80 })], [
        { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-edit', value: '0' }] } }], backendRefs: [backend('edited')] },
      ]),
    ],
    run: async ({ client, url, kube, namespace }) => {
      const from = await client('shop')
      await from.request(url('store', 'edited'))
      const took: number[] = []
      for (let edit = 1; edit <= edits; edit++) {
        const seen = from.until({ url: url('store', 'edited'), header: { name: 'x-edit', value: String(edit) }, withinMs: 10_000 })
        // From before the edit is sent until the first answer under it is here.
        const start = performance.now()
        await kube.patch('HTTPRoute', namespace('store'), 'edited', {
          spec: { rules: [{ filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-edit', value: String(edit) }] } }], backendRefs: [backend('edited')] }] },
        })
        const { held, reply } = await seen
        took.push(performance.now() - start)
        assert.ok(held, `edit ${edit} was not in force after 10 s; the last answer was ${reply.status} with ${reply.headers?.['x-edit']?.[0] ?? 'no header'}`)
      }
      const [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1].map((fraction) => Math.round(percentile(took, fraction)))
      assert.ok((p99 ?? Infinity) < 1_000, `p99 ${p99 ?? 0} ms`)
      return `p50 ${p50 ?? 0} ms, p90 ${p90 ?? 0} ms, p99 ${p99 ?? 0} ms, max ${max ?? 0} ms`
    },
  },
])
