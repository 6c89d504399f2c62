import type { CompiledFilters, CompiledMirror } from '../compiled.ts'

/** What one filter does; a missing side does nothing. See `CompiledFilters` for the arguments. */
export interface FilterStep {
  readonly onRequest?: CompiledFilters['onRequest']
  readonly onResponse?: CompiledFilters['onResponse']
  readonly mirror?: CompiledMirror
}
