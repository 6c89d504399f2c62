import assert from 'node:assert/strict'
import { backoffMs } from './backoff.ts'

describe('backoffMs', () => {
  const most = (failures: number): number => backoffMs(failures, { baseMs: 1000, maxMs: 60_000, random: () => 0.999_999 })

  it('doubles its limit with each failure, up to the maximum', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 8].map(most), [999, 1999, 3999, 7999, 15_999, 31_999, 59_999, 59_999])
  })

  it('spreads over everything from 0 to the limit', () => {
    const at = (random: number): number => backoffMs(3, { baseMs: 1000, maxMs: 60_000, random: () => random })
    assert.deepEqual([0, 0.25, 0.5].map(at), [0, 1000, 2000])
  })

  it('stays at the maximum however long the failures last', () => {
    assert.equal(most(5000), 59_999)
  })
})
