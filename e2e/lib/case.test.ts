import assert from 'node:assert/strict'
import { byEntry, entryOf, everyEntry, type Case } from './case.ts'

const one: Case = { name: 'a rule', features: ['HTTPRoute'], manifests: [], run: () => Promise.resolve() }

describe('cases and their entries', () => {
  it('runs by `connect` unless told otherwise', () => {
    assert.deepEqual(byEntry(one).map(({ name, group }) => [name, group]), [['a rule', undefined]])
  })

  it('makes a case for each entry; the captured one is of that group and beside others', () => {
    const made = byEntry({ ...one, entries: everyEntry })
    assert.deepEqual(made.map(entryOf), ['connect', 'captured'])
    assert.deepEqual(made.map(({ name }) => name), ['a rule', 'captured: a rule'])
    const [, captured] = made
    assert.deepEqual([captured?.group, captured?.beside, captured?.features], ['captured', true, ['HTTPRoute', 'node agent']])
  })

  it('leaves captured cases as they are', () => {
    const captured = { ...one, group: 'captured' } as const
    assert.deepEqual(byEntry(captured), [captured])
    assert.equal(entryOf(captured), 'captured')
  })
})
