import assert from 'node:assert/strict'
import { resourceSetOf, type Resource } from '../../api/resources.ts'
import { controllerName } from '../../model/status.ts'
import { judgePolicies } from './policies.ts'

const policy = (generation: number, ...conditions: readonly object[]): Resource => ({
  apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'AuthorizationPolicy', metadata: { namespace: 'books', name: 'p', generation }, spec: {},
  ...(conditions.length === 0 ? {} : { status: { ancestors: [{ ancestorRef: { group: '', kind: 'Service', name: 'reviews' }, controllerName, conditions }] } }),
} as unknown as Resource)
const condition = (type: string, status: string, reason: string): object => ({ type, status, reason, message: 'so it is', observedGeneration: 1 })
const lines = (...objects: readonly Resource[]): readonly string[] => judgePolicies({ resources: resourceSetOf(objects) }).map(({ severity, message }) => `${severity} ${message}`)
const accepted = condition('Accepted', 'True', 'Accepted')

describe('check of policies', () => {
  it('says nothing where there are none, and that all is well', () => {
    assert.deepEqual(lines(), [])
    assert.deepEqual(lines(policy(1, accepted, condition('Enforced', 'True', 'Enforced'))), ['ok 1 policy is accepted and enforced'])
  })

  it('names those that are not enforced, not judged, or judged in an earlier version', () => {
    assert.deepEqual(lines(policy(1, accepted, condition('Enforced', 'False', 'WaypointMissing'))), ['error AuthorizationPolicy books/p: target reviews: Enforced=False (WaypointMissing): so it is'])
    assert.deepEqual(lines(policy(1)), ['error AuthorizationPolicy books/p: no controller has judged it'])
    assert.deepEqual(lines(policy(2, accepted, condition('Enforced', 'False', 'Pending'))), [
      'warning AuthorizationPolicy books/p: its status is about an earlier version of it', 'warning AuthorizationPolicy books/p: target reviews: so it is',
    ])
  })
})
