import type { GrpcRule, HttpRule, TcpRule, TlsRule } from '../../src/model/route.ts'
import { createWeightedPicker } from '../backends/wrr.ts'
import type { CompiledRule } from '../compiled.ts'
import { compileFilters } from '../filters/compile.ts'

/** Compiles what a rule does once it is chosen: filters and the picker of backends. Its matches are compiled by the tables. */
export function compileRule(rule: HttpRule | GrpcRule | TlsRule | TcpRule): CompiledRule {
  const backends = rule.backends.map((each) => ({ target: each.target, weight: each.weight, filters: compileFilters(each.filters) }))
  return {
    id: rule.id,
    filters: compileFilters('filters' in rule ? rule.filters : []),
    backends,
    pickBackend: createWeightedPicker(backends),
    timeouts: 'timeouts' in rule ? rule.timeouts : {},
    retry: 'retry' in rule ? rule.retry : undefined,
    persistence: 'persistence' in rule ? rule.persistence : undefined,
  }
}
