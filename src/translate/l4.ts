import type { TCPRoute, TLSRoute } from '../api/routes.ts'
import type { TcpRule, TlsRule } from '../model/route.ts'
import { backendsOf } from './backends.ts'
import type { Mesh } from './mesh.ts'
import { compileRules, type CompiledRoute, type OwnPorts } from './rules.ts'

/** Compiles a TLSRoute: passthrough by server name. Host names know no case; no host name means every one. */
export function compileTlsRoute(mesh: Mesh, route: TLSRoute, ownPorts: OwnPorts): CompiledRoute<TlsRule> {
  const id = { routeKind: 'TLSRoute', namespace: route.metadata.namespace ?? '', name: route.metadata.name } as const
  const hostnames = [...new Set((route.spec.hostnames ?? []).map((hostname) => hostname.toLowerCase()))]
  return compileRules(mesh, id, ownPorts, route.spec.rules, (draft, spec) => ({
    kind: 'tls',
    id: draft.id,
    hostnames,
    backends: backendsOf(draft, spec.backendRefs, () => []),
  }))
}

/** Compiles a TCPRoute. */
export function compileTcpRoute(mesh: Mesh, route: TCPRoute, ownPorts: OwnPorts): CompiledRoute<TcpRule> {
  const id = { routeKind: 'TCPRoute', namespace: route.metadata.namespace ?? '', name: route.metadata.name } as const
  return compileRules(mesh, id, ownPorts, route.spec.rules, (draft, spec) => ({
    kind: 'tcp',
    id: draft.id,
    backends: backendsOf(draft, spec.backendRefs, () => []),
  }))
}
