import assert from 'node:assert/strict'
import { allCaptured } from '../lib/captured.ts'
import { defineCases, type Case } from '../lib/case.ts'
import { asRequests, inPlain } from '../lib/bypass/plain.ts'
import { bypassManifests, hostPods, lure, sceneOf, walls } from '../lib/bypass/scene.ts'
import { allReach, allRefused, arrivedAll } from '../lib/bypass/table.ts'
import { byToken, byTunnel } from '../lib/bypass/tunnels.ts'
import { allEnforced, judgedAs, withdrawn } from '../lib/policies.ts'
import { callers, wallsPlace } from '../lib/walls.ts'

const rows = [...inPlain, ...asRequests, ...byTunnel, ...byToken]
const captured = { group: 'captured', place: wallsPlace } as const satisfies Partial<Case>

/** Who tries to get past. */
export const cases = defineCases([
  {
    ...captured,
    name: `captured: nobody gets past (${rows.length} ways)`,
    features: ['AuthorizationPolicy', 'MTLSPolicy', 'node agent', 'bypass'],
    manifests: bypassManifests,
    limitSeconds: 180,
    run: async (context) => {
      const { apply, installation } = context
      await apply(hostPods(installation.images))
      await callers(context)
      await allCaptured(context, ['store', 'shop', 'garden'])
      const scene = await sceneOf(context)
      const { ip } = scene
      await apply([...lure('lure', ip.v1, 8080), ...lure('lure-plot', ip.plot, 8080), ...lure('lure-agent', ip.plot, 15_006)])
      const openly = await allReach(context, scene, rows, true)
      const policies = walls(context, ip.a)
      for (const policy of policies) await judgedAs(context, policy, allEnforced)
      const refused = await allRefused(context, scene, rows)
      const meanwhile = await allReach(context, scene, rows, false)
      await withdrawn(context, policies)
      // Not even a request whose answer was lost: only those that are meant to arrive beside a refused one.
      assert.equal(await arrivedAll(context, scene), rows.flatMap(({ sees = [] }) => sees).length)
      return `${refused.length} attempts refused; ${openly} controls succeeded before there were policies, ${meanwhile} beside them`
    },
  },
])
