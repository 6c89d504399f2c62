import type { RequestHead, RuleMatch } from '../compiled.ts'
import type { Lookup } from './lookup.ts'
import type { CompiledMatch } from './match.ts'
import type { Rank } from './precedence.ts'

/** One match of one rule in a table. */
export interface TableEntry {
  /** Place among all entries of the table, best first, from 0. */
  readonly position: number
  readonly rank: Rank
  readonly match: CompiledMatch
  readonly result: RuleMatch
}

/** Gives the first entry, by position, that fits. */
export type Bucket = (head: RequestHead) => TableEntry | undefined

/** Entries that are told apart by one value of the request; each list by position. */
interface Lane {
  readonly read: Lookup['read']
  readonly entries: ReadonlyMap<string, readonly TableEntry[]>
}

/** Up to here, trying one after the other costs no more than looking up. */
const smallBucket = 8

/** Whether every condition of the entry fits. */
export function fits(entry: TableEntry, head: RequestHead): boolean {
  for (const condition of entry.match.conditions) if (!condition.test(head)) return false
  return true
}

/**
 * Prepares a search over entries that share a place in the index of paths. Large buckets are indexed again by the values that their
 * entries compare for equality (a header, a query parameter, the method), so that a thousand tenants told apart by one header cost
 * as much as one.
 * @param entries by position
 */
export function createBucket(entries: readonly TableEntry[]): Bucket {
  if (entries.length <= smallBucket) return (head) => firstFit(entries, head, undefined)
  const { lanes, others } = splitIntoLanes(entries)
  return (head) => {
    let best = firstFit(others, head, undefined)
    for (const lane of lanes) {
      const value = lane.read(head)
      const candidates = value === undefined ? undefined : lane.entries.get(value)
      if (candidates !== undefined) best = firstFit(candidates, head, best) ?? best
    }
    return best
  }
}

/** @returns the first entry that fits and stands before `best` */
function firstFit(entries: readonly TableEntry[], head: RequestHead, best: TableEntry | undefined): TableEntry | undefined {
  for (const entry of entries) {
    if (best !== undefined && entry.position > best.position) return undefined
    if (fits(entry, head)) return entry
  }
  return undefined
}

function splitIntoLanes(entries: readonly TableEntry[]): { lanes: readonly Lane[]; others: readonly TableEntry[] } {
  const values = new Map<string, Set<string>>()
  for (const entry of entries) for (const { id, value } of lookupsOf(entry)) values.set(id, (values.get(id) ?? new Set()).add(value))
  const lanes = new Map<string, { read: Lookup['read']; entries: Map<string, TableEntry[]> }>()
  const others: TableEntry[] = []
  for (const entry of entries) {
    // The value that tells most entries apart.
    let chosen: Lookup | undefined
    for (const each of lookupsOf(entry)) {
      if (chosen === undefined || (values.get(each.id)?.size ?? 0) > (values.get(chosen.id)?.size ?? 0)) chosen = each
    }
    if (chosen === undefined) {
      others.push(entry)
      continue
    }
    const lane = lanes.get(chosen.id) ?? { read: chosen.read, entries: new Map<string, TableEntry[]>() }
    lanes.set(chosen.id, lane)
    const same = lane.entries.get(chosen.value)
    if (same === undefined) lane.entries.set(chosen.value, [entry])
    else same.push(entry)
  }
  return { lanes: [...lanes.values()], others }
}

function lookupsOf(entry: TableEntry): Lookup[] {
  return entry.match.conditions.map((each) => each.lookup).filter((each) => each !== undefined)
}
