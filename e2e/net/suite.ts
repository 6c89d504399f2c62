import { cases as failing } from './cases/failing.ts'
import type { MeshCase, MeshWorld } from './cases/mesh-case.ts'
import { cases as meshFailing } from './cases/mesh-failing.ts'
import { cases as meshPaths } from './cases/mesh-paths.ts'
import { cases as meshRepair } from './cases/mesh-repair.ts'
import { cases as meshRotation, svidSeconds } from './cases/mesh-rotation.ts'
import { cases as meshRequests } from './cases/mesh-requests.ts'
import { cases as paths } from './cases/paths.ts'
import { cases as system } from './cases/system.ts'
import { startMesh } from './lib/mesh.ts'
import { startRig, type Rig } from './lib/rig.ts'

const groups = { system, paths, failing } as const
/** With a real control plane, agents and waypoints: in this order, for each goes on where the one before has ended. */
const meshGroups = { 'the whole mesh': meshPaths, 'the whole mesh, with requests': meshRequests, 'the whole mesh, judging and failing': meshFailing, 'the whole mesh, mending itself': meshRepair } as const

describe('in network namespaces', () => {
  let rig: Rig
  before(async () => {
    rig = await startRig()
  })
  after(() => rig.close())

  for (const [group, cases] of Object.entries(groups)) {
    describe(group, () => {
      for (const { name, run } of cases) it(name, () => run(rig))
    })
  }

  const withMesh = (what: string, groups: Readonly<Record<string, readonly MeshCase[]>>, lifetime?: number): void => {
    describe(what, () => {
      let world: MeshWorld
      before(async () => {
        await rig.bare()
        // No agent has started yet: the first case does that.
        world = { rig, mesh: await startMesh(lifetime), agents: {} as MeshWorld['agents'] }
      })
      after(() => world.mesh.close())
      for (const [group, cases] of Object.entries(groups)) {
        describe(group, () => {
          for (const { name, run } of cases) it(name, () => run(world))
        })
      }
    })
  }
  withMesh('with real agents', meshGroups)
  withMesh('with real agents and certificates that live for seconds', { 'the whole mesh': meshRotation }, svidSeconds)
})
