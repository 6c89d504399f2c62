import assert from 'node:assert/strict'
import type { HTTPRoute } from '../api/routes.ts'
import { controllerName, type ObjectStatus } from '../model/status.ts'
import { createEntry, planFor } from './plan.ts'

const condition = (status: 'True' | 'False', reason: string) => ({ type: 'waymark.dev/Programmed', status, reason, message: '', observedGeneration: 1 })
const parentRef = { group: '', kind: 'Service', name: 'a' }
const wanted = (status: 'True' | 'False', reason: string): ObjectStatus => ({
  kind: 'route', ref: { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop', name: 'r' }, parents: [{ parentRef, controllerName, conditions: [condition(status, reason)] }],
})

describe('planFor', () => {
  it('holds what only passes back for the time that it may take, also if the clock is set back meanwhile', () => {
    const route = {
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'r', namespace: 'shop', uid: 'u', resourceVersion: '1' }, spec: {},
      status: { parents: [{ parentRef, controllerName, conditions: [{ ...condition('True', 'Programmed'), lastTransitionTime: '2026-01-01T00:00:00Z' }] }] },
    } as unknown as HTTPRoute
    const entry = createEntry('k', wanted('False', 'Pending'), route)
    assert.deepEqual(pick(planFor(entry, controllerName, 5_000, 10_000_000)), [false, 5_000])
    assert.deepEqual(pick(planFor(entry, controllerName, 5_000, 6_000_000)), [false, 5_000])
    assert.deepEqual(pick(planFor(entry, controllerName, 5_000, 6_005_000)), [true, undefined])
  })
})

function pick({ status, settleMs }: ReturnType<typeof planFor>): readonly unknown[] {
  return [status !== undefined, settleMs]
}
