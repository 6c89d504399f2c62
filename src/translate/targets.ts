import type { BackendTarget, Filter, GrpcRule, HttpRule, TcpRule, TlsRule } from '../model/route.ts'

type ServiceTarget = Extract<BackendTarget, { readonly kind: 'service' }>

/** The Services that a rule sends requests or copies of them to; some twice. */
export function targetsOf(rule: HttpRule | GrpcRule | TlsRule | TcpRule): readonly ServiceTarget[] {
  const mirrors = (filters: readonly Filter[]): readonly BackendTarget[] => filters.flatMap((filter) => (filter.kind === 'mirror' ? [filter.target] : []))
  const all = [...('filters' in rule ? mirrors(rule.filters) : []), ...rule.backends.flatMap(({ target, filters }) => [target, ...mirrors(filters)])]
  return all.filter((target) => target.kind === 'service')
}
