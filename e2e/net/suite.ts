import { cases as failing } from './cases/failing.ts'
import { cases as paths } from './cases/paths.ts'
import { cases as system } from './cases/system.ts'
import { startRig, type Rig } from './lib/rig.ts'

const groups = { system, paths, failing } as const

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
})
