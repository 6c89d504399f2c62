import type { Entry, EntryKey } from './entries.ts'
import type { Snapshot } from './snapshot.ts'

/** After so many edits a copy is cheaper than looking in two places. */
const mostEdits = 64

/** A map with other values under some of its keys: same keys, same order. To copy a large cluster's Snapshot for each change costs milliseconds and a megabyte. */
class EditedMap implements ReadonlyMap<EntryKey, Entry> {
  readonly base: ReadonlyMap<EntryKey, Entry>
  /** Only keys of `base`. */
  readonly edits: ReadonlyMap<EntryKey, Entry>
  constructor(base: ReadonlyMap<EntryKey, Entry>, edits: ReadonlyMap<EntryKey, Entry>) {
    this.base = base
    this.edits = edits
  }

  get size(): number {
    return this.base.size
  }

  get(key: EntryKey): Entry | undefined {
    return this.edits.get(key) ?? this.base.get(key)
  }

  has(key: EntryKey): boolean {
    return this.base.has(key)
  }

  keys(): MapIterator<EntryKey> {
    return this.base.keys()
  }

  * values(): MapIterator<Entry> {
    for (const [key, entry] of this.base) yield this.edits.get(key) ?? entry
  }

  * entries(): MapIterator<[EntryKey, Entry]> {
    for (const [key, entry] of this.base) yield [key, this.edits.get(key) ?? entry]
  }

  [Symbol.iterator](): MapIterator<[EntryKey, Entry]> {
    return this.entries()
  }

  forEach(each: (entry: Entry, key: EntryKey, map: ReadonlyMap<EntryKey, Entry>) => void): void {
    for (const [key, entry] of this) each(entry, key, this)
  }
}

/** `before` with other entries under keys that it has. */
export function edited(before: Snapshot, changes: readonly (readonly [EntryKey, Entry])[]): Snapshot {
  const [base, edits] = before instanceof EditedMap ? [before.base, new Map(before.edits)] : [before, new Map<EntryKey, Entry>()]
  for (const [key, entry] of changes) edits.set(key, entry)
  if (edits.size <= mostEdits) return new EditedMap(base, edits)
  const copy = new Map(base)
  for (const [key, entry] of edits) copy.set(key, entry)
  return copy
}

/**
 * The keys under which two Snapshots have different objects, in no order, if one was made from the other by few edits, which need not
 * have been the last ones; else undefined. Both then have the same keys.
 */
export function editedKeys(before: Snapshot, after: Snapshot): readonly EntryKey[] | undefined {
  const [old, now] = [partsOf(before), partsOf(after)]
  if (old.base !== now.base) return undefined
  return [...new Set([...old.edits.keys(), ...now.edits.keys()])].filter((key) => before.get(key) !== after.get(key))
}

function partsOf(snapshot: Snapshot): Pick<EditedMap, 'base' | 'edits'> {
  return snapshot instanceof EditedMap ? snapshot : { base: snapshot, edits: new Map() }
}
