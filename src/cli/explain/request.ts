import { callerOf, copyHead, requestHead } from '../../../waypoint/serve/forwarded.ts'
import { answerOfFilter } from '../../../waypoint/serve/respond.ts'
import { normaliseTarget } from '../../../waypoint/route/path.ts'
import { isSame } from '../../../waypoint/serve/choose.ts'
import type { Candidate, CompiledFilters, CompiledRule, LocalAnswer, RequestHead } from '../../../waypoint/compiled.ts'
import { formatSpiffeId } from '../../model/identity.ts'
import type { Filter, GrpcRule, HttpRule } from '../../model/route.ts'
import type { CompiledTable } from '../../../waypoint/config/runtime.ts'
import { commonAnswer, filterAnswer, ownEndpoints, reasonAnswer, ruleBackends } from './backends.ts'
import type { Case, Judgement } from './case.ts'
import type { ExplainedAnswer, ExplainedCandidate, ExplainedPolicy } from './explanation.ts'
import { judgeAtWaypoint, judgeBackend } from './policies.ts'
import { filterWords, persistenceWords, retryWords, timeoutWords } from './words.ts'

/** Judges a request as the waypoint does, step by step. */
export function explainRequest(each: Case): Judgement {
  const { config, caller, probe, resolved, waypointId } = each
  const { service, table } = resolved
  const nothing = { candidates: [], backends: [] } as const
  if (probe.head === undefined) return nothing
  const target = normaliseTarget(probe.head.target)
  if ('refused' in target) return { ...nothing, answer: reasonAnswer('malformed-request', target.refused, probe) }
  const head = requestHead(probe.head, target, callerOf(caller, formatSpiffeId(caller), waypointId), service.port.port)
  const match = table?.kind === 'request' ? table.table.find(head) : undefined
  const guarded = judgeAtWaypoint(service.guard, each, head, match)
  const policies = policiesOf(guarded.policies)
  const candidates = table?.kind === 'request' ? table.table.explain(head).map(explainedCandidate) : []
  if (guarded.answer !== undefined) return { candidates, backends: [], ...policies, answer: guarded.answer }
  if (table === undefined) {
    const own = ownEndpoints(service.self, config.endpointsOf(service.self)?.endpoints ?? [], probe)
    return { candidates, backends: [own], ...policies, ...answered(own.answer) }
  }
  if (table.kind !== 'request') return nothing
  if (match === undefined) return { candidates, backends: [], ...policies, answer: reasonAnswer('no-route', '', probe) }

  const { rule, prefix } = match
  const source = sourceOf(table, rule)
  const grpc = probe.protocol === 'grpc'
  const explain = (answer: LocalAnswer, by: readonly CompiledFilters[]): ExplainedAnswer => {
    const whole = answerOfFilter(answer, grpc)
    for (const filters of by) filters.onResponse(whole.headers, probe.head?.headers ?? [])
    return filterAnswer(whole, answer.reason)
  }
  const before = copyHead(head)
  const ruleAnswer = rule.filters.onRequest(head, prefix)
  const explainedRule = {
    route: routeName(rule.id), rule: rule.id.rule,
    filters: (source?.filters ?? []).map(filterWords),
    changes: ruleAnswer === undefined ? changesOf(before, head) : [],
    ...optional('timeouts', timeoutWords(rule.timeouts)),
    ...(rule.retry === undefined ? {} : { retry: retryWords(rule.retry) }),
    ...(rule.persistence === undefined ? {} : { persistence: persistenceWords(rule.persistence) }),
  }
  if (ruleAnswer !== undefined) return { candidates, rule: explainedRule, backends: [], ...policies, answer: explain(ruleAnswer, [rule.filters]) }

  const filtersOf = (at: number): readonly Filter[] => source?.backends[at]?.filters ?? []
  const elsewhere: ExplainedPolicy[] = []
  const backends = ruleBackends(rule, filtersOf, each, (backend) => {
    const changed = copyHead(head)
    const answer = backend.filters.onRequest(changed, prefix)
    const isSelf = backend.target.kind === 'service' && isSame(backend.target, service.self)
    const judged = isSelf && config.namespace === service.entry.namespace ? undefined : judgeBackend(backend.target, each, changed)
    elsewhere.push(...(judged?.policies ?? []))
    return answer === undefined ? { changes: changesOf(head, changed), answer: judged?.answer } : { changes: [], answer: explain(answer, [backend.filters, rule.filters]) }
  })
  const answer = rule.pickBackend() === undefined ? reasonAnswer('no-backend', '', probe) : commonAnswer(backends)
  return { candidates, rule: explainedRule, backends, ...policiesOf([...guarded.policies, ...elsewhere]), ...answered(answer) }
}

/** A candidate in words. */
export function explainedCandidate({ id, match, verdict, why }: Candidate): ExplainedCandidate {
  return { route: routeName(id), rule: id.rule, match, verdict, why }
}

/** `HTTPRoute books/reviews` */
export function routeName({ routeKind, namespace, name }: Candidate['id']): string {
  return `${routeKind} ${namespace}/${name}`
}

/** The rule as the configuration has it: compiled rules keep their ids. */
function sourceOf(table: CompiledTable, rule: CompiledRule): HttpRule | GrpcRule | undefined {
  const { routes } = table.entry
  return routes.protocol === 'http' || routes.protocol === 'grpc' ? [...routes.rules].find(({ id }) => id === rule.id) : undefined
}

/** What filters changed, in words. */
function changesOf(before: RequestHead, after: RequestHead): readonly string[] {
  const changes: string[] = []
  if (before.path + before.query !== after.path + after.query) changes.push(`path ${before.path}${before.query} becomes ${after.path}${after.query}`)
  if (before.authority !== after.authority) changes.push(`host ${before.authority} becomes ${after.authority}`)
  const old = linesOf(before)
  const now = linesOf(after)
  for (const line of now) if (!old.includes(line)) changes.push(`header ${line}`)
  const names = new Set(now.map(nameOf))
  for (const line of old) if (!names.has(nameOf(line))) changes.push(`header ${nameOf(line)} is removed`)
  return changes
}

function linesOf({ headers }: RequestHead): readonly string[] {
  return headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${headers[at + 1] ?? ''}`] : []))
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf(':'))
}

/** Each once: several backends may be guarded alike. */
function policiesOf(policies: readonly ExplainedPolicy[]): { readonly policies?: readonly ExplainedPolicy[] } {
  const unique = [...new Map(policies.map((each) => [JSON.stringify(each), each])).values()]
  return unique.length === 0 ? {} : { policies: unique }
}

function answered(answer: ExplainedAnswer | undefined): { readonly answer?: ExplainedAnswer } {
  return answer === undefined ? {} : { answer }
}

function optional<K extends string>(key: K, value: string): Partial<Record<K, string>> {
  return value === '' ? {} : ({ [key]: value } as Record<K, string>)
}
