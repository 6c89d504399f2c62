import type { Service, ServicePortSpec } from '../api/core.ts'
import { refOf } from '../api/resources.ts'
import type { AnyRoute } from '../api/routes.ts'
import { routesKey, waypointKey, type EntryKey, type PortProtocol, type ServiceEntry } from '../model/entries.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import { waypointLabel } from './labels.ts'
import { isWaypointService } from './waypoint-addresses.ts'

/** A TCP port of a Service and what its manifest says of the protocol. */
export interface PortInfo {
  readonly name: string
  readonly port: number
  /** From `appProtocol`, else from the name's prefix; undefined: neither says. */
  readonly declared: PortProtocol | undefined
  /** The `appProtocol` that decided, if one did. */
  readonly appProtocol: string | undefined
  readonly targetPort: number | string | undefined
  /** Key of the table of its producer routes, whether or not there is one. */
  readonly producerKey: EntryKey
}

/** A Service, read once. */
export interface ServiceInfo {
  readonly key: NamespacedName
  readonly namespace: string
  readonly name: string
  /**
   * `virtual`: has, or will have, a ClusterIP; only those can be parents of routes. `waypoint`: was made for a waypoint, so it is
   * no destination in the mesh: it has no entries and no routes.
   */
  readonly type: 'virtual' | 'headless' | 'external' | 'waypoint'
  /** TCP ports in the manifest's order. */
  readonly ports: readonly PortInfo[]
  /** Ports that speak UDP or SCTP only: the mesh does not carry them. */
  readonly otherPorts: ReadonlySet<number>
  /** Labelled `waymark.dev/waypoint: none`. */
  readonly atL4: boolean
  /** Every address family, the primary one first. */
  readonly clusterIPs: readonly string[]
  readonly object: Service
}

/** Source: Kubernetes "Application protocol" and the IANA names in use; server-first protocols must not wait for first bytes. */
const byAppProtocol: ReadonlyMap<string, PortProtocol> = new Map<string, PortProtocol>(Object.entries({
  'http': 'http',
  'http2': 'http2',
  'grpc': 'http2',
  'kubernetes.io/h2c': 'http2',
  'kubernetes.io/ws': 'http',
  'kubernetes.io/wss': 'tls',
  'https': 'tls',
  'tls': 'tls',
  'tcp': 'tcp',
  'mongo': 'tcp',
  'mysql': 'tcp',
  'postgres': 'tcp',
  'postgresql': 'tcp',
  'redis': 'tcp',
} as const))

const byNamePrefix: ReadonlyMap<string, PortProtocol> = new Map<string, PortProtocol>(Object.entries({
  http: 'http',
  http2: 'http2',
  grpc: 'http2',
  https: 'tls',
  tls: 'tls',
  tcp: 'tcp',
} as const))

/** Reads a Service. */
export function readService(object: Service): ServiceInfo {
  const namespace = object.metadata.namespace ?? ''
  const { name } = object.metadata
  const specs = object.spec?.ports ?? []
  const ports = specs.filter((port) => (port.protocol ?? 'TCP') === 'TCP').map((port) => readPort(port, { namespace, name }))
  const carried = new Set(ports.map((port) => port.port))
  return {
    key: namespacedName(namespace, name),
    namespace,
    name,
    type: typeOf(object),
    ports,
    otherPorts: new Set(specs.map((port) => port.port).filter((port) => !carried.has(port))),
    atL4: object.metadata.labels?.[waypointLabel] === 'none',
    clusterIPs: clusterIPs(object),
    object,
  }
}

/** Whether the data plane is told of a Service; not of an ExternalName, for the mesh knows nothing of where it leads. */
export function isDestination({ type }: ServiceInfo): boolean {
  return type === 'virtual' || type === 'headless'
}

/** What the entry of a Service is made from, besides the Service. */
export type ServiceView = {
  /** Name of the active waypoint of a namespace. */
  readonly waypoint: (namespace: string) => string | undefined
  /** The kind of the producer routes that a waypoint applies, by key of their table; they outrank what the manifest says. */
  readonly routeKind: (table: EntryKey) => AnyRoute['kind'] | undefined
}

