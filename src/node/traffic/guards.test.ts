import assert from 'node:assert/strict'
import { entryKey, type Entry, type WorkloadEntry } from '../../model/entries.ts'
import type { PolicyAction, PolicyRule } from '../../model/policy.ts'
import { guardsOf } from './guards.ts'

const pod = (more: Partial<WorkloadEntry> = {}): WorkloadEntry => ({
  kind: 'workload', namespace: 'shop', name: 'web', addresses: ['10.1.0.1'], serviceAccount: 'web', identity: 'spiffe://td/ns/shop/sa/web', enrolled: true, ...more,
})
const policy = (name: string, action: PolicyAction, rule: PolicyRule): Entry => ({ kind: 'policy', namespace: 'shop', name, action, rules: [rule] })
const snapshot = (...entries: readonly Entry[]) => new Map(entries.map((entry) => [entryKey(entry), entry]))
const from = (namespace: string) => ({ caller: { trustDomain: 'td', namespace, serviceAccount: 'a' }, address: '10.1.0.9' })
const ofShop = policy('shop', 'allow', { from: [{ namespaces: ['shop'] }] })

describe('what guards a pod', () => {
  it('is nothing without policies', () => assert.equal(guardsOf(pod(), snapshot()).judge(80, from('other')).allowed, true))

  it('are its own policies on every port, and those of a port beside them there', () => {
    const noAdmin = policy('no-admin', 'deny', { from: [{ serviceAccounts: ['shop/a'] }] })
    const guards = guardsOf(pod({ policies: ['policy/shop/shop'], ports: [{ port: 9000, servicePorts: [90], policies: ['policy/shop/no-admin'] }] }), snapshot(ofShop, noAdmin))
    assert.deepEqual([guards.judge(80, from('shop')).allowed, guards.judge(80, from('other')).allowed], [true, false])
    assert.deepEqual([guards.judge(9000, from('shop')).allowed, guards.judge(9000, from('shop')).policy], [false, 'shop/no-admin'])
  })

  it('knows a port by its own number and by those of the Services that lead there', () => {
    const eighty = policy('eighty', 'allow', { to: [{ ports: [80] }] })
    const guards = guardsOf(pod({ ports: [{ port: 8080, servicePorts: [80], policies: ['policy/shop/eighty'] }, { port: 9090, servicePorts: [90], policies: ['policy/shop/eighty'] }] }), snapshot(eighty))
    assert.deepEqual([guards.judge(8080, from('x')).allowed, guards.judge(9090, from('x')).allowed], [true, false])
  })

  it('lets nobody in where a policy is named that is not there, not even to other ports', () => {
    const guards = guardsOf(pod({ ports: [{ port: 9000, servicePorts: [], policies: ['policy/shop/gone'] }] }), snapshot())
    assert.deepEqual([guards.judge(9000, from('shop')).allowed, guards.judge(80, from('shop')).allowed], [false, false])
  })

  it('names the only peers of a port', () => {
    const guards = guardsOf(pod({ ports: [{ port: 80, servicePorts: [], policies: [], onlyVia: ['w'] }] }), snapshot())
    assert.deepEqual([guards.onlyVia(80), guards.onlyVia(81)], [['w'], undefined])
  })

  it('holds until the pod or one of its policies changes', () => {
    const workload = pod({ policies: ['policy/shop/shop'] })
    const guards = guardsOf(workload, snapshot(ofShop))
    assert.equal(guards.holds(workload, snapshot(ofShop, policy('other', 'deny', {}))), true)
    assert.equal(guards.holds(pod(), snapshot(ofShop)), false)
    assert.equal(guards.holds(workload, snapshot({ ...ofShop })), false)
    assert.equal(guards.holds(workload, snapshot()), false)
  })
})
