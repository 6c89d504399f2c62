import { hash } from 'node:crypto'
import type { Entry, EntryKey } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'

const modulus = 1n << 256n

/** What an entry adds to a slice. */
interface Share {
  readonly digest: bigint
  /** Of its JSON. */
  readonly bytes: number
}

/** A rule's part of that: the tables of a thousand Services may hold the very same rules. */
interface RuleShare {
  readonly digest: string
  readonly bytes: number
}

const shares = new WeakMap<Entry, Share>()
const ruleShares = new WeakMap<object, RuleShare>()

/** The hash of an empty slice, as a number. */
export const emptySum = 0n

/** SHA-256 over key and canonical JSON, where rules count by their own hashes. Reckoned once for each entry and rule object. */
function shareOf(key: EntryKey, entry: Entry): Share {
  let found = shares.get(entry)
  if (found === undefined) {
    const rules: readonly RuleShare[] = entry.kind === 'routes' ? entry.routes.rules.map(shareOfRule) : []
    const own = `${key}\n${canonical(entry.kind === 'routes' ? { ...entry, routes: { ...entry.routes, rules: [] } } : entry)}`
    const text = rules.length === 0 ? own : `${own}\n${rules.map(({ digest }) => digest).join('\n')}`
    found = { digest: BigInt(`0x${hash('sha256', text, 'hex')}`), bytes: rules.reduce((sum, { bytes }) => sum + bytes + 1, Buffer.byteLength(own)) }
    shares.set(entry, found)
  }
  return found
}

function shareOfRule(rule: object): RuleShare {
  let found = ruleShares.get(rule)
  if (found === undefined) {
    const text = canonical(rule)
    found = { digest: hash('sha256', text, 'hex'), bytes: Buffer.byteLength(text) }
    ruleShares.set(rule, found)
  }
  return found
}

/** About how many bytes an entry has in a message. */
export function bytesOf(key: EntryKey, entry: Entry): number {
  return shareOf(key, entry).bytes + 6
}

/**
 * The hash of a slice after one of its entries was replaced.
 * Digests are added modulo 2²⁵⁶: the order does not matter, one change costs one addition, and whoever can choose entries
 * can only fool their own namespace's readiness with a collision.
 * @param before, after undefined: not there
 */
export function replaceInSum(sum: bigint, key: EntryKey, before: Entry | undefined, after: Entry | undefined): bigint {
  const removed = before === undefined ? 0n : shareOf(key, before).digest
  const added = after === undefined ? 0n : shareOf(key, after).digest
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
