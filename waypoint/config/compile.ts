import { isDeepStrictEqual } from 'node:util'
import { isIPv6, SocketAddress } from 'node:net'
import {
  entryKey, routesKey, serviceKey, type EndpointsEntry, type Entry, type EntryKey, type RouteTableEntry, type ServiceEntry, type ServicePort,
} from '../../src/model/entries.ts'
import { ofFamily } from '../../src/model/families.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { formatAuthority } from '../../src/transport/authority.ts'
import { speakersOf } from '../../src/policy/speaker.ts'
import { compileGuard, targetKey, type CompiledGuard } from '../policy/guard.ts'
import { compileConnectionTable } from '../route/connections.ts'
import { compileGrpcTable, compileHttpTable } from '../route/table.ts'
import type { CompiledService, CompiledTable, EndpointSet, RoutedEndpoint, RuntimeConfig } from './runtime.ts'

/**
 * Compiles a Snapshot into what one waypoint runs. What did not change since `previous` is taken over as the same object, so that
 * round-robin positions and pools survive a reload of other things.
 * @param namespace the waypoint's
 */
export function compileConfig(snapshot: Snapshot, namespace: string, previous?: RuntimeConfig): RuntimeConfig {
  const tables = new Map<EntryKey, CompiledTable>()
  const endpoints = new Map<string, EndpointSet>()
  for (const [key, entry] of snapshot) {
    if (entry.kind === 'routes' && entry.namespace === namespace) tables.set(key, tableOf(key, entry, previous))
    else if (entry.kind === 'endpoints') addEndpoints(endpoints, entry, namespace, snapshot, previous)
  }
  const services = new Map<EntryKey, readonly CompiledService[]>()
  const destinations = new Map<string, CompiledService>()
  for (const [key, entry] of snapshot) {
    if (entry.kind !== 'service') continue
    const compiled = servicesOf(key, entry, namespace, tables, endpoints, snapshot, previous)
    services.set(key, compiled)
    for (const each of compiled) for (const authority of each.authorities) destinations.set(authority, each)
  }
  const found = new Map<object, EndpointSet | undefined>()
  const guards = new Map<object, CompiledGuard | undefined>()
  return {
    version: (previous?.version ?? 0) + 1,
    snapshot,
    namespace,
    destinations,
    tables,
    endpoints,
    services,
    endpointsOf: (target) => {
      const known = found.get(target)
      if (known !== undefined || found.has(target)) return known
      const set = endpoints.get(`${target.namespace}/${target.name}:${target.port}`)
      found.set(target, set)
      return set
    },
    guardOf: (target) => {
      if (guards.has(target)) return guards.get(target)
      const service = target.namespace === namespace ? services.get(targetKey(target))?.find(({ port }) => port.port === target.port) : undefined
      guards.set(target, service?.guard)
      return service?.guard
    },
    speakers: speakersOf(snapshot),
  }
}

/** How `destinations` is keyed: `host:port`, IPv6 in brackets and in its canonical spelling, names in lower case. */
export function destinationKey(host: string, port: number): string {
  return formatAuthority(isIPv6(host) ? new SocketAddress({ address: host, family: 'ipv6' }).address : host, port)
}

function same(a: Entry, b: Entry): boolean {
  return a === b || isDeepStrictEqual(a, b)
}

function tableOf(key: EntryKey, entry: RouteTableEntry, previous: RuntimeConfig | undefined): CompiledTable {
  const old = previous?.tables.get(key)
  return old !== undefined && same(old.entry, entry) ? old : compileTable(entry)
}

function compileTable(entry: RouteTableEntry): CompiledTable {
  const { routes } = entry
  switch (routes.protocol) {
    case 'http':
      return { kind: 'request', entry, protocol: 'http', table: compileHttpTable(routes.rules) }
    case 'grpc':
      return { kind: 'request', entry, protocol: 'grpc', table: compileGrpcTable(routes.rules) }
    case 'tls':
    case 'tcp':
      return { kind: 'connection', entry, protocol: routes.protocol, table: compileConnectionTable(routes) }
  }
}

