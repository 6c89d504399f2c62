import type { MeshWorld } from './cases/mesh-case.ts'
import { cases, svidSeconds } from './cases/mesh-rotation.ts'
import { startMesh } from './lib/mesh.ts'
import { startRig, type Rig } from './lib/rig.ts'

describe('in network namespaces of its own, with certificates that live for seconds', () => {
  let rig: Rig
  let world: MeshWorld
  before(async () => {
    rig = await startRig()
    world = { rig, mesh: await startMesh(svidSeconds), agents: {} as MeshWorld['agents'] }
  })
  after(async () => {
    await world.mesh.close()
    await rig.close()
  })
  for (const { name, run } of cases) it(name, () => run(world))
})
