import assert from 'node:assert/strict'
import { decideLease, readLease, type LeaseRecord, type LeaseStep } from './leader-decide.ts'

const leaseOf = (holder: string): LeaseRecord => ({ holder, durationMs: 15_000, acquireTime: '', renewTime: '', transitions: 0 })

describe('the decision about a lease', () => {
  const cases: readonly [rule: string, lease: string | undefined, believer: string | undefined, step: LeaseStep][] = [
    ['is to make it if there is none', undefined, undefined, 'create'],
    ['is to make it again if it was ours', undefined, 'me', 'create'],
    ['is to wait for one who held it when it was deleted', undefined, 'other', 'wait'],
    ['is to renew what is ours', 'me', 'me', 'renew'],
    ['is to renew what was ours in a former life', 'me', undefined, 'renew'],
    ['is to take what was given up, at once', '', 'other', 'take'],
    ['is to wait for a holder that may still believe in it', 'other', 'other', 'wait'],
    ['is to wait for the former holder also if a third one wrote its name', 'third', 'other', 'wait'],
    ['is to take what ran out here', 'other', undefined, 'take'],
  ]
  for (const [rule, holder, believer, step] of cases) {
    it(rule, () => assert.equal(decideLease({ lease: holder === undefined ? undefined : leaseOf(holder), believer, identity: 'me' }), step))
  }
})

describe('a lease as it is read', () => {
  it('lasts as long as its holder says, but never less than here', () => {
    assert.equal(readLease({ holderIdentity: 'x', leaseDurationSeconds: 60 }, 15_000).durationMs, 60_000)
    assert.equal(readLease({ holderIdentity: 'x', leaseDurationSeconds: 1 }, 15_000).durationMs, 15_000)
  })

  it('may be anything', () => {
    for (const spec of [undefined, null, 'x', [], { holderIdentity: 7, leaseDurationSeconds: '9', leaseTransitions: -1 }]) {
      assert.deepEqual(readLease(spec, 5), { holder: '', durationMs: 5, acquireTime: '', renewTime: '', transitions: 0 })
    }
  })
})
