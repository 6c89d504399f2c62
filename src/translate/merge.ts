import { namespaceOf } from '../api/meta.ts'
import type { AnyRoute } from '../api/routes.ts'
import { routesKey, type EntryKey, type PortProtocol, type RouteTableEntry } from '../model/entries.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { GrpcRule, HttpRule, RouteRules, TcpRule, TlsRule } from '../model/route.ts'
import type { Attachment, Target } from './attach.ts'
import { servingWaypoint, type Mesh } from './mesh.ts'
import type { CompiledRoute } from './rules.ts'
import type { PortInfo, ServiceInfo } from './services.ts'

/** A route of any kind that names a parent of ours, read and compiled. */
export interface JudgedRoute {
  readonly route: AnyRoute
  readonly attachments: readonly Attachment[]
  readonly compiled: CompiledRoute<HttpRule | GrpcRule | TlsRule | TcpRule>
  /** Every rule was dropped: the route counts nowhere and captures nothing. */
  readonly rejected: boolean
}

/** The routes of one level on one Service port. */
export interface Table {
  readonly level: 'producer' | 'consumer'
  readonly namespace: string
  readonly service: ServiceInfo
  readonly port: PortInfo
  /** The waypoint that applies it; without one it is not published. */
  readonly waypoint: NamespacedName | undefined
  /** In tie-break order, all of one kind. */
  readonly routes: readonly [JudgedRoute, ...JudgedRoute[]]
}

/** Every table, by entry key. */
export type Tables = ReadonlyMap<EntryKey, Table>

/** Kinds do not mix on one port; the first one here that is attached wins. Source: GEP-1294 "Route types". */
const precedence: readonly AnyRoute['kind'][] = ['GRPCRoute', 'HTTPRoute', 'TLSRoute', 'TCPRoute']

/** The key of the table that a route would stand in on a target. */
export function tableKey(route: AnyRoute, level: Table['level'], { service, port }: Target): EntryKey {
  return routesKey(level, namespaceOf(route), service, port.port)
}

/**
 * Groups routes by level, Service and port; within one group the strongest kind stays.
 * @param routes in tie-break order
 */
export function mergeRoutes(mesh: Mesh, routes: readonly JudgedRoute[]): Tables {
  const tables = new Map<EntryKey, { level: Table['level']; namespace: string; target: Target; routes: [JudgedRoute, ...JudgedRoute[]] }>()
  for (const judged of routes) {
    if (judged.rejected) continue
    for (const attachment of judged.attachments) {
      if (attachment.refusal !== undefined) continue
      for (const target of attachment.targets) {
        const key = tableKey(judged.route, attachment.level, target)
        const table = tables.get(key)
        if (table === undefined) {
          tables.set(key, { level: attachment.level, namespace: namespaceOf(judged.route), target, routes: [judged] })
        } else if (rank(judged) < rank(table.routes[0])) {
          table.routes = [judged]
        } else if (rank(judged) === rank(table.routes[0]) && table.routes.at(-1) !== judged) {
          // Two parentRefs of one route may lead to one port; the routes come one by one, so that it would be the last.
          table.routes.push(judged)
        }
      }
    }
  }
  return new Map(
    [...tables].map(([key, { level, namespace, target, routes: merged }]) => [
      key,
      { level, namespace, ...target, waypoint: servingWaypoint(mesh, level, namespace, target.service), routes: merged },
    ]),
  )
}

/** The entry of a table; undefined if no waypoint applies it. It stands even if no rule is in it: then nothing matches. */
export function tableEntry(table: Table): RouteTableEntry | undefined {
  if (table.waypoint === undefined) return undefined
  const { level, namespace, service, port, routes } = table
  return {
    kind: 'routes',
    level,
    namespace,
    service: { namespace: service.namespace, name: service.name },
    port: port.port,
    routes: rulesOf(table, routes.flatMap(({ compiled }) => compiled.rules)),
  }
}

/** What producer routes make of a port; consumer routes may not change what others see. */
export function routeProtocol(tables: Tables, service: ServiceInfo, port: PortInfo): PortProtocol | undefined {
  const table = tables.get(routesKey('producer', service.namespace, service, port.port))
  if (table?.waypoint === undefined) return undefined
  switch (table.routes[0].route.kind) {
    case 'HTTPRoute':
      // An HTTPRoute says HTTP and leaves the version open; the port's own word for HTTP/2 still tells how to speak to it.
      return port.declared === 'http2' ? 'http2' : 'http'
    case 'GRPCRoute':
      return 'http2'
    case 'TLSRoute':
      return 'tls'
    case 'TCPRoute':
      return 'tcp'
  }
}

/** The namespaces whose published consumer tables hide the producer's, by `namespace/name:port` of the Service port. */
export function consumersByPort(tables: Tables): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const { level, namespace, service, port, waypoint } of tables.values()) {
    if (level !== 'consumer' || waypoint === undefined) continue
    const key = `${service.key}:${port.port}`
    const list = found.get(key)
    if (list === undefined) found.set(key, [namespace])
    else list.push(namespace)
  }
  return found
}

function rank({ route }: JudgedRoute): number {
  return precedence.indexOf(route.kind)
}

function rulesOf(table: Table, rules: readonly (HttpRule | GrpcRule | TlsRule | TcpRule)[]): RouteRules {
  switch (table.routes[0].route.kind) {
    case 'HTTPRoute':
      return { protocol: 'http', rules: rules.filter((rule) => rule.kind === 'http') }
    case 'GRPCRoute':
      return { protocol: 'grpc', rules: rules.filter((rule) => rule.kind === 'grpc') }
    case 'TLSRoute':
      return { protocol: 'tls', rules: rules.filter((rule) => rule.kind === 'tls') }
    case 'TCPRoute':
      return { protocol: 'tcp', rules: rules.filter((rule) => rule.kind === 'tcp') }
  }
}
