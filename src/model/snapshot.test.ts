import assert from 'node:assert/strict'
import fc from 'fast-check'
import { entryKey, type Entry } from './entries.ts'
import { apply, delta, isEmpty, type Snapshot } from './snapshot.ts'

const entry = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), port: fc.integer({ min: 1, max: 3 }) }).map(
  ({ name, port }): Entry => ({ kind: 'service', namespace: 'n', name, clusterIPs: [], headless: false, ports: [{ port, protocol: 'http' }] }),
)
const snapshot = fc.array(entry, { maxLength: 8 }).map((entries): Snapshot => new Map(entries.map((each) => [entryKey(each), each])))

describe('delta and apply', () => {
  it('apply(a, delta(a, b)) = b', () => {
    fc.assert(fc.property(snapshot, snapshot, (a, b) => assert.deepEqual(new Map([...apply(a, delta(a, b))].sort()), new Map([...b].sort()))))
  })

  it('an entry that did not change keeps its identity and does not travel', () => {
    fc.assert(
      fc.property(snapshot, (a) => {
        const copy: Snapshot = structuredClone(a)
        const change = delta(a, copy)
        assert.ok(isEmpty(change))
        assert.equal(apply(a, change), a)
      }),
    )
  })
})
