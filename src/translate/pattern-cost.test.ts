import assert from 'node:assert/strict'
import fc from 'fast-check'
import { patternCost } from './pattern-cost.ts'

describe('patternCost', () => {
  for (const [pattern, cost] of [
    ['', 0], ['abc', 3], ['/v[0-9]+/users', 14], ['a{3}', 3], ['a{3,}', 4], ['a{2,5}', 5], ['(ab){10}', 40], ['((a{10}){10}){10}', 1220 + 2 * 10 - 20],
    ['a{x}', 4], ['\\{3}', 3], ['\\pL{1000}', 4000], ['\\x{41}{10}', 10], ['[]a]{2}', 8], ['(a|b)', 5], ['(((', 0], [')))', 6],
  ] as const) {
    it(`of ${pattern} is ${cost}`, () => assert.equal(patternCost(pattern), cost))
  }

  it('is finite and quick whatever the text', () => {
    fc.assert(fc.property(fc.stringMatching(/^[a(){},0-9[\]\\px^*|-]{0,200}$/), (text) => {
      const cost = patternCost(text)
      assert.ok(Number.isFinite(cost) && cost >= 0)
    }))
    assert.ok(patternCost('('.repeat(5000) + 'a' + '{1000})'.repeat(5000)) > 1_000_000)
  })

  it('grows with what is repeated', () => {
    assert.ok(patternCost('\\pL{1000}'.repeat(400)) > 1_000_000)
    assert.ok(patternCost('a{1000}'.repeat(500)) >= 500_000)
  })
})
