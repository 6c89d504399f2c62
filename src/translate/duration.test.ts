import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseDuration } from './duration.ts'

describe('parseDuration', () => {
  it('reads every unit and sums the parts', () => {
    for (const [text, ms] of [
      ['0s', 0],
      ['1ms', 1],
      ['10s', 10_000],
      ['1m30s', 90_000],
      ['1h', 3_600_000],
      ['1h1m1s1ms', 3_661_001],
      ['500ms1s', 1500],
      ['99999h', 359_996_400_000],
    ] as const) {
      assert.equal(parseDuration(text), ms, text)
    }
  })

  it('refuses what GEP-2257 does not allow', () => {
    for (const text of ['', '1', 's', '1.5s', '-1s', '+1s', '1d', '1us', '1 s', '1S', '100000s', '1h1m1s1ms1h', '1s ', '1s\n', '１s']) {
      assert.equal(parseDuration(text), undefined, JSON.stringify(text))
    }
  })

  it('reads what is written from parts', () => {
    const unit = fc.constantFrom(['h', 3_600_000] as const, ['m', 60_000] as const, ['s', 1000] as const, ['ms', 1] as const)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 99_999 }), unit), { minLength: 1, maxLength: 4 }), (parts) => {
        const text = parts.map(([count, [name]]) => `${count}${name}`).join('')
        assert.equal(parseDuration(text), parts.reduce((sum, [count, [, ms]]) => sum + count * ms, 0))
      }),
    )
  })
})
