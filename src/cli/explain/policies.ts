import { compileConfig, destinationKey } from '../../../waypoint/config/compile.ts'
import type { RuntimeConfig } from '../../../waypoint/config/runtime.ts'
import type { RequestHead, RuleMatch } from '../../../waypoint/compiled.ts'
import type { CompiledGuard } from '../../../waypoint/policy/guard.ts'
import { resolve } from '../../../waypoint/serve/destination.ts'
import { callerOf } from '../../../waypoint/serve/forwarded.ts'
import { requestAttributes } from '../../../waypoint/serve/permit.ts'
import type { Endpoint } from '../../model/entries.ts'
import { formatSpiffeId, type Identity } from '../../model/identity.ts'
import type { BackendTarget } from '../../model/route.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { Attributes } from '../../policy/attributes.ts'
import { compilePolicies, type GuardingPolicy, type Judge, type PolicyFinding } from '../../policy/compile.ts'
import { slice } from '../../publish/slice.ts'
import { parseAuthority } from '../../transport/authority.ts'
import { reasonAnswer } from './backends.ts'
import type { ExplainedAnswer, ExplainedPolicy } from './explanation.ts'
import type { Probe } from './probe.ts'

type ServiceTarget = Extract<BackendTarget, { readonly kind: 'service' }>

/** What policies make of a probe at one place. */
export interface PolicyJudgement {
  readonly policies: readonly ExplainedPolicy[]
  /** Present if they deny it. */
  readonly answer?: ExplainedAnswer
}

const unguarded: PolicyJudgement = { policies: [] }

/** The policies of a Service port at its waypoint. @param head undefined: bytes that are not read */
export function judgeAtWaypoint(
  guard: CompiledGuard | undefined, { config, caller, probe }: { readonly config: RuntimeConfig; readonly caller: Identity; readonly probe: Probe }, head: RequestHead | undefined, match: RuleMatch | undefined,
): PolicyJudgement {
  if (guard === undefined) return unguarded
  const judge = guard.route === undefined ? guard.service : guard.route(match?.rule.id)
  const who = callerOf(caller, formatSpiffeId(caller), '', probe.from)
  const attributes: Attributes = head === undefined ? { caller, address: probe.from, ports: guard.ports, request: undefined } : requestAttributes(guard, head, who, probe.protocol === 'grpc')
  return judged(judge, attributes, `the waypoint of ${config.namespace}`, probe)
}

/** The policies of a backend, by whoever judges what is sent there: this waypoint, or that of another namespace. */
export function judgeBackend(
  target: BackendTarget, each: { readonly config: RuntimeConfig; readonly snapshot: Snapshot; readonly caller: Identity; readonly probe: Probe }, head: RequestHead | undefined,
): PolicyJudgement {
  if (target.kind !== 'service') return unguarded
  const set = each.config.endpointsOf(target)
  if (set?.closed !== undefined) return { policies: [], answer: reasonAnswer('denied', set.closed, each.probe) }
  const via = set?.endpoints.find((endpoint) => endpoint.via !== undefined)?.via
  return via === undefined ? judgeAtWaypoint(each.config.guardOf(target), each, head, undefined) : judgeElsewhere(target, via, each, head)
}

function judgeElsewhere(
  { namespace }: ServiceTarget, via: string, each: { readonly snapshot: Snapshot; readonly caller: Identity; readonly probe: Probe }, head: RequestHead | undefined,
): PolicyJudgement {
  const authority = parseAuthority(via)
  const config = compileConfig(slice(each.snapshot, { kind: 'waypoint', namespace }), namespace)
  const found = authority === undefined ? undefined : resolve(config, destinationKey(authority.host, authority.port), each.caller.namespace, true)
  if (found?.kind !== 'resolved') return unguarded
  const table = found.judgedTable
  const match = head !== undefined && table?.kind === 'request' ? table.table.find(head) : undefined
  return judgeAtWaypoint(found.service.guard, { config, caller: each.caller, probe: each.probe }, head, match)
}

/** The policies of a pod, as the agent of its node judges a connection that comes straight to it. */
export function judgeAtPod(snapshot: Snapshot, { address, port }: Pick<Endpoint, 'address' | 'port'>, caller: Identity, probe: Probe): PolicyJudgement {
  const workload = [...snapshot.values()].find((entry) => entry.kind === 'workload' && entry.enrolled && entry.addresses.includes(address))
  if (workload?.kind !== 'workload') return unguarded
  const guard = workload.ports?.find((each) => each.port === port)
  const policies = (keys: readonly string[] | undefined, scope: Pick<GuardingPolicy, 'scope'>): readonly GuardingPolicy[] =>
    [...new Set(keys ?? [])].flatMap((key) => {
      const entry = snapshot.get(key)
      return entry?.kind === 'policy' ? [{ entry, ...scope }] : []
    })
  const judge = compilePolicies([...policies([...(workload.policies ?? []), ...(guard?.policies ?? [])], {}), ...policies(guard?.routePolicies, { scope: 'route' })])
  const place = `the agent before pod ${workload.namespace}/${workload.name}`
  const found = judged(judge, { caller, address: probe.from, ports: [port, ...(guard?.servicePorts ?? [])], request: undefined }, place, probe)
  if (guard?.onlyVia === undefined) return found
  const detail = `policies of requests guard port ${port}, so that ${place} takes connections from ${guard.onlyVia.join(', ')} only`
  return { ...found, answer: reasonAnswer('denied', detail, probe) }
}

function judged(judge: Judge, attributes: Attributes, by: string, probe: Probe): PolicyJudgement {
  const verdict = judge.judge(attributes)
  const policies = judge.explain(attributes).map((finding) => explained(finding, by))
  return verdict.allowed ? { policies } : { policies, answer: reasonAnswer('denied', verdict.reason, probe) }
}

const says = { allow: 'allows it', deny: 'denies it', audit: 'would deny it' } as const

function explained({ policy, action, rule, decides }: PolicyFinding, by: string): ExplainedPolicy {
  return { policy, action, by, says: rule === undefined ? 'does not match' : says[action], ...(rule === undefined ? {} : { rule }), decides }
}
