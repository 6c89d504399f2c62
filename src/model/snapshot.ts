import { isDeepStrictEqual } from 'node:util'
import type { Entry, EntryKey } from './entries.ts'

/** The whole configuration of the data plane: small entries under stable keys. Never changed in place. */
export type Snapshot = ReadonlyMap<EntryKey, Entry>

/** What leads from one Snapshot to the next: only changed keys travel. */
export interface Delta {
  readonly put: readonly (readonly [EntryKey, Entry])[]
  readonly remove: readonly EntryKey[]
}

/** The changes that lead from `before` to `after`, in key order. Entries that are deeply equal do not travel. */
export function delta(before: Snapshot, after: Snapshot): Delta {
  const put: (readonly [EntryKey, Entry])[] = []
  for (const [key, entry] of after) {
    const old = before.get(key)
    if (old !== entry && (old === undefined || !isDeepStrictEqual(old, entry))) put.push([key, entry])
  }
  const remove = [...before.keys()].filter((key) => !after.has(key))
  return { put: put.sort(([a], [b]) => compareKeys(a, b)), remove: remove.sort(compareKeys) }
}

/** `apply(a, delta(a, b))` equals `b`; entries that did not change keep their object identity from `a`. */
export function apply(before: Snapshot, change: Delta): Snapshot {
  if (change.put.length === 0 && change.remove.length === 0) return before
  const after = new Map(before)
  for (const key of change.remove) after.delete(key)
  for (const [key, entry] of change.put) after.set(key, entry)
  return after
}

/** Whether a change changes nothing. */
export function isEmpty(change: Delta): boolean {
  return change.put.length === 0 && change.remove.length === 0
}

function compareKeys(a: EntryKey, b: EntryKey): number {
  return a < b ? -1 : a > b ? 1 : 0
}
