import type { GrpcRule, HttpRule, RuleId } from '../../src/model/route.ts'
import type { Candidate, CompiledRule, RequestHead, RequestTable } from '../compiled.ts'
import { createBucket, fits, type Bucket, type TableEntry } from './bucket.ts'
import { compileGrpcMatch, compileHttpMatch, type CompiledMatch } from './match.ts'
import { compareRanks, grpcCriteria, httpCriteria, whyRanksLower } from './precedence.ts'
import { createPrefixTree } from './prefix-tree.ts'
import { compileRule } from './rule.ts'

/**
 * Compiles the merged HTTPRoutes of one level on one Service port. All (rule, match) pairs are ranked once; a request is looked up by
 * exact path, then tried on the regular expressions, then on the prefixes from the longest.
 * @param rules in tie-break order
 * Source: HTTPRoute "matches" precedence, Gateway API v1.6.
 */
export function compileHttpTable(rules: readonly HttpRule[]): RequestTable {
  const entries = rank(rules.map((rule) => ({ rule: compileRule(rule), matches: rule.matches.map(compileHttpMatch) })))
  const exact = exactIndex(entries)
  const scan = createBucket(entries.filter((each) => each.match.pathKey.kind === 'scan'))
  const prefixes = createPrefixTree(entries.filter((each) => each.match.pathKey.kind === 'prefix'))
  // The three kinds rank strictly one after the other, so the first that finds something has the best.
  const find = (head: RequestHead): TableEntry | undefined => exact.get(head.path)?.(head) ?? scan(head) ?? prefixes(head)
  return requestTable(entries, find, httpCriteria)
}

/**
 * Compiles the merged GRPCRoutes of one level on one Service port.
 * @param rules in tie-break order
 * Source: GRPCRoute "matches" precedence, Gateway API v1.6.
 */
export function compileGrpcTable(rules: readonly GrpcRule[]): RequestTable {
  const entries = rank(rules.map((rule) => ({ rule: compileRule(rule), matches: rule.matches.map(compileGrpcMatch) })))
  const exact = exactIndex(entries)
  const scan = createBucket(entries.filter((each) => each.match.pathKey.kind === 'scan'))
  // A long regular expression may rank before an exact name: the better of the two has to be found.
  const find = (head: RequestHead): TableEntry | undefined => better(exact.get(head.path)?.(head), scan(head))
  return requestTable(entries, find, grpcCriteria)
}

interface RankedRule {
  readonly rule: CompiledRule
  readonly matches: readonly CompiledMatch[]
}

function rank(rules: readonly RankedRule[]): readonly TableEntry[] {
  return rules
    .flatMap(({ rule, matches }, ruleAt) =>
      matches.map((match, matchAt) => ({
        rank: { keys: match.keys, rule: ruleAt, match: matchAt },
        match,
        result: { rule, prefix: match.prefix },
      })),
    )
    .sort((a, b) => compareRanks(a.rank, b.rank))
    .map((each, position) => ({ ...each, position }))
}

function exactIndex(entries: readonly TableEntry[]): ReadonlyMap<string, Bucket> {
  const byPath = new Map<string, TableEntry[]>()
  for (const entry of entries) {
    if (entry.match.pathKey.kind !== 'exact') continue
    const same = byPath.get(entry.match.pathKey.path)
    if (same === undefined) byPath.set(entry.match.pathKey.path, [entry])
    else same.push(entry)
  }
  return new Map([...byPath].map(([path, same]) => [path, createBucket(same)]))
}

function better(a: TableEntry | undefined, b: TableEntry | undefined): TableEntry | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a.position < b.position ? a : b
}

function requestTable(entries: readonly TableEntry[], find: Bucket, criteria: readonly string[]): RequestTable {
  return {
    find: (head) => find(head)?.result,
    explain: (head) => {
      const winner = find(head)
      return entries.map((entry) => explainEntry(entry, winner, head, criteria))
    },
  }
}

function explainEntry(entry: TableEntry, winner: TableEntry | undefined, head: RequestHead, criteria: readonly string[]): Candidate {
  const id: RuleId = entry.result.rule.id
  const match = entry.match.words
  if (entry === winner) return { id, match, verdict: 'won', why: 'the first in order of precedence that fits' }
  if (winner !== undefined && fits(entry, head)) {
    return { id, match, verdict: 'matches, but ranks lower', why: whyRanksLower(entry.rank, winner.rank, criteria) }
  }
  const failed = entry.match.conditions.find((each) => !each.test(head))
  const why = failed === undefined ? '' : `wants ${failed.words}, the request has ${failed.actual(head)}`
  return { id, match, verdict: 'no match', why }
}
