import type { Attributes } from '../../src/policy/attributes.ts'
import type { Judge, Verdict } from '../../src/policy/compile.ts'
import type { ExchangeRecord } from '../../src/telemetry/telemetry.ts'
import type { RequestHead, RuleMatch } from '../compiled.ts'
import type { CompiledGuard } from '../policy/guard.ts'
import type { ServiceTarget } from './choose.ts'
import type { Engine } from './engine.ts'
import type { Caller } from './forwarded.ts'
import { answerOf, type Answer } from './respond.ts'

/** Judges a request as it would be forwarded. @param match the rule that serves it, if that is known */
export function judgeRequest(guard: CompiledGuard, head: RequestHead, caller: Caller, grpc: boolean, match: RuleMatch | undefined): Verdict {
  const judge = guard.route === undefined ? guard.service : guard.route(match?.rule.id)
  return judge.judge(requestAttributes(guard, head, caller, grpc))
}

/** Judges a request and notes the verdict. @returns the answer that it gets if policies deny it */
export function denialOf(guard: CompiledGuard, head: RequestHead, caller: Caller, grpc: boolean, match: RuleMatch | undefined, record: ExchangeRecord): Answer | undefined {
  const verdict = judgeRequest(guard, head, caller, grpc, match)
  recordVerdict(record, verdict)
  if (verdict.allowed) return undefined
  record.reason = 'denied'
  record.detail = verdict.reason
  // Which policy it was is for the log, not for whom it denies.
  return answerOf({ code: 'denied', detail: '' }, grpc)
}

/** What of a request policies can speak of. */
export function requestAttributes({ ports }: CompiledGuard, head: RequestHead, { identity, address }: Caller, grpc: boolean): Attributes {
  const { method, path, authority, headers } = head
  return { caller: identity, address, ports, request: { method, path, authority, headers, grpc } }
}

/** Judges a connection whose bytes are not read. */
export function judgeConnection(judge: Judge, { identity, address }: Caller, ports: readonly number[]): Verdict {
  return judge.judge({ caller: identity, address, ports, request: undefined })
}

/** Whether a request may be sent on to a backend other than the Service that it was sent to. */
export function permitsBackend(engine: Engine, target: ServiceTarget, head: RequestHead, caller: Caller, grpc: boolean): boolean {
  const guard = engine.config()?.guardOf(target)
  return guard === undefined || judgeRequest(guard, head, caller, grpc, undefined).allowed
}

/** Notes a verdict. */
export function recordVerdict(record: ExchangeRecord, { allowed, policy, audit }: Verdict): void {
  record.verdict = allowed ? 'allowed' : 'denied'
  record.policy = policy
  if (audit.length > 0) record.audit = audit
}
