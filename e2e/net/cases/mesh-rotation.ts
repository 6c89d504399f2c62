import assert from 'node:assert/strict'
import { caNames } from '../../../src/control/ca/names.ts'
import { install } from '../../../src/model/install.ts'
import { until } from '../lib/mesh.ts'
import { namespaceObject } from '../lib/objects.ts'
import { pods, services } from '../lib/topology.ts'
import { applicationPorts } from '../testing/protocol.ts'
import { answered } from './case.ts'
import { meshCases } from './mesh-case.ts'

const { lines } = applicationPorts
const toC = { host: services.c.address, port: 80 }
const captured = ['a', 'k', 'b', 'c'] as const

/** How long certificates live where these cases run, seconds: each step of a rotation waits so long. */
export const svidSeconds = 10

/** With certificates that live for seconds, in a mesh of its own. */
export const cases = meshCases([
  {
    name: 'a rotation of the root passes without a failed connection, and what is open goes on',
    run: async (world) => {
      const { rig, mesh, agents } = world
      ;[agents[1], agents[2]] = await Promise.all([mesh.agent(1), mesh.agent(2)])
      await mesh.control('put', [namespaceObject('front', true), namespaceObject('back', true)])
      await mesh.captured(captured)
      const open = { a: await rig.pods.a.ask('open', toC), c: await rig.pods.c.ask('open', { host: pods.a.address6, port: lines }) }
      const rootsOf = async (): Promise<readonly string[]> => (await mesh.control('bundle', {})).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
      const [before, ...others] = await rootsOf()
      assert.deepEqual(others, [])
      const load = Promise.all([
        rig.pods.a.ask('churn', { ...toC, parallel: 2 }), rig.pods.k.ask('churn', { host: pods.c.address6, port: lines, parallel: 2 }), rig.pods.c.ask('churn', { host: pods.b.address, port: lines, parallel: 2 }),
      ])
      const secret = await mesh.control('get', { kind: 'Secret', namespace: install.namespace, name: install.caSecret })
      assert.ok(secret !== undefined)
      await mesh.control('put', [{ ...secret, metadata: { ...secret.metadata, annotations: { ...secret.metadata.annotations, [caNames.rotateTo]: '1' } } }])
      const useBoth = async (): Promise<void> => {
        answered(await rig.pods.a.ask('use', open.a), 'c', pods.a.address)
        answered(await rig.pods.c.ask('use', open.c), 'a', pods.c.address6)
        await new Promise((resolve) => setTimeout(resolve, 500))
      }
      let roots: readonly string[] = []
      for (const count of [2, 1]) {
        await until(() => `there are ${roots.length} roots`, async () => {
          await useBoth()
          roots = await rootsOf()
          return roots.length === count
        })
      }
      assert.notEqual(roots[0], before)
      // What was signed by the old root has ended by now, and been replaced at least once since.
      const endMs = performance.now() + svidSeconds * 1000
      while (performance.now() < endMs) await useBoth()
      for (const name of ['a', 'k', 'c'] as const) await rig.pods[name].ask('halt', {})
      const results = await load
      assert.deepEqual(results.map(({ failed }) => failed), [{}, {}, {}], `of ${results.map(({ done }) => done).join(', ')}`)
      assert.ok(results.every(({ done }) => done >= 100), `only ${results.map(({ done }) => done).join(', ')} connections`)
      answered(await rig.pods.a.ask('ask', toC), 'c', pods.a.address)
    },
  },
])
