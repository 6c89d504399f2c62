import { hash } from 'node:crypto'
import type { Entry, EntryKey } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'

const modulus = 1n << 256n
const digests = new WeakMap<Entry, bigint>()

/** The hash of an empty slice, as a number. */
export const emptySum = 0n

/** What an entry adds to the hash of a slice: SHA-256 over its key and its canonical JSON. Reckoned once for each entry object. */
function digest(key: EntryKey, entry: Entry): bigint {
  let found = digests.get(entry)
  if (found === undefined) {
    found = BigInt(`0x${hash('sha256', `${key}\n${canonical(entry)}`, 'hex')}`)
    digests.set(entry, found)
  }
  return found
}

/**
 * The hash of a slice after one of its entries was replaced.
 * Digests are added modulo 2²⁵⁶: the order does not matter, one change costs one addition, and whoever can choose entries
 * can only fool their own namespace's readiness with a collision.
 * @param before, after undefined: not there
 */
export function replaceInSum(sum: bigint, key: EntryKey, before: Entry | undefined, after: Entry | undefined): bigint {
  const removed = before === undefined ? 0n : digest(key, before)
  const added = after === undefined ? 0n : digest(key, after)
  return (sum - removed + added + modulus) % modulus
}

/** A sum as it travels: 64 hexadecimal digits. */
export function formatSum(sum: bigint): string {
  return sum.toString(16).padStart(64, '0')
}

/** The hash of a whole slice, from nothing. The same in every process that has the same entries, whatever their order. */
export function hashOf(slice: Snapshot): string {
  let sum = emptySum
  for (const [key, entry] of slice) sum = replaceInSum(sum, key, undefined, entry)
  return formatSum(sum)
}

/** JSON with keys in order; what JSON leaves out is left out. The first snapshot of a large cluster goes through here whole: no lists in between. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  let text = ''
  if (Array.isArray(value)) {
    for (const each of value as readonly unknown[]) text += `${text === '' ? '' : ','}${each === undefined ? 'null' : canonical(each)}`
    return `[${text}]`
  }
  const fields = value as Readonly<Record<string, unknown>>
  for (const key of Object.keys(fields).sort()) {
    const each = fields[key]
    if (each !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonical(each)}`
  }
  return `{${text}}`
}
