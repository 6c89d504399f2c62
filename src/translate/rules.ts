import { patternProblem } from '../kit/regex.ts'
import type { RuleId } from '../model/route.ts'
import type { Mesh } from './mesh.ts'
import { parseDuration } from './duration.ts'

/** A reference of a route that can not be used. */
export interface Problem {
  readonly reason: 'BackendNotFound' | 'InvalidKind' | 'RefNotPermitted' | 'UnsupportedProtocol'
  readonly message: string
}

/** A rule while it is compiled: what it may look at, and where it says what is wrong with it. */
export interface RuleDraft {
  readonly mesh: Mesh
  readonly id: RuleId
  /** `namespace/name:port` of the Service ports that the route itself is attached to. */
  readonly ownPorts: ReadonlySet<string>
  /** Why the rule can not be honoured at all: it is dropped. */
  readonly faults: string[]
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

/** Compiles the rules of a route one by one; a rule with a fault is left out, the others keep their position in `id`. */
export function compileRules<Spec, Rule>(
  mesh: Mesh,
  route: Omit<RuleId, 'rule'>,
  ownPorts: ReadonlySet<string>,
  specs: readonly Spec[],
  compile: (draft: RuleDraft, spec: Spec) => Rule,
): CompiledRoute<Rule> {
  const rules: Rule[] = []
  const dropped: string[] = []
  const problems: Problem[] = []
  for (const [index, spec] of specs.entries()) {
    const draft: RuleDraft = { mesh, id: { ...route, rule: index }, ownPorts, faults: [], problems }
    const rule = compile(draft, spec)
    if (draft.faults.length === 0) rules.push(rule)
    else dropped.push(`rule ${index}: ${draft.faults.join(', ')}`)
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
  if (ms === undefined) draft.faults.push(`${field} "${text}" is not a duration like 10s or 1m30s`)
  return ms
}

/** Checks that RE2 takes a pattern; one that it refuses is a fault. */
export function checkPattern(draft: RuleDraft, field: string, pattern: string): void {
  const wrong = patternProblem(pattern)
  if (wrong !== undefined) draft.faults.push(`${field} "${pattern}" is not an RE2 regular expression (${wrong})`)
}
