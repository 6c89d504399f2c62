import assert from 'node:assert/strict'
import { controllerName, type Condition, type ObjectStatus } from '../model/status.ts'
import { mergeStatus, withoutPassing } from './merge.ts'
import { sameStatus } from './same.ts'

const condition = (type: string, status: Condition['status'], reason: string): Condition => ({ type, status, reason, message: '', observedGeneration: 1 })
const ref = { group: 'policy.waymark.dev', kind: 'AuthorizationPolicy', namespace: 'books', name: 'p' }
const ancestor = (name: string, ...conditions: readonly Condition[]) => ({ ancestorRef: { group: '', kind: 'Service', namespace: 'books', name }, controllerName, conditions })
const wanted = (...ancestors: ReturnType<typeof ancestor>[]): ObjectStatus => ({ kind: 'policy', ref, ancestors })
const context = { controllerName, nowMs: 0 }
const accepted = condition('Accepted', 'True', 'Accepted')

describe('the status of a policy', () => {
  it('has an entry for each target beside those of other controllers, which stay as they are', () => {
    const others = { ancestorRef: { name: 'reviews' }, controllerName: 'other.example/x', conditions: [] }
    const merged = mergeStatus({ ancestors: [others, ancestor('gone', accepted)] }, wanted(ancestor('reviews', accepted)), context) as { ancestors: readonly { controllerName: string; ancestorRef: { name: string } }[] }
    assert.deepEqual(merged.ancestors.map((each) => [each.controllerName, each.ancestorRef.name]), [['other.example/x', 'reviews'], [controllerName, 'reviews']])
    assert.equal(merged.ancestors[0], others)
  })

  it('is not written again if it stands there', () => {
    const once = mergeStatus(undefined, wanted(ancestor('reviews', accepted)), context)
    assert.notEqual(once, undefined)
    assert.equal(mergeStatus(once, wanted(ancestor('reviews', accepted)), context), undefined)
  })

  it('does not tell that its waypoint is behind for a moment', () => {
    const before = mergeStatus(undefined, wanted(ancestor('reviews', condition('Enforced', 'True', 'Enforced'))), context)
    const calm = withoutPassing(before, wanted(ancestor('reviews', condition('Enforced', 'False', 'Pending'))), controllerName)
    assert.equal(calm.kind === 'policy' && calm.ancestors[0]?.conditions[0]?.status, 'True')
  })

  it('is compared in all that it says', () => {
    assert.ok(sameStatus(wanted(ancestor('a', accepted)), wanted(ancestor('a', { ...accepted }))))
    assert.ok(!sameStatus(wanted(ancestor('a', accepted)), wanted(ancestor('b', accepted))))
    assert.ok(!sameStatus(wanted(ancestor('a', accepted)), wanted(ancestor('a', { ...accepted, message: 'x' }))))
  })
})
