import assert from 'node:assert/strict'
import { KubeError } from '../../kube/errors.ts'
import { faultOf, faultOfEvent, nextStep, WatchFault, type Fault } from './decide.ts'
import type { RelistReason, RestartReason } from './observer.ts'

describe('faultOf', () => {
  const cases: readonly [number, RestartReason][] = [
    [0, 'cut'],
    [400, 'rejected'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'missing'],
    [410, 'expired'],
    [422, 'rejected'],
    [429, 'throttled'],
    [500, 'server-error'],
    [504, 'server-error'],
  ]
  for (const [status, reason] of cases) {
    it(`takes status ${status} for ${reason}`, () => {
      const fault = faultOf(new KubeError(status, '', 'what it said', 3000))
      assert.deepEqual(fault, { reason, message: 'what it said', retryAfterMs: 3000 })
    })
  }

  it('takes what a connection breaks with for cut, and everything else for a defect', () => {
    const coded = (code: string): Error => Object.assign(new Error('broken'), { code })
    for (const code of ['ECONNRESET', 'ETIMEDOUT', 'ERR_STREAM_PREMATURE_CLOSE', 'HPE_INVALID_CHUNK_SIZE']) assert.equal(faultOf(coded(code)).reason, 'cut')
    for (const thrown of [new TypeError('x is not a function'), 'text', undefined, coded('ERR_INVALID_ARG_TYPE')]) assert.equal(faultOf(thrown).reason, 'defect')
  })

  it('takes the fault out of a WatchFault', () => {
    const fault: Fault = { reason: 'bad-line', message: 'what a line' }
    assert.equal(faultOf(new WatchFault(fault)), fault)
  })

  it('takes an ERROR event of code 410 for expired, whatever else it says', () => {
    assert.equal(faultOfEvent(410, 'too old', undefined).reason, 'expired')
    assert.equal(faultOfEvent('410', 'too old', undefined).reason, 'error-event')
    assert.deepEqual([7, -7, '7', undefined].map((seconds) => faultOfEvent(429, 'slow down', seconds).retryAfterMs), [7000, undefined, undefined, undefined])
  })
})

describe('nextStep', () => {
  const step = (reason: RestartReason, failures = 1, more: Partial<Fault & { openMs: number; failingMs: number; random: () => number }> = {}) =>
    nextStep({ reason, message: '', retryAfterMs: more.retryAfterMs }, { failures, failingMs: more.failingMs ?? 0, openMs: more.openMs ?? 0, random: more.random ?? (() => 0.999_999) })

  const relists: Readonly<Record<RestartReason, RelistReason | undefined>> = {
    'ended': undefined,
    'cut': undefined,
    'silent': undefined,
    'throttled': undefined,
    'unauthorized': undefined,
    'server-error': undefined,
    'expired': 'expired',
    'bad-line': 'bad-line',
    'error-event': 'error-event',
    'forbidden': 'forbidden',
    'missing': 'missing',
    'rejected': 'rejected',
    'defect': 'defect',
  }
  for (const [reason, relist] of Object.entries(relists)) {
    it(`${relist === undefined ? 'resumes' : 'lists again'} after ${reason}`, () => {
      assert.equal(step(reason as RestartReason).relist, relist)
    })
  }

  it('waits longer with each failure, but not long while a server may be restarting', () => {
    assert.deepEqual([1, 2, 3, 4, 10, 1000].map((failures) => step('cut', failures).delayMs), [199, 399, 799, 1499, 1499, 1499])
  })

  it('waits no longer than 5 s for what passes by itself, and than 15 s for what somebody must do', () => {
    const longest = (reason: RestartReason): number => step(reason, 1000, { failingMs: 60_000 }).delayMs
    assert.deepEqual((['cut', 'silent', 'server-error', 'throttled'] as const).map(longest), [4999, 4999, 4999, 4999])
    assert.deepEqual((['missing', 'forbidden', 'unauthorized', 'defect'] as const).map(longest), [14_999, 14_999, 14_999, 14_999])
  })

  it('waits as long as the server asks for, within reason, and not shorter than it would anyway', () => {
    assert.deepEqual([7000, 1e12, 1].map((retryAfterMs) => step('throttled', 1, { retryAfterMs }).delayMs), [7000, 120_000, 199])
  })

  it('does not wait after a watch that ended in order after its time, but does after one that ended at once', () => {
    assert.equal(step('ended', 1, { openMs: 300_000 }).delayMs, 0)
    assert.equal(step('ended', 1, { openMs: 10 }).delayMs, 199)
    assert.equal(step('cut', 1, { openMs: 300_000 }).delayMs, 199)
  })

  it('has the credentials read anew after a 401 only', () => {
    assert.deepEqual(
      Object.keys(relists).filter((reason) => step(reason as RestartReason).refresh),
      ['unauthorized'],
    )
  })

  it('gives up a version after every fifth error of the server', () => {
    assert.deepEqual([1, 4, 5, 6, 10].map((failures) => step('server-error', failures).relist), [undefined, undefined, 'failing', undefined, 'failing'])
  })
})
