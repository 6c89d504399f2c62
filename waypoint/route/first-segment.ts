import type { RequestHead } from '../compiled.ts'
import type { Lookup } from './lookup.ts'

/**
 * What a path pattern says for certain about the first segment of every path that it matches: `/orders/v[0-9]+` only matches paths
 * that begin with `/orders/`. Patterns are indexed by it, so that few are tried for each request.
 * @param source a pattern that RE2 accepts
 * @returns undefined if the pattern does not begin with a literal segment, or if that is hard to tell
 */
export function firstSegmentLookup(source: string): Lookup | undefined {
  // What stands for nothing (flags, an empty quotation) passes a repetition on to the slash before it: `/a/(?i)?` matches `/a`.
  if (/\(\?[^:P<]|\\Q/.test(source) || alternatesAtTop(source)) return undefined
  const literal = /^\^?(\/[A-Za-z0-9_~-]+\/)(?![*?+{])/.exec(source)?.[1]
  return literal === undefined ? undefined : { id: 'first segment', read: firstSegment, value: literal }
}

/** `/a/` of `/a/b`; undefined if the path has no second slash. */
function firstSegment(head: RequestHead): string | undefined {
  const slash = head.path.indexOf('/', 1)
  return slash === -1 ? undefined : head.path.slice(0, slash + 1)
}

/** Whether a `|` stands outside all groups; true too where telling would need a parser (quotations, classes with brackets). */
function alternatesAtTop(pattern: string): boolean {
  // Plain classes hold no brackets; one character in their place reads the same.
  const source = pattern.replace(/\[\^?[\w./~-]+\]/g, 'x')
  const last = source.lastIndexOf('|')
  if (/\[|\\Q/.test(source.slice(0, last + 1))) return true
  let depth = 0
  for (let at = 0; at <= last; at++) {
    const each = source.charAt(at)
    if (each === '\\') at += 1
    else if (each === '(') depth += 1
    else if (each === ')') depth -= 1
    else if (each === '|' && depth === 0) return true
  }
  return false
}
