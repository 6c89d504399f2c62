import type { Filter } from '../../src/model/route.ts'
import type { FilterStep } from './step.ts'

/**
 * RequestMirror: says which requests are copied. Counted, not drawn: any `denominator` requests in a row have exactly `numerator`
 * copies, evenly spread. The sending itself is the forwarder's, after the request's filters.
 * Source: HTTPRequestMirrorFilter.
 */
export function compileMirror(filter: Extract<Filter, { kind: 'mirror' }>): FilterStep {
  const { numerator, denominator } = filter
  let credit = 0
  const take = (): boolean => {
    if (denominator <= 0 || numerator <= 0) return false
    credit += Math.min(numerator, denominator)
    if (credit < denominator) return false
    credit -= denominator
    return true
  }
  return { mirror: { target: filter.target, take } }
}
