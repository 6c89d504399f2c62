import { show } from '../api/field.ts'
import { patternProblem } from '../kit/regex.ts'
import type { RuleId } from '../model/route.ts'
import { sentences } from './conditions.ts'
import { parseDuration } from './duration.ts'
import type { Mesh } from './mesh.ts'
import { patternCost } from './pattern-cost.ts'

/** A reference of a route that can not be used. */
export interface Problem {
  readonly reason: 'BackendNotFound' | 'InvalidKind' | 'RefNotPermitted' | 'UnsupportedProtocol'
  readonly message: string
}

/** Keeps one route from costing everybody seconds: its patterns are compiled here, to see whether they are good, and at the waypoint. */
export interface PatternBudget {
  readonly seen: Set<string>
  left: number
}

/** Steps of one pattern's program, and of all distinct patterns of a route. Usual patterns have some dozens. */
const mostSteps = 10_000
const mostStepsOfRoute = 50_000
/** Faults of a rule after which its patterns are not looked at any more. */
const mostFaults = 10

/** `namespace/name:port` of the Service ports that a route itself is attached to. */
export type OwnPorts = Pick<ReadonlySet<string>, 'has'>

/** A rule while it is compiled: what it may look at, and where it says what is wrong with it. */
export interface RuleDraft {
  readonly mesh: Mesh
  readonly id: RuleId
  readonly ownPorts: OwnPorts
  /** Why the rule can not be honoured at all: it is dropped. */
  readonly faults: string[]
  /** What the patterns of the route may still cost; shared by its rules. */
  readonly patterns: PatternBudget
  /** References that do not resolve: the rule stays and answers for them. */
  readonly problems: Problem[]
}

/** The rules of one route. */
export interface CompiledRoute<Rule> {
  readonly rules: readonly Rule[]
  /** One sentence for each rule that was dropped. */
  readonly dropped: readonly string[]
  readonly problems: readonly Problem[]
}

/** What the patterns of one route or policy may cost together. */
export function patternBudget(): PatternBudget {
  return { seen: new Set(), left: mostStepsOfRoute }
}

/** Compiles the rules of a route one by one; a rule with a fault is left out, the others keep their position in `id`. */
export function compileRules<Spec, Rule>(
  mesh: Mesh,
  route: Omit<RuleId, 'rule'>,
  ownPorts: OwnPorts,
  specs: readonly Spec[],
  compile: (draft: RuleDraft, spec: Spec) => Rule,
): CompiledRoute<Rule> {
  const rules: Rule[] = []
  const dropped: string[] = []
  const problems: Problem[] = []
  const patterns = patternBudget()
  for (const [index, spec] of specs.entries()) {
    const draft: RuleDraft = { mesh, id: { ...route, rule: index }, ownPorts, faults: [], patterns, problems }
    const rule = compile(draft, spec)
    if (draft.faults.length === 0) rules.push(rule)
    else dropped.push(`rule ${index}: ${sentences(draft.faults, ', ')}`)
  }
  return { rules, dropped, problems }
}

/** Notes a reference of this rule that can not be used. */
export function problem(draft: RuleDraft, reason: Problem['reason'], message: string): void {
  draft.problems.push({ reason, message: `rule ${draft.id.rule}: ${message}` })
}

/** Reads a duration of this rule; one that can not be read is a fault. @returns milliseconds; undefined if it is absent */
export function durationOf(draft: RuleDraft, field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(text)
  if (ms === undefined) draft.faults.push(`${field} ${show(text)} is not a duration like 10s or 1m30s`)
  return ms
}

/** Checks that RE2 takes a pattern; one that it refuses is a fault. */
export function checkPattern(draft: Pick<RuleDraft, 'faults' | 'patterns'>, field: string, pattern: string): void {
  const { seen } = draft.patterns
  // A rule with so many faults is dropped whatever comes, and nobody reads of more.
  if (seen.has(pattern) || draft.faults.length > mostFaults) return
  const steps = patternCost(pattern)
  if (steps > mostSteps) {
    draft.faults.push(`${field} ${show(pattern)} is too large a regular expression (about ${steps} steps, at most ${mostSteps}): use lower numbers in {}`)
    return
  }
  if (steps > draft.patterns.left) {
    draft.faults.push(`${field}: the regular expressions of this object are too large together (at most ${mostStepsOfRoute} steps): use several`)
    return
  }
  draft.patterns.left -= steps
  const wrong = patternProblem(pattern)
  if (wrong === undefined) seen.add(pattern)
  else draft.faults.push(`${field} ${show(pattern)} is not an RE2 regular expression (${wrong.slice(0, 200)})`)
}
