import assert from 'node:assert/strict'
import { createLeading, type LeaderWork } from './leading.ts'

describe('what only the leader does', () => {
  let said: string[]
  let settle: (() => void)[]
  let lead: (leading: boolean) => void
  const work = (name: string, fails = false): LeaderWork => ({
    setActive: (active) => {
      said.push(`${name} ${active}`)
      if (fails) throw new Error('a defect')
    },
  })
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

  beforeEach(() => {
    said = []
    settle = []
    lead = createLeading({
      work: [work('a', true), work('ca')], later: [work('bundles')], log: (line) => said.push(line),
      settled: () => new Promise((resolve) => settle.push(resolve)),
    })
  })

  it('begins with what looks before it writes, and writes from memory only when that has looked', async () => {
    lead(true)
    await turn()
    assert.deepEqual(said, ['a true', 'a defect in what only the leader does: a defect', 'ca true'])
    settle[0]?.()
    await turn()
    assert.equal(said.at(-1), 'bundles true')
  })

  it('stops at once, also what was about to begin', async () => {
    lead(true)
    lead(false)
    settle[0]?.()
    await turn()
    assert.ok(said.includes('bundles false'))
    assert.ok(!said.includes('bundles true'))
    lead(true)
    settle[1]?.()
    await turn()
    assert.equal(said.at(-1), 'bundles true')
  })
})
