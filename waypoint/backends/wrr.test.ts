import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createWeightedPicker } from './wrr.ts'

const run = (weights: readonly number[], turns: number): (number | undefined)[] => {
  const pick = createWeightedPicker(weights.map((weight, index) => ({ weight, index })))
  return Array.from({ length: turns }, () => pick()?.index)
}

describe('createWeightedPicker', () => {
  it('spreads the choices evenly', () => {
    assert.deepEqual(run([2, 1], 6), [0, 1, 0, 0, 1, 0])
    assert.deepEqual(run([5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0])
    assert.deepEqual(run([1, 1, 1], 6), [0, 1, 2, 0, 1, 2])
  })

  it('keeps every share within 1 % of the weights over any 500 requests', () => {
    const weight = fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 1_000_000 }))
    const split = fc.array(weight, { minLength: 1, maxLength: 16 }).filter((all) => all.some((each) => each > 0))
    fc.assert(
      fc.property(split, fc.nat(1_000), (weights, start) => {
        const total = weights.reduce((sum, each) => sum + each, 0)
        const window = run(weights, start + 500).slice(start)
        weights.forEach((each, index) => {
          const share = window.filter((picked) => picked === index).length / 500
          assert.ok(Math.abs(share - each / total) <= 0.01, `${share} instead of ${each / total} of ${weights.join(':')}`)
        })
      }),
      { numRuns: 150 },
    )
  })

  it('never chooses a weight of 0, and chooses nothing if there is no other', () => {
    assert.deepEqual(new Set(run([0, 1, 0], 10)), new Set([1]))
    assert.deepEqual(run([0, 0], 2), [undefined, undefined])
    assert.deepEqual(run([], 1), [undefined])
  })

  it('gives a tiny weight its one turn in a million', () => {
    const picks = run([999_999, 1], 1_000_000)
    assert.equal(picks.filter((each) => each === 1).length, 1)
  })
})