/** The entry of a Service; undefined for one that is no destination. */
export function serviceEntry(service: ServiceInfo, view: ServiceView): ServiceEntry | undefined {
  if (!isDestination(service)) return undefined
  const { namespace, name } = service
  const waypoint = service.type === 'headless' || service.atL4 ? undefined : view.waypoint(namespace)
  return {
    kind: 'service',
    namespace,
    name,
    clusterIPs: service.clusterIPs,
    headless: service.type === 'headless',
    ports: service.ports.map((port) => ({
      ...(port.name === '' ? {} : { name: port.name }),
      port: port.port,
      protocol: routeProtocol(view.routeKind(port.producerKey), port) ?? port.declared ?? 'auto',
    })),
    ...(waypoint === undefined ? {} : { waypoint: waypointKey(namespace, waypoint) }),
    ...nearness(service),
  }
}

/** How long a client keeps its endpoint by default, seconds. Source: core/v1 ClientIPConfig. */
const defaultAffinitySeconds = 10_800

/** What kube-proxy does with a Service's ClusterIP beyond spreading; clients of a headless one choose for themselves. */
function nearness({ type, object: { spec } }: ServiceInfo): Pick<ServiceEntry, 'affinitySeconds' | 'internalTrafficPolicy'> {
  if (type !== 'virtual') return {}
  const affinity = spec?.sessionAffinity === 'ClientIP' ? { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds } : {}
  return { ...affinity, ...(spec?.internalTrafficPolicy === 'Local' ? { internalTrafficPolicy: 'Local' } : {}) }
}

/** What producer routes make of a port; consumer routes may not change what others see. */
function routeProtocol(kind: AnyRoute['kind'] | undefined, port: PortInfo): PortProtocol | undefined {
  switch (kind) {
    case 'HTTPRoute':
      // An HTTPRoute says HTTP and leaves the version open; the port's own word for HTTP/2 still tells how to speak to it.
      return port.declared === 'http2' ? 'http2' : 'http'
    case 'GRPCRoute':
      return 'http2'
    case 'TLSRoute':
      return 'tls'
    case 'TCPRoute':
      return 'tcp'
    case undefined:
      return undefined
  }
}

/**
 * Warns of Services that claim a ClusterIP which another one has, which only hand-written manifests can do.
 * @param services in name order
 */
export function addressWarnings(services: readonly ServiceInfo[]): readonly Warning[] {
  const warnings: Warning[] = []
  const owners = new Map<string, NamespacedName>()
  for (const service of services) {
    if (service.type !== 'virtual') continue
    for (const address of service.clusterIPs) {
      const owner = owners.get(address)
      if (owner === undefined) owners.set(address, service.key)
      else {
        warnings.push({
          ref: refOf(service.object),
          field: 'spec.clusterIP',
          message: `${address} is the address of Service ${owner} too, and traffic to it can mean only one of the two`,
          advice: 'give each Service an address of its own, or none: the mesh knows them by name as well',
        })
      }
    }
  }
  return warnings
}

function typeOf(service: Service): ServiceInfo['type'] {
  if (service.spec?.type === 'ExternalName') return 'external'
  if (isWaypointService(service)) return 'waypoint'
  return service.spec?.clusterIP === 'None' || service.spec?.clusterIPs?.[0] === 'None' ? 'headless' : 'virtual'
}

/** Every address family, the primary one first; IPv6 in the spelling that Kubernetes gives, lower case. */
function clusterIPs(service: Service): readonly string[] {
  const all = [service.spec?.clusterIP, ...(service.spec?.clusterIPs ?? [])]
  return [...new Set(all.filter((ip) => ip !== undefined && ip !== '' && ip !== 'None').map((ip) => (ip ?? '').toLowerCase()))]
}

function readPort(spec: ServicePortSpec, service: { readonly namespace: string; readonly name: string }): PortInfo {
  const byApp = spec.appProtocol === undefined ? undefined : byAppProtocol.get(spec.appProtocol.toLowerCase())
  const prefix = (spec.name ?? '').split('-')[0] ?? ''
  return {
    name: spec.name ?? '',
    port: spec.port,
    declared: byApp ?? byNamePrefix.get(prefix),
    appProtocol: byApp === undefined ? undefined : spec.appProtocol,
    targetPort: spec.targetPort,
    producerKey: routesKey('producer', service.namespace, service, spec.port),
  }
}
