import type { Filter } from '../../src/model/route.ts'
import { compileEdits } from './edits.ts'
import type { FilterStep } from './step.ts'

/** ResponseHeaderModifier; acts on the proxy's own answers too. Source: HTTPHeaderFilter. */
export function compileResponseHeaders(filter: Extract<Filter, { kind: 'response-headers' }>): FilterStep {
  const edit = compileEdits(filter)
  return edit === undefined ? {} : { onResponse: edit }
}
