import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CaError } from './errors.ts'
import type { RotationState, RotationStep } from './rotate.ts'
import { introduce, retire, signWithNew, startRotation } from './rotate.ts'

const settleMs = 3_600_000
const start = startRotation('a', 0)
const introduced = introduce(start, 'b', 0)
const signing = signWithNew(introduced, { nowMs: settleMs, settleMs })
const retired = retire(signing, { nowMs: 2 * settleMs, settleMs })

const refused = (code: string, message: RegExp) => (error: unknown): boolean => error instanceof CaError && error.code === code && message.test(error.message) && error.advice !== ''

describe('rotation of roots', () => {
  it('goes introduce, sign, retire', () => {
    assert.deepEqual(
      [start, introduced, signing, retired].map(({ phase, signing: signs, trusted }) => `${phase}: ${signs} of ${trusted.join()}`),
      ['steady: a of a', 'introduced: a of a,b', 'signing: b of a,b', 'steady: b of b'],
    )
    assert.equal(introduce(retired, 'c', 0).signing, 'b')
  })

  it('changes nothing when a step is run again', () => {
    const options = { nowMs: 5, settleMs }
    assert.equal(introduce(introduced, 'c', 5), introduced)
    assert.equal(signWithNew(signing, options), signing)
    assert.equal(retire(retired, options), retired)
  })

  describe('refuses a step out of order, and names the next one', () => {
    const options = { nowMs: 9 * settleMs, settleMs }
    const cases: readonly (readonly [string, () => RotationState, RegExp])[] = [
      ['sign before introduce', () => signWithNew(start, options), /introduce one first/],
      ['retire before introduce', () => retire(start, options), /introduce a new one first/],
      ['retire before sign', () => retire(introduced, options), /let the new one sign/],
      ['introduce before retire', () => introduce(signing, 'c', 0), /retire it/],
      ['sign after retire', () => signWithNew(retired, options), /introduce one first/],
      ['introduce the present root', () => introduce(start, 'a', 0), /make a new root/],
    ]
    for (const [name, step, message] of cases) it(name, () => assert.throws(step, refused('rotation-order', message)))
  })

  it('waits one SVID lifetime before sign and before retire, unless forced', () => {
    const soon = settleMs - 1000
    assert.throws(() => signWithNew(introduced, { nowMs: soon, settleMs }), refused('rotation-too-early', /1 s to go/))
    assert.throws(() => retire(signing, { nowMs: settleMs + soon, settleMs }), refused('rotation-too-early', /1 s to go/))
    assert.equal(signWithNew(introduced, { nowMs: soon, settleMs, force: true }).phase, 'signing')
    assert.equal(retire(signing, { nowMs: settleMs + soon, settleMs, force: true }).phase, 'steady')
  })

  it('never signs with a root that was not trusted one lifetime before, nor forgets one whose certificates live, in any order of steps', () => {
    const steps = fc.array(fc.record({ step: fc.constantFrom<RotationStep>('introduce', 'sign', 'retire'), afterMs: fc.nat(settleMs) }), { maxLength: 30 })
    fc.assert(
      fc.property(steps, (list) => {
        let state = start
        let nowMs = 0
        const trustedSince = new Map([['a', -settleMs]])
        const signedLast = new Map<string, number>()
        for (const [index, { step, afterMs }] of list.entries()) {
          nowMs += afterMs
          signedLast.set(state.signing, nowMs)
          try {
            const options = { nowMs, settleMs }
            state = step === 'introduce' ? introduce(state, `root ${index}`, nowMs) : step === 'sign' ? signWithNew(state, options) : retire(state, options)
          } catch (error) {
            assert.ok(error instanceof CaError)
          }
          for (const root of state.trusted) if (!trustedSince.has(root)) trustedSince.set(root, nowMs)
          assert.ok(state.trusted.includes(state.signing))
          assert.ok(nowMs - (trustedSince.get(state.signing) ?? nowMs) >= settleMs)
          for (const [root, lastMs] of signedLast) assert.ok(state.trusted.includes(root) || nowMs - lastMs >= settleMs)
          for (const root of [...signedLast.keys()]) if (!state.trusted.includes(root)) signedLast.delete(root)
        }
      }),
      { numRuns: 300 },
    )
  })
})
