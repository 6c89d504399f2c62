import { isDeepStrictEqual } from 'node:util'

// Translation is a pure function. What stands here remembers answers of its parts for inputs that are the very same objects, so that
// a change costs what depends on it. Nothing here can change an answer, only how soon it comes and whether an equal object is the same one.

/** `compute`, which is not asked again while its arguments are the same ones as at the last call. */
export function keepLast<Args extends readonly unknown[], Value>(compute: (...args: Args) => Value): (...args: Args) => Value {
  let last: { readonly args: Args; readonly value: Value } | undefined
  return (...args) => {
    if (last === undefined || !sameItems(last.args, args)) last = { args, value: compute(...args) }
    return last.value
  }
}

/** `compute`, asked once for each object. */
export function perObject<Key extends WeakKey, Value>(compute: (object: Key) => Value): (object: Key) => Value {
  const known = new WeakMap<Key, { readonly value: Value }>()
  return (object) => {
    let found = known.get(object)
    if (found === undefined) known.set(object, (found = { value: compute(object) }))
    return found.value
  }
}

/** Whether two lists have the very same items. */
export function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at])
}

/** Gives the list that it gave last in place of one that has the very same items. */
export function createSameList<Item>(): (now: readonly Item[]) => readonly Item[] {
  let before: readonly Item[] = []
  return (now) => {
    if (!sameItems(before, now)) before = now
    return before
  }
}

/** `now`, or the equal value of `before` in its place, for each key. */
export function keepEqual<Value>(before: ReadonlyMap<string, Value>, now: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  return new Map([...now].map(([key, value]) => {
    const old = before.get(key)
    return [key, old !== undefined && isDeepStrictEqual(old, value) ? old : value]
  }))
}

/**
 * Groups the values of a map; a group whose members are the same stays the same list.
 * @param compare order within a group; undefined: that of the map
 */
export function createGrouping<Value>(
  groupOf: (value: Value) => string | undefined,
  compare?: (a: Value, b: Value) => number,
): (map: ReadonlyMap<string, Value>) => ReadonlyMap<string, readonly Value[]> {
  let before: ReadonlyMap<string, readonly Value[]> = new Map()
  return keepLast((map) => {
    const groups = new Map<string, Value[]>()
    for (const value of map.values()) {
      const name = groupOf(value)
      if (name === undefined) continue
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [value])
      else group.push(value)
    }
    const kept = new Map<string, readonly Value[]>()
    for (const [name, group] of groups) {
      if (compare !== undefined && group.length > 1) group.sort(compare)
      const old = before.get(name)
      kept.set(name, old !== undefined && sameItems(old, group) ? old : group)
    }
    before = kept
    return kept
  })
}

/** The values of a map, sorted. */
export interface Sorted<Value> {
  /** The map's keys in the order of the values; the same list while no value comes, goes or moves. */
  readonly keys: readonly string[]
  readonly values: readonly Value[]
}

/** Sorts the values of a map. A value that takes the place of one that ranks like it costs no comparison but with that one. */
export function createSorting<Value>(compare: (a: Value, b: Value) => number): (map: ReadonlyMap<string, Value>) => Sorted<Value> {
  let last: Sorted<Value> = { keys: [], values: [] }
  return keepLast((map) => {
    const keys: string[] = []
    const values: Value[] = []
    for (const [at, key] of last.keys.entries()) {
      const value = map.get(key)
      const old = last.values[at] as Value
      if (value === undefined || (value !== old && compare(value, old) !== 0)) continue
      keys.push(key)
      values.push(value)
    }
    if (values.length === map.size) {
      last = { keys: keys.length === last.keys.length ? last.keys : keys, values }
      return last
    }
    const known = new Set(keys)
    const come = [...map].filter(([key]) => !known.has(key)).sort(([, one], [, other]) => compare(one, other))
    last = mergeSorted({ keys, values }, come, compare)
    return last
  })
}

