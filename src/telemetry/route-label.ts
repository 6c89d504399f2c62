import type { RuleId } from '../model/route.ts'

const labels = new WeakMap<RuleId, string>()

/** `Kind namespace/name` of the rule's route, '' for none; made once for a rule. */
export function routeLabel(id: RuleId | undefined): string {
  if (id === undefined) return ''
  let label = labels.get(id)
  if (label === undefined) {
    label = `${id.routeKind} ${id.namespace}/${id.name}`
    labels.set(id, label)
  }
  return label
}
