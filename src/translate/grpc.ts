import type { GrpcRouteMatch, GrpcRouteRule, GRPCRoute } from '../api/routes.ts'
import type { GrpcMatch, GrpcRule } from '../model/route.ts'
import { backendsOf } from './backends.ts'
import { filtersOf } from './filters.ts'
import { headerMatches, persistenceOf, valueMatch } from './matches.ts'
import type { Mesh } from './mesh.ts'
import { compileRules, type CompiledRoute, type OwnPorts, type RuleDraft } from './rules.ts'

/** Compiles a GRPCRoute. One without rules matches no call. */
export function compileGrpcRoute(mesh: Mesh, route: GRPCRoute, ownPorts: OwnPorts): CompiledRoute<GrpcRule> {
  const id = { routeKind: 'GRPCRoute', namespace: route.metadata.namespace ?? '', name: route.metadata.name } as const
  return compileRules(mesh, id, ownPorts, route.spec.rules ?? [], compileRule)
}

function compileRule(draft: RuleDraft, spec: GrpcRouteRule): GrpcRule {
  const matches = spec.matches === undefined || spec.matches.length === 0 ? [{}] : spec.matches
  return {
    kind: 'grpc',
    id: draft.id,
    matches: matches.map((match) => matchOf(draft, match)),
    filters: filtersOf(draft, spec.filters),
    backends: backendsOf(draft, spec.backendRefs, (ref) => filtersOf(draft, ref.filters)),
    ...persistenceOf(draft, spec.sessionPersistence),
  }
}

function matchOf(draft: RuleDraft, spec: GrpcRouteMatch): GrpcMatch {
  const { type, service = '', method = '' } = spec.method ?? {}
  return {
    ...(service === '' ? {} : { service: valueMatch(draft, 'gRPC service', type, service) }),
    ...(method === '' ? {} : { method: valueMatch(draft, 'gRPC method', type, method) }),
    headers: headerMatches(draft, spec.headers),
  }
}
