import { generationOf, type StatusCondition } from '../../api/meta.ts'
import type { AuthorizationPolicy, MTLSPolicy } from '../../api/policies.ts'
import { refOf } from '../../api/resources.ts'
import { describeFinding, statusFindings } from '../../control/findings.ts'
import { describeRef } from '../../model/refs.ts'
import { controllerName, type Condition } from '../../model/status.ts'
import type { LiveCluster } from '../live.ts'
import { failure, ok, warning, type Line } from './report.ts'

/** Most lines: a namespace may have hundreds of policies, and one fault that shows in all of them. */
const most = 40

/** What the statuses of policies say: whether each is enforced, and whether a controller has judged it. Empty if there are none. */
export function judgePolicies({ resources }: Pick<LiveCluster, 'resources'>): readonly Line[] {
  const policies: readonly (AuthorizationPolicy | MTLSPolicy)[] = [...resources.AuthorizationPolicy.values(), ...resources.MTLSPolicy.values()]
  if (policies.length === 0) return []
  const lines = policies.flatMap(judgePolicy)
  if (lines.length === 0) return [ok(policies.length === 1 ? '1 policy is accepted and enforced' : `${policies.length} policies are accepted and enforced`)]
  return lines.length <= most ? lines : [...lines.slice(0, most), warning(`${lines.length - most} more lines about policies`, 'mend those above first; the statuses of the policies have all of them')]
}

function judgePolicy(policy: AuthorizationPolicy | MTLSPolicy): readonly Line[] {
  const name = describeRef(refOf(policy))
  const ours = (policy.status?.ancestors ?? []).filter((each) => each.controllerName === controllerName)
  if (ours.length === 0) return [failure(`${name}: no controller has judged it`, 'it should be there within a second: does a controller lead? See above')]
  const ancestors = ours.map(({ ancestorRef: { name: target }, conditions = [] }) => ({ ancestorRef: { name: target }, controllerName, conditions: conditions.map(asCondition) }))
  const lines: Line[] = []
  if (ancestors.some(({ conditions }) => conditions.some((each) => each.observedGeneration < generationOf(policy)))) {
    lines.push(warning(`${name}: its status is about an earlier version of it`, 'look again; if it stays so, does a controller lead? See above'))
  }
  for (const finding of statusFindings({ kind: 'policy', ref: refOf(policy), ancestors })) {
    lines.push(failure(describeFinding({ ...finding, advice: '', expected: '' }), finding.advice === '' ? 'do what the message says' : finding.advice))
  }
  for (const { ancestorRef, conditions } of ancestors) {
    for (const { type, status, reason, message } of conditions) {
      if (type === 'Enforced' && status !== 'True' && reason === 'Pending') lines.push(warning(`${name}: target ${ancestorRef.name}: ${message}`, 'see the waypoints above'))
    }
  }
  return lines
}

function asCondition({ type, status, reason, message, observedGeneration = 0 }: StatusCondition): Condition {
  return { type, status, reason, message, observedGeneration }
}
