import type { HeaderEdits } from '../../src/model/route.ts'
import type { HeaderList } from '../exchange.ts'
import { addHeader, removeHeader, setHeader } from '../route/headers.ts'

/**
 * What belongs to one connection or frames one message, and is written by the protocol code alone: a filter that could touch these
 * could make two parties see different messages. Source: RFC 9110 §7.6.1, RFC 9112 §6.
 */
const framing: ReadonlySet<string> = new Set([
  'connection', 'content-length', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
])

const token = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Compiles header edits; they run in the order set, add, remove. Edits of framing, hop-by-hop and pseudo-headers, of `alsoProtected`
 * and such that are no valid header are left out: translation has reported them.
 * @returns undefined if nothing is left
 */
export function compileEdits(edits: HeaderEdits, alsoProtected?: string): ((headers: HeaderList) => void) | undefined {
  const allowed = (name: string): boolean => token.test(name) && !framing.has(name) && name !== alsoProtected
  const valid = (pairs: HeaderEdits['set']): (readonly [name: string, value: string])[] =>
    pairs
      .map(([name, value]) => [name.toLowerCase(), value.trim()] as const)
      .filter(([name, value]) => allowed(name) && fieldValue.test(value))
  const set = valid(edits.set)
  const add = valid(edits.add)
  const remove = edits.remove.map((each) => each.toLowerCase()).filter(allowed)
  if (set.length + add.length + remove.length === 0) return undefined
  return (headers) => {
    for (const [name, value] of set) setHeader(headers, name, value)
    for (const [name, value] of add) addHeader(headers, name, value)
    for (const name of remove) removeHeader(headers, name)
  }
}
