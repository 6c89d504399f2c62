import assert from 'node:assert/strict'
import { assertShares, percentile, tally } from './statistics.ts'

const of = (counts: Record<string, number>): string[] => Object.entries(counts).flatMap(([name, count]) => Array.from({ length: count }, () => name))

describe('statistics of the suite', () => {
  it('count what occurs, nothing included', () => {
    assert.deepEqual(tally(['a', 'b', 'a', undefined]), { a: 2, b: 1, undefined: 1 })
  })
  it('hold shares to their weights within the tolerance, its edge included', () => {
    assertShares(of({ v1: 900, v2: 100 }), { v1: 90, v2: 10 }, 0)
    assertShares(of({ v1: 910, v2: 90 }), { v1: 9, v2: 1 }, 0.01)
    assert.throws(() => assertShares(of({ v1: 911, v2: 89 }), { v1: 90, v2: 10 }, 0.01), /v1 got 91.1 % in place of 90 %/)
  })
  it('refuse what is not wanted at all, however rare', () => {
    assert.throws(() => assertShares([...of({ v1: 9_999 }), '503'], { v1: 1 }, 0.01), /503 got 1/)
    assert.throws(() => assertShares([], { v1: 1 }, 0.01))
  })
  it('take the nearest rank as percentile', () => {
    const values = Array.from({ length: 200 }, (_, at) => 200 - at)
    assert.equal(percentile(values, 0.99), 198)
    assert.equal(percentile(values, 1), 200)
    assert.equal(percentile([7], 0.5), 7)
    assert.ok(Number.isNaN(percentile([], 0.5)))
  })
})
