import assert from 'node:assert/strict'
import { afterFailure, afterSuccess, isEjected, newOutlierState, type OutlierState } from './outlier.ts'

const options = { consecutiveFailures: 3, baseEjectionMs: 100, maxEjectionMs: 350 }
const fail = (state: OutlierState, nowMs: number, times = 1): OutlierState => {
  for (let each = 0; each < times; each++) state = afterFailure(state, nowMs, options)
  return state
}
const succeed = (state: OutlierState, nowMs: number): OutlierState => afterSuccess(state, nowMs, options)

describe('outlier ejection', () => {
  it('ejects after so many failures in a row, for the base time', () => {
    assert.equal(isEjected(fail(newOutlierState, 1_000, 2), 1_000), false)
    const out = fail(newOutlierState, 1_000, 3)
    assert.equal(isEjected(out, 1_099), true)
    assert.equal(isEjected(out, 1_100), false)
  })

  it('counts only failures in a row', () => {
    const state = fail(succeed(fail(newOutlierState, 0, 2), 0), 0, 2)
    assert.equal(isEjected(state, 0), false)
  })

  it('ejects again after one more failure, each time for twice as long, up to the limit', () => {
    let state = fail(newOutlierState, 0, 3)
    const lengths = [state.ejectedUntilMs]
    for (let each = 0; each < 3; each++) {
      const nowMs = state.ejectedUntilMs
      state = fail(state, nowMs)
      lengths.push(state.ejectedUntilMs - nowMs)
    }
    assert.deepEqual(lengths, [100, 200, 350, 350])
  })

  it('does not count failures of requests that were on their way when it ejected', () => {
    const out = fail(newOutlierState, 0, 3)
    assert.equal(fail(out, 50, 10), out)
  })

  it('brings an endpoint back that answers while it is out', () => {
    assert.equal(isEjected(succeed(fail(newOutlierState, 0, 3), 50), 50), false)
  })

  it('needs a whole run of failures again after a success', () => {
    const back = succeed(fail(newOutlierState, 0, 3), 100)
    assert.equal(isEjected(fail(back, 101, 2), 101), false)
    assert.equal(fail(back, 101, 3).ejectedUntilMs, 301)
  })

  it('forgives past ejections after as long a time inside as the last one took', () => {
    const back = succeed(fail(newOutlierState, 0, 3), 100)
    assert.notEqual(succeed(back, 199), newOutlierState)
    assert.equal(succeed(back, 200), newOutlierState)
  })

  it('makes nothing new on success after success', () => {
    assert.equal(succeed(newOutlierState, 1), newOutlierState)
    const back = succeed(fail(newOutlierState, 0, 3), 100)
    assert.equal(succeed(back, 101), back)
  })
})
