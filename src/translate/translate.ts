import type { KubernetesObject } from '../api/meta.ts'
import { refOf, type ResourceSet } from '../api/resources.ts'
import type { AnyRoute } from '../api/routes.ts'
import { entryKey, type Entry } from '../model/entries.ts'
import type { GrpcRule, HttpRule, TcpRule, TlsRule } from '../model/route.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { ObjectStatus, Warning } from '../model/status.ts'
import { attach, type Attachment } from './attach.ts'
import { endpointsEntry, groupSlices, sliceWarnings } from './endpoints.ts'
import { gatewayClassStatus, gatewayStatus } from './gateway-status.ts'
import { compileGrpcRoute } from './grpc.ts'
import { compileHttpRoute } from './http.ts'
import { compileTcpRoute, compileTlsRoute } from './l4.ts'
import { labelWarnings } from './labels.ts'
import { consumersByPort, mergeRoutes, routeProtocol, tableEntry, type JudgedRoute, type Tables } from './merge.ts'
import { readMesh, type Mesh } from './mesh.ts'
import type { TranslateOptions, Translation } from './options.ts'
import { compareAge, compareText } from './order.ts'
import { listenersOf, routeStatus } from './route-status.ts'
import type { CompiledRoute } from './rules.ts'
import { addressWarnings, serviceEntry } from './services.ts'
import { waypointAddresses } from './waypoint-addresses.ts'
import { waypointEntry } from './waypoints.ts'
import { workloadEntries } from './workloads.ts'

/**
 * Turns the objects of a cluster or a folder into what the data plane runs and what statuses must say.
 * Pure: equal objects in any order give an equal answer, the input is not written to, nothing else is read.
 */
export function translate(resources: ResourceSet, options: TranslateOptions): Translation {
  const mesh = readMesh(resources, options)
  const warnings: Warning[] = [...labelWarnings(resources), ...addressWarnings(mesh.services), ...mesh.waypoints.warnings]
  const routes = judgeRoutes(mesh, warnings)
  const tables = mergeRoutes(mesh, routes)
  const snapshot = snapshotOf(mesh, tables, warnings)
  const infra = [...mesh.waypoints.active.values()].map((waypoint) => waypoint.infra).sort((a, b) => compareText(a.namespace, b.namespace))
  return { snapshot, statuses: statusesOf(mesh, routes, tables), warnings: sortWarnings(warnings), infra }
}

/** Reads every route of any kind, oldest first: the order in which rules that rank equal stand. */
function judgeRoutes(mesh: Mesh, warnings: Warning[]): readonly JudgedRoute[] {
  const { HTTPRoute, GRPCRoute, TLSRoute, TCPRoute } = mesh.resources
  const all: AnyRoute[] = [...HTTPRoute.values(), ...GRPCRoute.values(), ...TLSRoute.values(), ...TCPRoute.values()]
  return all
    .sort((a, b) => compareAge(a, b) || compareText(a.kind, b.kind))
    .map((route) => {
      const { attachments, warnings: found } = attach(mesh, route)
      warnings.push(...found, ...hostnameWarnings(route, attachments))
      // Others' routes cost nothing: they are not compiled.
      const compiled = attachments.length === 0 ? { rules: [], dropped: [], problems: [] } : compile(mesh, route, portsOf(attachments))
      return { route, attachments, compiled, rejected: compiled.rules.length === 0 && compiled.dropped.length > 0 }
    })
}

function compile(mesh: Mesh, route: AnyRoute, ownPorts: ReadonlySet<string>): CompiledRoute<HttpRule | GrpcRule | TlsRule | TcpRule> {
  switch (route.kind) {
    case 'HTTPRoute':
      return compileHttpRoute(mesh, route, ownPorts)
    case 'GRPCRoute':
      return compileGrpcRoute(mesh, route, ownPorts)
    case 'TLSRoute':
      return compileTlsRoute(mesh, route, ownPorts)
    case 'TCPRoute':
      return compileTcpRoute(mesh, route, ownPorts)
  }
}

