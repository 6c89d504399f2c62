/** How good a match is, compared criterion by criterion; see `httpCriteria` and `grpcCriteria` for what each number means. */
export interface Rank {
  /** One number per criterion, the most important first; the larger wins. */
  readonly keys: readonly number[]
  /** Position of the rule in tie-break order (oldest route, `namespace/name`, rule), then of the match in its rule; the smaller wins. */
  readonly rule: number
  readonly match: number
}

/** Whether a path match is by value, by regular expression or by prefix: the first criterion of HTTP. */
export const pathRank = { exact: 2, regex: 1, prefix: 0 } as const

/**
 * What the keys of an HTTP rank compare, in words that fit after "loses: ".
 * Source: HTTPRoute "matches" precedence, Gateway API v1.6; that a regular expression ranks between exact and prefix is our choice.
 */
export const httpCriteria: readonly string[] = [
  'an exact path goes before a regular expression, and that before a prefix',
  'the longer path prefix goes first',
  'a match with a method goes first',
  'the match with more headers goes first',
  'the match with more query parameters goes first',
]

/** What the keys of a gRPC rank compare. Source: GRPCRoute "matches" precedence, Gateway API v1.6. */
export const grpcCriteria: readonly string[] = [
  'the match with more characters in the service goes first',
  'the match with more characters in the method goes first',
  'the match with more headers goes first',
]

const tieBreak = 'equal in everything else, the oldest route goes first, then namespace/name, then the rule in the route'

/** Sorts the better rank first: negative if `a` goes before `b`. Never 0 for two matches of one table. */
export function compareRanks(a: Rank, b: Rank): number {
  const decisive = decisiveKey(a, b)
  if (decisive !== undefined) return (b.keys[decisive] ?? 0) - (a.keys[decisive] ?? 0)
  return a.rule - b.rule || a.match - b.match
}

/** The rule of precedence by which `winner` goes before `loser`, in words. */
export function whyRanksLower(loser: Rank, winner: Rank, criteria: readonly string[]): string {
  const decisive = decisiveKey(loser, winner)
  if (decisive !== undefined) return criteria[decisive] ?? ''
  return loser.rule === winner.rule ? 'an earlier match of the same rule fits as well' : tieBreak
}

function decisiveKey(a: Rank, b: Rank): number | undefined {
  for (let at = 0; at < a.keys.length; at++) if (a.keys[at] !== b.keys[at]) return at
  return undefined
}