function addEndpoints(
  into: Map<string, EndpointSet>, entry: EndpointsEntry, namespace: string, snapshot: Snapshot, previous: RuntimeConfig | undefined,
): void {
  const found = snapshot.get(serviceKey(entry.namespace, entry.name))
  const service = found?.kind === 'service' ? found : undefined
  // Our own waypoint judges what nothing else does.
  const closed = entry.namespace === namespace ? undefined : service?.closed
  for (const { port, endpoints: given } of entry.ports) {
    const key = `${entry.namespace}/${entry.name}:${port}`
    const protocol = service?.ports.find((each) => each.port === port)?.protocol ?? 'auto'
    const old = previous?.endpoints.get(key)
    const spoken = old?.endpoints.some(({ perClient, via }) => perClient === true && via === undefined) === true
    const endpoints = closed === undefined ? routed(ofFamily(given, service?.clusterIPs[0]), service, port, namespace, snapshot, spoken) : []
    const unchanged = old?.protocol === protocol && old.closed === closed && (old.endpoints === endpoints || isDeepStrictEqual(old.endpoints, endpoints))
    into.set(key, unchanged ? old : { namespace: entry.namespace, name: entry.name, port, protocol, endpoints, closed })
  }
}

/**
 * Endpoints as this waypoint reaches them: those that the waypoint of another namespace guards through that one alone.
 * @param spoken their agents were told of clients until now, and still are: they may not have heard yet that the last policy is gone, and who does not care
 * for whom a waypoint comes takes it all the same
 */
function routed(
  endpoints: EndpointSet['endpoints'], service: ServiceEntry | undefined, port: number, namespace: string, snapshot: Snapshot, spoken: boolean,
): EndpointSet['endpoints'] {
  const guard = service?.guard
  if (guard !== undefined && service?.namespace !== namespace && service?.waypoint !== undefined) {
    const waypoint = snapshot.get(service.waypoint)
    if (waypoint?.kind !== 'waypoint') return []
    const via = destinationKey(service.clusterIPs[0] ?? `${service.name}.${service.namespace}.svc.cluster.local`, port)
    return waypoint.addresses.map((each): RoutedEndpoint => ({
      address: each.host, port: each.port, condition: 'ready', transport: { kind: 'hbone', port: each.port, identity: waypoint.identity }, via, perClient: true,
    }))
  }
  if (guard?.judgedByAgents !== true && !spoken) return endpoints
  return endpoints.map((each): RoutedEndpoint => (each.transport.kind === 'hbone' ? { ...each, perClient: true } : each))
}

function servicesOf(
  key: EntryKey,
  entry: ServiceEntry,
  namespace: string,
  tables: ReadonlyMap<EntryKey, CompiledTable>,
  endpoints: ReadonlyMap<string, EndpointSet>,
  snapshot: Snapshot,
  previous: RuntimeConfig | undefined,
): readonly CompiledService[] {
  const old = previous?.services.get(key)
  const unchanged = old?.[0] !== undefined && same(old[0].entry, entry)
  const own = entry.namespace === namespace
  const level = own ? 'producer' : 'consumer'
  return entry.ports.map((port, at) => {
    const table = tables.get(routesKey(level, namespace, entry, port.port))
    const before = unchanged ? old[at] : undefined
    const set = endpoints.get(`${entry.namespace}/${entry.name}:${port.port}`)
    const guard = compileGuard(snapshot, entry, port, own, table?.entry, set?.endpoints.map((each) => each.port) ?? [], old?.[at]?.guard)
    if (before !== undefined && (own ? before.producer : before.consumer) === table && before.guard === guard) return before
    return {
      entry,
      port,
      self: before?.self ?? { kind: 'service', namespace: entry.namespace, name: entry.name, port: port.port },
      producer: own ? table : undefined,
      consumer: own ? undefined : table,
      guard,
      authorities: before?.authorities ?? authoritiesOf(entry, port),
    }
  })
}

function authoritiesOf(entry: ServiceEntry, port: ServicePort): readonly string[] {
  const hosts = [...entry.clusterIPs, `${entry.name}.${entry.namespace}.svc.cluster.local`]
  return hosts.map((host) => destinationKey(host, port.port))
}

/** A Snapshot of these entries, under their keys. */
export function snapshotOf(entries: readonly Entry[]): Snapshot {
  return new Map(entries.map((entry) => [entryKey(entry), entry]))
}
