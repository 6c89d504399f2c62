import { namespaceOf } from '../api/meta.ts'
import type { AnyRoute } from '../api/routes.ts'
import type { EntryKey, RouteTableEntry } from '../model/entries.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { GrpcRule, HttpRule, RouteRules, TcpRule, TlsRule } from '../model/route.ts'
import type { JudgedRoute, Placement } from './judge.ts'
import { keepMap, sameItems } from './memo.ts'
import type { PortInfo, ServiceInfo } from './services.ts'

/** The routes of one level on one Service port. */
export interface Table {
  readonly key: EntryKey
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

/** All tables, and which of them are not the same ones as at the last time. */
export interface Merged {
  readonly tables: Tables
  readonly changed: ReadonlySet<EntryKey>
}

/**
 * Groups routes by level, Service and port; within one group the strongest kind stays. Only tables are made anew in which a route
 * came, went or changed.
 * @returns a function of the routes in tie-break order, of the active waypoint of a namespace, and of what that depends on
 */
export function createMerger(): (
  routes: readonly JudgedRoute[],
  waypointOf: (namespace: string) => NamespacedName | undefined,
  basis: unknown,
) => Merged {
  let last: { readonly routes: readonly JudgedRoute[]; readonly tables: Tables; readonly basis: unknown } | undefined
  return (routes, waypointOf, basis) => {
    const before = last?.tables ?? new Map<EntryKey, Table>()
    const touched = last !== undefined && last.basis === basis ? touchedKeys(last.routes, routes) : undefined
    const tables = new Map(touched === undefined ? [] : before)
    const changed = new Set<EntryKey>()
    const groups = groupRoutes(routes, touched)
    for (const [key, group] of groups) {
      const table = tableOf(key, group, waypointOf)
      const old = before.get(key)
      if (old !== undefined && isSame(old, table)) tables.set(key, old)
      else {
        tables.set(key, table)
        changed.add(key)
      }
    }
    for (const key of touched ?? before.keys()) {
      if (groups.has(key) || !before.has(key)) continue
      tables.delete(key)
      changed.add(key)
    }
    const kept = changed.size === 0 ? before : tables
    last = { routes, basis, tables: kept }
    return { tables: kept, changed }
  }
}

interface Group {
  readonly placement: Placement
  routes: [JudgedRoute, ...JudgedRoute[]]
}

/** @param wanted only these tables; undefined: all */
function groupRoutes(routes: readonly JudgedRoute[], wanted: ReadonlySet<EntryKey> | undefined): ReadonlyMap<EntryKey, Group> {
  const groups = new Map<EntryKey, Group>()
  if (wanted?.size === 0) return groups
  for (const judged of routes) {
    for (const placement of judged.placements) {
      if (wanted !== undefined && !wanted.has(placement.key)) continue
      const group = groups.get(placement.key)
      if (group === undefined) groups.set(placement.key, { placement, routes: [judged] })
      else if (rank(judged) < rank(group.routes[0])) group.routes = [judged]
      else if (rank(judged) === rank(group.routes[0])) group.routes.push(judged)
    }
  }
  return groups
}

/** The keys of the tables in which something stands that is in one list and not, or not at that place, in the other. */
function touchedKeys(before: readonly JudgedRoute[], now: readonly JudgedRoute[]): ReadonlySet<EntryKey> {
  const keys = new Set<EntryKey>()
  const touch = (judged: JudgedRoute | undefined): void => {
    for (const { key } of judged?.placements ?? []) keys.add(key)
  }
  let start = 0
  while (start < now.length && now[start] === before[start]) start++
  let end = 0
  const most = Math.min(before.length, now.length) - start
  while (end < most && now[now.length - 1 - end] === before[before.length - 1 - end]) end++
  for (let at = start; at < Math.max(before.length, now.length) - end; at++) {
    if (before.length === now.length && before[at] === now[at]) continue
    if (at < before.length - end) touch(before[at])
    if (at < now.length - end) touch(now[at])
  }
  return keys
}

function tableOf(key: EntryKey, { placement, routes }: Group, waypointOf: (namespace: string) => NamespacedName | undefined): Table {
  const { level, target: { service, port } } = placement
  const namespace = namespaceOf(routes[0].route)
  const waypoint = level === 'producer' && service.atL4 ? undefined : waypointOf(namespace)
  return { key, level, namespace, service, port, waypoint, routes }
}

function isSame(a: Table, b: Table): boolean {
  return a.service === b.service && a.port === b.port && a.waypoint === b.waypoint && sameItems(a.routes, b.routes)
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

/** The namespaces whose published consumer tables hide the producer's, in name order, by `namespace/name:port` of the Service port. */
export function consumersByPort(tables: Tables, before: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const { level, namespace, service, port, waypoint } of tables.values()) {
    if (level !== 'consumer' || waypoint === undefined) continue
    const key = `${service.key}:${port.port}`
    const list = found.get(key)
    if (list === undefined) found.set(key, [namespace])
    else list.push(namespace)
  }
  const sorted = [...found].map(([key, namespaces]) => {
    namespaces.sort()
    const old = before.get(key)
    return [key, old !== undefined && sameItems(old, namespaces) ? old : namespaces] as const
  })
  return keepMap(before, new Map(sorted))
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
