import type { Entry, EntryKey } from '../model/entries.ts'
import type { Delta, Snapshot } from '../model/snapshot.ts'
import { bytesOf, emptySum, formatSum, replaceInSum } from './hash.ts'
import { isIn, referencesOf, type Subscriber } from './slice.ts'

/** An entry that is not any more what it was; undefined: not there. */
export interface EntryChange {
  readonly key: EntryKey
  readonly before: Entry | undefined
  readonly after: Entry | undefined
}

/** What a subscriber is told: the changes since the last update it was sent, and what they lead to. */
export interface Update {
  /** Counts up in one controller; means nothing to another. */
  readonly version: number
  /** The changes hold the whole slice, and what was there before is void. */
  readonly fresh: boolean
  /** Hash of the whole slice after the changes, the same from every controller that knows the same objects. */
  readonly hash: string
  readonly changes: Delta
}

/** One slice, kept up to date change by change, for all subscribers that share it. */
export interface View {
  readonly subscriber: Subscriber
  /** Counts changes of the slice. */
  readonly position: () => number
  readonly hash: () => string
  /** About how long a message with all of it is. */
  readonly bytes: () => number
  /** Takes over changes that are in the whole Snapshot already. @returns whether the slice is another now */
  readonly take: (changes: readonly EntryChange[], version: number) => boolean
  /** The position of a state that is remembered. */
  readonly find: (hash: string) => number | undefined
  /** What leads from a position to the present; everything if that is not remembered, or undefined. The same object for all who ask the same. */
  readonly updateFrom: (position: number | undefined) => Update
  /** Forgets the references. */
  readonly close: () => void
}

/** Told when a view begins or stops to need an entry because a route refers to it. */
export interface ReferenceIndex {
  readonly add: (key: EntryKey, view: View) => void
  readonly remove: (key: EntryKey, view: View) => void
}

/** States that a view remembers, for subscribers that come back with one of them. */
const rememberedStates = 512
/** Keys that it remembers for that in all: beyond, sending everything is hardly more. */
const rememberedKeys = 4096

/**
 * @param current the whole Snapshot, changed in place before `take`
 * @param candidates the part of it in which everything stands that is in the slice for its own sake
 */
export function createView(subscriber: Subscriber, current: Snapshot, version: number, index: ReferenceIndex, candidates: Snapshot = current): View {
  const { kind, namespace } = subscriber
  /** How many of the namespace's routes refer to a key. */
  const references = new Map<EntryKey, number>()
  /** The slice of a waypoint. Those of entries are nearly everything: they are read off the whole. */
  const members = new Map<EntryKey, Entry>()
  let log: { readonly sumBefore: bigint; readonly keys: readonly EntryKey[] }[] = []
  let logKeys = 0
  let position = 0
  let sum = emptySum
  let bytes = 0
  let changedAt = version
  let updates = new Map<number | undefined, Update>()

  const refer = (entry: Entry | undefined, by: 1 | -1): readonly EntryKey[] => {
    const keys = kind === 'waypoint' ? referencesOf(entry, namespace) : []
    for (const key of keys) {
      const count = (references.get(key) ?? 0) + by
      if (count > 0) references.set(key, count)
      else references.delete(key)
      if (count === 1 && by === 1) index.add(key, view)
      if (count === 0) index.remove(key, view)
    }
    return keys
  }

  const wanted = (key: EntryKey): Entry | undefined => {
    const entry = current.get(key)
    return entry !== undefined && (isIn(subscriber, entry) || references.has(key)) ? entry : undefined
  }

  const replace = (key: EntryKey, before: Entry | undefined, after: Entry | undefined): boolean => {
    if (before === after) return false
    sum = replaceInSum(sum, key, before, after)
    bytes += (after === undefined ? 0 : bytesOf(key, after)) - (before === undefined ? 0 : bytesOf(key, before))
    if (kind !== 'waypoint') return true
    if (after === undefined) members.delete(key)
    else members.set(key, after)
    return true
  }

  const takeWaypoint = (changes: readonly EntryChange[]): EntryKey[] => {
    const touched = new Set(changes.map(({ key }) => key))
    for (const { before, after } of changes) {
      for (const key of refer(after, 1)) touched.add(key)
      for (const key of refer(before, -1)) touched.add(key)
    }
    return [...touched].filter((key) => replace(key, members.get(key), wanted(key)))
  }

  const takeEntry = (changes: readonly EntryChange[]): EntryKey[] => {
    const own = (entry: Entry | undefined): Entry | undefined => (entry !== undefined && isIn(subscriber, entry) ? entry : undefined)
    return changes.filter(({ key, before, after }) => replace(key, own(before), own(after))).map(({ key }) => key)
  }

  const take = (changes: readonly EntryChange[], at: number): boolean => {
    const sumBefore = sum
    const keys = kind === 'waypoint' ? takeWaypoint(changes) : takeEntry(changes)
    if (keys.length === 0) return false
    position++
    changedAt = at
    updates = new Map()
    log.push({ sumBefore, keys })
    logKeys += keys.length
    while (log.length > rememberedStates || logKeys > rememberedKeys) logKeys -= log.shift()?.keys.length ?? 0
    return true
  }

  const changesFrom = (from: number): Delta => {
    const put: (readonly [EntryKey, Entry])[] = []
    const remove: EntryKey[] = []
    for (const key of [...new Set(log.slice(log.length - (position - from)).flatMap(({ keys }) => keys))].sort()) {
      const entry = wanted(key)
      if (entry === undefined) remove.push(key)
      else put.push([key, entry])
    }
    return { put, remove }
  }

  const everything = (): Delta => {
    const put: (readonly [EntryKey, Entry])[] = []
    for (const [key, entry] of kind === 'waypoint' ? members : current) if (kind === 'waypoint' || isIn(subscriber, entry)) put.push([key, entry])
    return { put: put.sort(([a], [b]) => (a < b ? -1 : 1)), remove: [] }
  }

  const view: View = {
    subscriber,
    position: () => position,
    hash: () => formatSum(sum),
    bytes: () => bytes,
    take,
    find: (hash) => {
      if (hash === formatSum(sum)) return position
      const at = log.findLastIndex(({ sumBefore }) => formatSum(sumBefore) === hash)
      return at === -1 ? undefined : position - (log.length - at)
    },
    updateFrom: (from) => {
      const known = from !== undefined && from <= position && position - from <= log.length ? from : undefined
      const found = updates.get(known)
      if (found !== undefined) return found
      const changes = known === undefined ? everything() : changesFrom(known)
      const update: Update = { version: changedAt, fresh: known === undefined, hash: formatSum(sum), changes }
      updates.set(known, update)
      return update
    },
    close: () => {
      for (const key of references.keys()) index.remove(key, view)
    },
  }
  const own = [...candidates].filter(([, entry]) => isIn(subscriber, entry))
  take(own.map(([key, after]) => ({ key, before: undefined, after })), version)
  log = []
  logKeys = 0
  return view
}
