import { RE2JS } from 're2js'
import { messageOf } from './message.ts'

/** A regular expression from a user's manifest, ready to run. */
export interface Pattern {
  /** As the user wrote it. */
  readonly source: string
  /** Whether the whole of `value` matches. Time grows with the length of `value` only: RE2 never backtracks. */
  readonly test: (value: string) => boolean
}

/** A pattern that RE2 does not accept. */
export class PatternError extends Error {
  readonly code = 'invalid-pattern'
  readonly source: string
  /** What the reader can do next. */
  readonly advice =
    'use RE2 syntax (no look-around, no back-references); the pattern always matches the whole value, so it needs no ^ and $'
  constructor(source: string, message: string) {
    super(message)
    this.source = source
  }
}

/** Distinct patterns that stay compiled; the one compiled first is forgotten first. */
const maxCached = 10_000
const cache = new Map<string, Pattern>()

/**
 * Compiles a user's pattern, anchored as `^(?:…)$`; the same source is compiled once.
 * @throws PatternError if RE2 does not accept it
 * Source: RE2 syntax, https://github.com/google/re2/wiki/Syntax.
 */
export function compilePattern(source: string): Pattern {
  const known = cache.get(source)
  if (known !== undefined) return known
  const compiled = compileAnchored(source)
  const pattern: Pattern = { source, test: (value) => compiled.test(value) }
  if (cache.size >= maxCached) for (const oldest of cache.keys()) if (cache.delete(oldest)) break
  cache.set(source, pattern)
  return pattern
}

const verdicts = new Map<string, string | undefined>()

/**
 * What is wrong with `source` as a pattern, in words; undefined if it is good. Only the verdict is kept: a compiled pattern may take a
 * hundred kilobytes, and whoever only asks will never run it.
 */
export function patternProblem(source: string): string | undefined {
  if (verdicts.has(source)) return verdicts.get(source)
  let verdict: string | undefined
  try {
    compileAnchored(source)
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    verdict = error.message
  }
  if (verdicts.size >= maxCached) for (const oldest of verdicts.keys()) if (verdicts.delete(oldest)) break
  verdicts.set(source, verdict)
  return verdict
}

function compileAnchored(source: string): RE2JS {
  try {
    // By itself first: `a)|(b` closes our group and would be a valid, but different, anchored pattern.
    RE2JS.compile(source)
    return RE2JS.compile(`^(?:${source})$`)
  } catch (error) {
    throw new PatternError(source, messageOf(error))
  }
}
