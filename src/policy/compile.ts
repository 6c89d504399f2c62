import { entryKey } from '../model/entries.ts'
import type { PolicyAction, PolicyEntry, PolicyRule } from '../model/policy.ts'
import type { Attributes, Certainty } from './attributes.ts'
import { compileOperation, isHttp } from './operation.ts'
import { compileSource, type Test } from './source.ts'

/** What becomes of a connection or a request. */
export interface Verdict {
  readonly allowed: boolean
  /** `namespace/name` of the policy that decided; '' if none did: none is there, or none allows it. */
  readonly policy: string
  /** In words, for logs; never told to the caller in more detail than its own identity. */
  readonly reason: string
  /** `namespace/name` of the Audit policies that match, in order; they change nothing. */
  readonly audit: readonly string[]
}

/** Policies that guard one destination, ready to judge. */
export interface Judge {
  readonly judge: (attributes: Attributes) => Verdict
  /** Every policy with what it says of this, in the order in which they count. */
  readonly explain: (attributes: Attributes) => readonly PolicyFinding[]
}

/** What one policy says of a connection or a request. */
export interface PolicyFinding {
  readonly policy: string
  readonly action: PolicyAction
  /** Position of the first rule that matches; undefined: none does. */
  readonly rule: number | undefined
  /** Whether it decided. */
  readonly decides: boolean
}

export interface GuardingPolicy {
  readonly entry: PolicyEntry
  /** `partial`: see `ServiceGuard.partial`; `route`: see `PortGuard.routePolicies`. */
  readonly scope?: 'partial' | 'route'
}

interface CompiledPolicy {
  readonly name: string
  readonly action: PolicyAction
  readonly partial: boolean
  readonly rules: readonly Test[]
  /** One for each rule, so that judging makes no objects. */
  readonly verdicts: readonly Verdict[]
}

const nothing: readonly string[] = []
const unguarded: Verdict = { allowed: true, policy: '', reason: '', audit: nothing }
const notAllowed: Verdict = { allowed: false, policy: '', reason: 'no Allow policy matches', audit: nothing }

/** Whether one of a policy's rules can be judged only where requests are read. */
export function needsRequests({ rules }: Pick<PolicyEntry, 'rules'>): boolean {
  return rules.some((rule) => rule.to?.some(isHttp) === true)
}

/**
 * Compiles policies. The order of `policies` does not matter: a Deny that matches denies; else, if there is any Allow policy, one of them
 * must match. Audit policies are only told of.
 */
export function compilePolicies(policies: readonly GuardingPolicy[]): Judge {
  const sorted = policies.map(compilePolicy).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const of = (action: PolicyAction): readonly CompiledPolicy[] => sorted.filter((each) => each.action === action)
  const [denies, allows, audits] = [of('deny'), of('allow'), of('audit')]
  const closed = allows.some(({ partial }) => !partial)

  const decide = (attributes: Attributes): Verdict => {
    for (const policy of denies) {
      const rule = firstRule(policy, attributes)
      if (rule !== -1) return policy.verdicts[rule] ?? notAllowed
    }
    for (const policy of allows) {
      const rule = firstRule(policy, attributes)
      if (rule !== -1) return policy.verdicts[rule] ?? unguarded
    }
    return closed ? notAllowed : unguarded
  }
  return {
    judge: (attributes) => {
      const verdict = decide(attributes)
      if (audits.length === 0) return verdict
      const audit = audits.filter((policy) => firstRule(policy, attributes) !== -1).map(({ name }) => name)
      return audit.length === 0 ? verdict : { ...verdict, audit }
    },
    explain: (attributes) => {
      const { policy: decisive } = decide(attributes)
      return [...denies, ...allows, ...audits].map((policy) => {
        const rule = firstRule(policy, attributes)
        return { policy: policy.name, action: policy.action, rule: rule === -1 ? undefined : rule, decides: policy.action !== 'audit' && policy.name === decisive }
      })
    },
  }
}

function firstRule({ rules }: CompiledPolicy, attributes: Attributes): number {
  for (let at = 0; at < rules.length; at++) if (rules[at]?.(attributes) === true) return at
  return -1
}

function compilePolicy({ entry, scope }: GuardingPolicy): CompiledPolicy {
  const { namespace, name, action, rules } = entry
  const certainty = action === 'allow' ? 'surely' : 'possibly'
  return {
    name: `${namespace}/${name}`,
    action,
    partial: scope === 'partial',
    rules: rules.map((rule) => {
      const test = compileRule(rule, certainty)
      // As with requests that can not be read, it counts against the caller that the route is not known.
      return scope === 'route' ? (attributes) => (certainty === 'surely') === (attributes.judgedByWaypoint === true) && test(attributes) : test
    }),
    verdicts: rules.map((_, at) => ({
      allowed: action === 'allow', policy: `${namespace}/${name}`, reason: `rule ${at} of ${entryKey(entry)} matches`, audit: nothing,
    })),
  }
}

function compileRule({ from, to, broken }: PolicyRule, certainty: Certainty): Test {
  if (broken === true) return () => certainty === 'possibly'
  const sources = from?.map((source) => compileSource(source, certainty))
  const operations = to?.map((operation) => compileOperation(operation, certainty))
  return (attributes) =>
    (sources === undefined || sources.some((test) => test(attributes))) && (operations === undefined || operations.some((test) => test(attributes)))
}
