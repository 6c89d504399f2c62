import { answerOf, type Answer } from '../../../waypoint/serve/respond.ts'
import { candidatesOf } from '../../../waypoint/backends/balance.ts'
import type { RuntimeConfig } from '../../../waypoint/config/runtime.ts'
import type { CompiledRule } from '../../../waypoint/compiled.ts'
import type { Endpoint } from '../../model/entries.ts'
import { reason, type ReasonCode } from '../../model/reasons.ts'
import type { BackendTarget, Filter } from '../../model/route.ts'
import type { ExplainedAnswer, ExplainedBackend } from './explanation.ts'
import type { Probe } from './probe.ts'
import { filterWords, round, targetWords } from './words.ts'

type ServiceTarget = Extract<BackendTarget, { readonly kind: 'service' }>

/** A row of the reason table as a waypoint gives it to the caller of `probe`. */
export function reasonAnswer(code: ReasonCode, detail: string, { protocol }: Pick<Probe, 'protocol'>): ExplainedAnswer {
  const { message, advice } = reason(code)
  const text = { reason: code, message: detail === '' ? message : `${message}: ${detail}`, advice }
  if (protocol === 'tls' || protocol === 'tcp') return text
  const { status, grpcStatus } = answerOf({ code, detail }, protocol === 'grpc')
  return { status, ...(grpcStatus === undefined ? {} : { grpcStatus }), ...text }
}

/** The same as an entry gives it: to a request, or to the CONNECT of a connection; it never looks whether that is gRPC. */
export function entryAnswer(code: ReasonCode, detail: string): ExplainedAnswer {
  return reasonAnswer(code, detail, { protocol: 'http' })
}

/** An answer of a filter: a redirect, a preflight, or a filter that can't be resolved. */
export function filterAnswer(answer: Answer, code: ReasonCode | undefined): ExplainedAnswer {
  const headers: Record<string, string> = {}
  for (let at = 0; at < answer.headers.length; at += 2) headers[answer.headers[at] ?? ''] = answer.headers[at + 1] ?? ''
  const status = { status: answer.status, ...(answer.grpcStatus === undefined ? {} : { grpcStatus: answer.grpcStatus }), headers }
  if (code === undefined) return { ...status, message: 'a filter of the rule answers', advice: '' }
  const { message, advice } = reason(code)
  return { ...status, reason: code, message, advice }
}

/** A Service's own endpoints, where no route is attached. */
export function ownEndpoints(target: ServiceTarget, endpoints: readonly Endpoint[], probe: Pick<Probe, 'protocol'>): ExplainedBackend {
  return withEndpoints({ target: targetWords(target), weight: 1, sharePercent: 100, filters: [], changes: [] }, target, endpoints, probe)
}

/** What a backend of a rule adds to a request: only the request's own judge knows. */
export type BackendEffect = (backend: CompiledRule['backends'][number]) => Pick<ExplainedBackend, 'changes'> & { readonly answer?: ExplainedAnswer | undefined }

/** The backends of the rule that won, each with its share. */
export function ruleBackends(
  rule: CompiledRule,
  filtersOf: (at: number) => readonly Filter[],
  { config, probe }: { readonly config: RuntimeConfig; readonly probe: Probe },
  effect: BackendEffect = () => ({ changes: [] }),
): readonly ExplainedBackend[] {
  const sum = rule.backends.reduce((total, { weight }) => total + weight, 0)
  return rule.backends.map((backend, at) => {
    const { target, weight } = backend
    const { changes, answer } = effect(backend)
    const part = {
      target: targetWords(target), weight,
      sharePercent: sum === 0 ? 0 : round((100 * weight) / sum),
      filters: filtersOf(at).map(filterWords), changes,
    }
    if (target.kind === 'invalid') return { ...part, endpoints: [], answer: reasonAnswer(target.reason, target.detail, probe) }
    const explained = withEndpoints(part, target, config.endpointsOf(target)?.endpoints ?? [], probe)
    // A backend's filters come before its endpoints are looked at.
    return answer === undefined ? explained : { ...explained, answer }
  })
}

/** The answer that every request gets, whichever backend its turn is; undefined if some are forwarded. */
export function commonAnswer(backends: readonly ExplainedBackend[]): ExplainedAnswer | undefined {
  const answers = backends.filter(({ weight }) => weight > 0).map(({ answer }) => answer)
  const [first] = answers
  return first !== undefined && answers.every((each) => each?.reason === first.reason && each?.status === first.status) ? first : undefined
}

function withEndpoints(part: Omit<ExplainedBackend, 'endpoints' | 'answer'>, target: ServiceTarget, endpoints: readonly Endpoint[], probe: Pick<Probe, 'protocol'>): ExplainedBackend {
  const { ready, draining } = candidatesOf(endpoints, (each) => each.condition)
  const usable = ready.length > 0 ? ready : draining
  const name = `${target.namespace}/${target.name}:${target.port}`
  return {
    ...part,
    endpoints: usable,
    ...(usable.length === 0 ? { answer: reasonAnswer('no-endpoint', name, probe) } : {}),
  }
}