function portsOf(attachments: readonly Attachment[]): ReadonlySet<string> {
  const ports = new Set<string>()
  for (const attachment of attachments) {
    if (attachment.refusal !== undefined) continue
    for (const { service, port } of attachment.targets) ports.add(`${service.key}:${port.port}`)
  }
  return ports
}

/** In a mesh the original destination says which routes apply, never the Host header. A TLSRoute's host names are its matches. */
function hostnameWarnings(route: AnyRoute, attachments: readonly Attachment[]): readonly Warning[] {
  if (attachments.length === 0 || (route.kind !== 'HTTPRoute' && route.kind !== 'GRPCRoute')) return []
  if ((route.spec.hostnames ?? []).length === 0) return []
  return [
    {
      ref: refOf(route),
      field: 'spec.hostnames',
      message: 'hostnames have no effect on a mesh route: requests of every Host are matched',
      advice: 'remove them; to tell hosts apart, match on the header Host',
    },
  ]
}

function snapshotOf(mesh: Mesh, tables: Tables, warnings: Warning[]): Snapshot {
  const { resources, options, services, waypoints } = mesh
  const slices = groupSlices(resources)
  const entries: (Entry | undefined)[] = []
  for (const service of services.values()) {
    const own = slices.get(service.key) ?? []
    const waypoint = waypoints.active.get(service.namespace)?.name
    entries.push(
      serviceEntry(service, waypoint, (port) => routeProtocol(tables, service, port)),
      endpointsEntry(resources, options, service, own),
    )
    warnings.push(...sliceWarnings(service, own))
  }
  for (const table of tables.values()) entries.push(tableEntry(table))
  for (const waypoint of waypoints.active.values()) {
    const addresses = waypointAddresses(waypoint, resources, options, slices.get(waypoint.key) ?? [])
    entries.push(waypointEntry(waypoint, options.trustDomain, addresses))
  }
  entries.push(...workloadEntries(resources, options))
  const keyed = entries.filter((entry) => entry !== undefined).map((entry) => [entryKey(entry), entry] as const)
  return new Map(keyed.sort(([a], [b]) => compareText(a, b)))
}

function statusesOf(mesh: Mesh, routes: readonly JudgedRoute[], tables: Tables): readonly ObjectStatus[] {
  const { resources, waypoints, options } = mesh
  const attached = new Map<string, number>()
  for (const judged of routes) {
    for (const { key, listener } of listenersOf(tables, judged)) {
      attached.set(`${key}/${listener}`, (attached.get(`${key}/${listener}`) ?? 0) + 1)
    }
  }
  const context = { mesh, tables, consumers: consumersByPort(tables) }
  const judgedOf = (kind: AnyRoute['kind']): readonly JudgedRoute[] =>
    byName(routes.filter(({ route }) => route.kind === kind), ({ route }) => route)
  const routeKinds = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] as const
  return [
    ...byName([...resources.GatewayClass.values()], (object) => object).map(gatewayClassStatus),
    ...byName([...waypoints.gateways.values()], ({ gateway }) => gateway).map((info) =>
      gatewayStatus(info, waypoints, resources, options, (listener) => attached.get(`${info.key}/${listener}`) ?? 0),
    ),
    ...routeKinds.flatMap((kind) => judgedOf(kind).map((judged) => routeStatus(context, judged))),
  ].filter((status) => status !== undefined)
}

function byName<T>(items: readonly T[], objectOf: (item: T) => KubernetesObject): readonly T[] {
  const nameOf = (item: T): string => {
    const { namespace = '', name } = objectOf(item).metadata
    return `${namespace}/${name}`
  }
  return [...items].sort((a, b) => compareText(nameOf(a), nameOf(b)))
}

function sortWarnings(warnings: readonly Warning[]): readonly Warning[] {
  const keyOf = ({ ref, field, message }: Warning): string => [ref.kind, ref.namespace, ref.name, field, message].join('\u0000')
  return warnings
    .map((warning) => ({ warning, key: keyOf(warning) }))
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ warning }) => warning)
}
