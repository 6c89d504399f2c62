import assert from 'node:assert/strict'
import type { UpstreamFailure } from '../upstream.ts'
import { decideRetry, type RetryState, type TryOutcome } from './retry.ts'

const policy = { attempts: 2, codes: [503], backoffMs: 100 }
const state = (change: Partial<RetryState>): RetryState => ({
  policy: undefined, method: 'GET', retries: 0, freeRetries: 0, replayable: true, otherEndpoint: true, random: () => 0, ...change,
})
const failure = (change: Partial<UpstreamFailure>): TryOutcome => ({
  kind: 'failure', failure: { reason: 'connect-failure', detail: '', maybeProcessed: false, staleConnection: false, ...change },
})
const reset = failure({ reason: 'upstream-reset', maybeProcessed: true })

describe('decideRetry', () => {
  const cases: readonly (readonly [string, TryOutcome, Partial<RetryState>, string])[] = [
    ['a connect failure once on another endpoint without a policy', failure({}), {}, 'free'],
    ['not twice', failure({}), { freeRetries: 1 }, 'no'],
    ['not if there is no other endpoint', failure({}), { otherEndpoint: false }, 'no'],
    ['a connect failure by the policy, other endpoint or not', failure({}), { policy, otherEndpoint: false }, 'retry'],
    ['a connect failure of a POST by the policy: it was not processed', failure({}), { policy, method: 'POST' }, 'retry'],
    ['nothing that can not be sent again', failure({}), { policy, replayable: false }, 'no'],
    ['a refused stream, on any endpoint', failure({ reason: 'upstream-reset' }), { method: 'POST', otherEndpoint: false }, 'free'],
    ['a stale connection of an idempotent request', failure({ reason: 'upstream-reset', staleConnection: true, maybeProcessed: true }), { otherEndpoint: false }, 'free'],
    ['but not of a POST that may have been processed', failure({ reason: 'upstream-reset', staleConnection: true, maybeProcessed: true }), { method: 'POST' }, 'no'],
    ['a reset only by a policy', reset, {}, 'no'],
    ['a reset of a PUT by the policy', reset, { policy, method: 'PUT' }, 'retry'],
    ['but not of a PATCH', reset, { policy, method: 'PATCH' }, 'no'],
    ['a listed code of any method', { kind: 'status', status: 503 }, { policy, method: 'POST' }, 'retry'],
    ['not other codes', { kind: 'status', status: 500 }, { policy }, 'no'],
    ['a timeout of an idempotent request', { kind: 'timeout' }, { policy }, 'retry'],
    ['but not of a POST', { kind: 'timeout' }, { policy, method: 'POST' }, 'no'],
    ['nothing beyond the attempts', { kind: 'status', status: 503 }, { policy, retries: 2 }, 'exhausted'],
    ['nothing with attempts 0, which is not exhaustion', { kind: 'status', status: 503 }, { policy: { ...policy, attempts: 0 } }, 'no'],
  ]
  for (const [name, outcome, change, expected] of cases) {
    it(`repeats ${name}`, () => {
      const decision = decideRetry(outcome, state(change))
      const got = decision.kind === 'retry' ? (decision.free ? 'free' : 'retry') : decision.exhausted ? 'exhausted' : 'no'
      assert.equal(got, expected)
    })
  }

  it('doubles the back-off up to ten times its base, with jitter above it', () => {
    const delays = [0, 1, 2, 3, 4, 5].map((retries) => {
      const decision = decideRetry({ kind: 'status', status: 503 }, state({ policy: { ...policy, attempts: 9 }, retries }))
      return decision.kind === 'retry' ? decision.delayMs : -1
    })
    assert.deepEqual(delays, [100, 200, 400, 800, 1000, 1000])
    const late = decideRetry({ kind: 'status', status: 503 }, state({ policy, random: () => 0.5 }))
    assert.equal(late.kind === 'retry' && late.delayMs, 125)
  })
})
