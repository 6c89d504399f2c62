import assert from 'node:assert/strict'
import fc from 'fast-check'
import { edited, editedKeys } from './edited.ts'
import type { Entry, EntryKey } from './entries.ts'
import type { Snapshot } from './snapshot.ts'

describe('a Snapshot with edits', () => {
  const keys = Array.from({ length: 100 }, (_, at) => `enrolment/n${at}/n${at}` as const)
  const entry = (name: string): Entry => ({ kind: 'enrolment', namespace: name, name })
  const whole = (): Map<EntryKey, Entry> => new Map(keys.map((key, at) => [key, entry(`n${at}`)]))

  it('reads as a copy with those entries in place would, however many there were', () => {
    fc.assert(fc.property(fc.array(fc.array(fc.nat(99), { maxLength: 5 }), { maxLength: 60 }), (steps) => {
      const copy = whole()
      let snapshot: Snapshot = whole()
      for (const [turn, step] of steps.entries()) {
        const changes = step.map((at) => [keys[at] as EntryKey, entry(`turn ${turn}`)] as const)
        for (const [key, value] of changes) copy.set(key, value)
        const before = snapshot
        const was = [...before]
        snapshot = edited(snapshot, changes)
        assert.deepEqual([...before], was, 'the one before stays as it was')
        assert.deepEqual([...snapshot], [...copy])
      }
      assert.deepEqual([...snapshot.values()], [...copy.values()])
      assert.deepEqual([...snapshot.keys()], [...copy.keys()])
      assert.equal(snapshot.size, copy.size)
      const seen: [EntryKey, Entry][] = []
      snapshot.forEach((value, key, map) => {
        if (map === snapshot) seen.push([key, value])
      })
      assert.deepEqual(seen, [...copy])
      assert.deepEqual([snapshot.get(keys[3] as EntryKey), snapshot.has(keys[3] as EntryKey)], [copy.get(keys[3] as EntryKey), true])
      assert.deepEqual([snapshot.get('enrolment/x/x'), snapshot.has('enrolment/x/x')], [undefined, false])
    }), { numRuns: 30 })
  })

  it('names the keys in which it differs from one that it was made from, also some steps ago, and the other way round', () => {
    const first = whole()
    const [a, b, c] = keys as [EntryKey, EntryKey, EntryKey]
    const second = edited(first, [[a, entry('one')]])
    const third = edited(second, [[b, entry('two')], [c, first.get(c) as Entry]])
    assert.deepEqual(editedKeys(first, second), [a])
    assert.deepEqual(editedKeys(second, third), [b])
    assert.deepEqual(editedKeys(first, third), [a, b])
    assert.deepEqual(editedKeys(third, second), [b])
    assert.deepEqual(editedKeys(third, third), [])
    assert.equal(editedKeys(first, whole()), undefined)
  })
})