function mergeSorted<Value>(stay: Sorted<Value>, come: readonly (readonly [string, Value])[], compare: (a: Value, b: Value) => number): Sorted<Value> {
  const keys: string[] = []
  const values: Value[] = []
  let at = 0
  for (const [key, value] of come) {
    let low = at
    let high = stay.values.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compare(stay.values[middle] as Value, value) <= 0) low = middle + 1
      else high = middle
    }
    for (; at < low; at++) {
      keys.push(stay.keys[at] as string)
      values.push(stay.values[at] as Value)
    }
    keys.push(key)
    values.push(value)
  }
  for (; at < stay.keys.length; at++) {
    keys.push(stay.keys[at] as string)
    values.push(stay.values[at] as Value)
  }
  return { keys, values }
}

/** What a reading may look things up in: functions of one key, whose answers stay the same objects while they mean the same. */
export type Lookups = Readonly<Record<string, (key: string) => unknown>>

/**
 * `compute`, asked again for an object only if something that it looked up last time is another one now.
 * It must take everything that it needs from its object and from `view`.
 * @param keep whether a new answer is as good as the last one, which then stays the same object
 */
export function createReading<Key extends WeakKey, View extends Lookups, Value>(
  compute: (object: Key, view: View) => Value,
  keep: (before: Value, now: Value) => boolean = () => false,
): (object: Key, view: View) => Value {
  interface Kept {
    /** Triples of lookup, key and answer. */
    readonly reads: readonly unknown[]
    readonly value: Value
  }
  const known = new WeakMap<Key, Kept>()
  const recorders = new WeakMap<View, View>()
  let reads: unknown[] = []
  const recorderOf = (view: View): View => {
    let recorder = recorders.get(view)
    if (recorder === undefined) {
      recorder = Object.fromEntries(
        Object.entries(view).map(([name, look]) => [
          name,
          (key: string) => {
            const answer = look(key)
            reads.push(name, key, answer)
            return answer
          },
        ]),
      ) as unknown as View
      recorders.set(view, recorder)
    }
    return recorder
  }
  const holds = (kept: Kept, view: View): boolean => {
    for (let at = 0; at < kept.reads.length; at += 3) {
      if (view[kept.reads[at] as string]?.(kept.reads[at + 1] as string) !== kept.reads[at + 2]) return false
    }
    return true
  }
  return (object, view) => {
    const kept = known.get(object)
    if (kept !== undefined && holds(kept, view)) return kept.value
    reads = []
    const computed = compute(object, recorderOf(view))
    const value = kept !== undefined && keep(kept.value, computed) ? kept.value : computed
    known.set(object, { reads, value })
    return value
  }
}

/**
 * Reads lists with `createReading`; what stands where it stood is not even looked up while everything in `basis` is the same.
 * @returns a function of the list, the view, all that the view's answers depend on, and whether something else touches an item
 */
export function createListReading<Key extends WeakKey, View extends Lookups, Value>(
  compute: (object: Key, view: View) => Value,
  keep?: (before: Value, now: Value) => boolean,
): (items: readonly Key[], view: View, basis: readonly unknown[], isTouched?: (item: Key) => boolean) => readonly Value[] {
  const read = createReading(compute, keep)
  let last: { readonly items: readonly Key[]; readonly values: readonly Value[]; readonly basis: readonly unknown[] } = { items: [], values: [], basis: [] }
  return (items, view, basis, isTouched) => {
    const same = sameItems(last.basis, basis)
    if (same && items === last.items && isTouched === undefined) return last.values
    const values = items.map((item, at) => (same && item === last.items[at] && isTouched?.(item) !== true ? (last.values[at] as Value) : read(item, view)))
    last = { items, basis, values: sameItems(values, last.values) ? last.values : values }
    return last.values
  }
}

/** `now`, or `before` if it has the same values under the same keys. */
export function keepMap<Value>(before: ReadonlyMap<string, Value>, now: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  if (before.size !== now.size) return now
  for (const [key, value] of now) if (before.get(key) !== value) return now
  return before
}
