import type { HttpRouteMatch, HttpRouteRule, HTTPRoute } from '../api/routes.ts'
import type { HttpMatch, HttpRule, RetryPolicy, Timeouts } from '../model/route.ts'
import { backendsOf } from './backends.ts'
import { checkCombination, filtersOf } from './filters.ts'
import { headerMatches, persistenceOf, queryMatches } from './matches.ts'
import type { Mesh } from './mesh.ts'
import { checkPattern, compileRules, durationOf, type CompiledRoute, type OwnPorts, type RuleDraft } from './rules.ts'

/** What the API server fills in for a route without rules: everything matches, nothing answers. */
const defaultRules: readonly HttpRouteRule[] = [{}]
/** Defaults of a retry stanza that leaves them open. Source: GEP-1731 leaves them to us; the docs state them. */
const defaultAttempts = 1
const defaultBackoffMs = 25

/** Compiles an HTTPRoute. */
export function compileHttpRoute(mesh: Mesh, route: HTTPRoute, ownPorts: OwnPorts): CompiledRoute<HttpRule> {
  const id = { routeKind: 'HTTPRoute', namespace: route.metadata.namespace ?? '', name: route.metadata.name } as const
  return compileRules(mesh, id, ownPorts, route.spec.rules ?? defaultRules, compileRule)
}

function compileRule(draft: RuleDraft, spec: HttpRouteRule): HttpRule {
  const matches = (spec.matches === undefined || spec.matches.length === 0 ? [{}] : spec.matches).map((match) => matchOf(draft, match))
  const filters = filtersOf(draft, spec.filters)
  const backends = backendsOf(draft, spec.backendRefs, (ref) => filtersOf(draft, ref.filters))
  checkCombination(draft, filters, backends, matches.every(({ path }) => path.type === 'prefix'))
  return {
    kind: 'http',
    id: draft.id,
    matches,
    filters,
    backends,
    timeouts: timeoutsOf(draft, spec),
    ...retryOf(draft, spec),
    ...persistenceOf(draft, spec.sessionPersistence),
  }
}

function matchOf(draft: RuleDraft, spec: HttpRouteMatch): HttpMatch {
  return {
    path: pathOf(draft, spec.path),
    ...(spec.method === undefined ? {} : { method: spec.method }),
    headers: headerMatches(draft, spec.headers),
    query: queryMatches(draft, spec.queryParams),
  }
}

function pathOf(draft: RuleDraft, spec: HttpRouteMatch['path']): HttpMatch['path'] {
  const value = spec?.value ?? '/'
  if (spec?.type === 'RegularExpression') {
    checkPattern(draft, 'path', value)
    return { type: 'regex', value }
  }
  return { type: spec?.type === 'Exact' ? 'exact' : 'prefix', value }
}

/** `0s` switches a timeout off, as does its absence. */
function timeoutsOf(draft: RuleDraft, spec: HttpRouteRule): Timeouts {
  const requestMs = durationOf(draft, 'timeouts.request', spec.timeouts?.request) ?? 0
  const backendRequestMs = durationOf(draft, 'timeouts.backendRequest', spec.timeouts?.backendRequest) ?? 0
  return { ...(requestMs === 0 ? {} : { requestMs }), ...(backendRequestMs === 0 ? {} : { backendRequestMs }) }
}

function retryOf(draft: RuleDraft, { retry }: HttpRouteRule): { readonly retry?: RetryPolicy } {
  if (retry === undefined) return {}
  return {
    retry: {
      attempts: retry.attempts ?? defaultAttempts,
      codes: retry.codes ?? [],
      backoffMs: durationOf(draft, 'retry.backoff', retry.backoff) ?? defaultBackoffMs,
    },
  }
}
