import assert from 'node:assert/strict'
import fc from 'fast-check'
import { whyNotNext } from './follow.ts'
import type { RotationState } from './rotate.ts'
import { introduce, retire, signWithNew, startRotation } from './rotate.ts'

/** A history of `steps` steps, each of which differs from the one before. */
function historyOf(steps: number): readonly RotationState[] {
  const states = [startRotation('root 0', 0)]
  for (let index = 1; index <= steps; index++) {
    const last = states.at(-1)!
    const options = { nowMs: index, settleMs: 0 }
    states.push(last.phase === 'steady' ? introduce(last, `root ${index}`, index) : last.phase === 'introduced' ? signWithNew(last, options) : retire(last, options))
  }
  return states
}

describe('whyNotNext', () => {
  it('takes every state for a successor of itself and of all before it, and of none after it', () => {
    fc.assert(
      fc.property(fc.nat(12), fc.nat(12), (a, b) => {
        const history = historyOf(12)
        const [known, next] = [history[a]!, history[b]!]
        assert.equal(whyNotNext(known, next) === undefined, b >= a, `${a} ${b}`)
      }),
    )
  })

  const [steady, introduced, signing, second] = historyOf(3) as [RotationState, RotationState, RotationState, RotationState]
  const swap = (state: RotationState, from: string): RotationState => ({
    ...state,
    signing: state.signing === from ? 'stranger' : state.signing,
    trusted: state.trusted.map((each) => (each === from ? 'stranger' : each)),
  })
  const refusals: Record<string, readonly [RotationState, RotationState, RegExp]> = {
    'another root': [steady, swap(steady, 'root 0'), /another root/],
    'another root beside which one is introduced': [steady, swap(introduced, 'root 0'), /another root/],
    'another root than was introduced': [introduced, swap(introduced, 'root 1'), /not the one that this mesh introduced/],
    'a root that signs without having been introduced': [introduced, swap(signing, 'root 1'), /not the one that this mesh introduced/],
    'a root that follows without having been introduced': [signing, swap(second, 'root 1'), /not the one that was introduced/],
    'a lower generation': [second, signing, /generation 0/],
    'a phase that began earlier than it did': [introduced, { ...introduced, sinceMs: 0 }, /began earlier/],
  }
  for (const [name, [known, next, why]] of Object.entries(refusals)) it(`refuses ${name}`, () => assert.match(whyNotNext(known, next) ?? '', why))
})
