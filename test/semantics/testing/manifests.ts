import type { AddressInfo } from 'node:net'

/** Anything that listens on loopback: an HTTP server, a TCP server, or an address that is written down. */
export type Listening = { readonly address: () => AddressInfo | string | null } | { readonly host: string; readonly port: number }

/** A Kubernetes object as it is written down. */
export type Manifest = Readonly<Record<string, unknown>>

export interface EndpointChanges {
  readonly conditions?: Readonly<Record<string, boolean>>
  readonly targetRef?: Readonly<Record<string, string>>
}

/** One endpoint of a Service: where it listens and what its EndpointSlice says of it. */
export type EndpointOf = Listening | (EndpointChanges & { readonly at: Listening })

export interface PortSpec {
  readonly name?: string
  readonly port: number
  readonly appProtocol?: string
  readonly targetPort?: number | string
}

const gatewayApi = 'gateway.networking.k8s.io'

/** A file of manifests. */
export function manifests(...objects: readonly Manifest[]): string {
  return objects.map((object) => JSON.stringify(object)).join('\n---\n')
}

/** Where it listens. */
export function addressOf(listening: Listening): { readonly host: string; readonly port: number } {
  if ('port' in listening) return listening
  const { address, port } = listening.address() as AddressInfo
  return { host: address, port }
}

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): Manifest {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }
}

/** A namespace with a waypoint. */
export function l7Namespace(name: string, labels: Readonly<Record<string, string>> = {}, listener: Manifest = {}): Manifest[] {
  const listeners = [{ name: 'mesh', port: 15008, protocol: 'HBONE', ...listener }]
  return [
    namespace(name, labels),
    { apiVersion: `${gatewayApi}/v1`, kind: 'Gateway', metadata: { name: 'waypoint', namespace: name }, spec: { gatewayClassName: 'waypoint', listeners } },
  ]
}

/** A Service `namespace/name` of `ports` (default: `http`, 80) and one slice for each endpoint, which serves every port. */
export function service(
  key: string,
  endpoints: readonly EndpointOf[],
  spec: { readonly ports?: readonly PortSpec[] } & Manifest = {},
): Manifest[] {
  const [in_, name] = key.split('/')
  const ports: readonly PortSpec[] = spec.ports ?? [{ name: 'http', port: 80 }]
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: in_ }, spec: { ...spec, ports } }
  return [object, ...endpoints.map((endpoint, at) => slice(key, `${name ?? ''}-${at}`, endpoint, ports.map((port) => port.name ?? '')))]
}

/** An EndpointSlice of one endpoint of the Service `key`. */
export function slice(key: string, sliceName: string, endpoint: EndpointOf, portNames: readonly string[] = ['http']): Manifest {
  const [in_, name] = key.split('/')
  const { at, ...changes } = 'at' in endpoint ? endpoint : { at: endpoint }
  const { host, port } = addressOf(at)
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: sliceName, namespace: in_, labels: { 'kubernetes.io/service-name': name } },
    addressType: host.includes(':') ? 'IPv6' : 'IPv4',
    ports: portNames.map((portName) => (portName === '' ? { port } : { name: portName, port })),
    endpoints: [{ addresses: [host], ...changes }],
  }
}

export interface RouteChanges {
  /** Default: the Service of the route's `service`. */
  readonly parent?: Manifest
  readonly hostnames?: readonly string[]
  readonly created?: string
}

/** A route `namespace/name` of a kind, for the Service `namespace/name`. */
export function route(kind: 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute' | 'TCPRoute', key: string, to: string, rules: readonly Manifest[], changes: RouteChanges = {}): Manifest {
  const [in_, name] = key.split('/')
  const [serviceNamespace, serviceName] = to.split('/')
  const version = kind === 'TCPRoute' ? 'v1alpha2' : 'v1'
  return {
    apiVersion: `${gatewayApi}/${version}`,
    kind,
    metadata: { name, namespace: in_, ...(changes.created === undefined ? {} : { creationTimestamp: changes.created }) },
    spec: {
      parentRefs: [changes.parent?.['kind'] === 'Gateway' ? changes.parent : { group: '', kind: 'Service', namespace: serviceNamespace, name: serviceName, ...changes.parent }],
      ...(changes.hostnames === undefined ? {} : { hostnames: changes.hostnames }),
      rules,
    },
  }
}

/** A backendRef to `namespace/name`, port 80 unless `changes` say otherwise. */
export function to(key: string, changes: Manifest = {}): Manifest {
  const [in_, name] = key.split('/')
  return { namespace: in_, name, port: 80, ...changes }
}

/** A rule for paths with a prefix. */
export function prefix(value: string, rest: Manifest): Manifest {
  return { matches: [{ path: { type: 'PathPrefix', value } }], ...rest }
}

/** A policy `namespace/name` of our own kinds. */
export function policy(key: string, spec: Manifest, kind: 'AuthorizationPolicy' | 'MTLSPolicy' = 'AuthorizationPolicy'): Manifest {
  const [in_, name] = key.split('/')
  return { apiVersion: 'policy.waymark.dev/v1alpha1', kind, metadata: { name, namespace: in_ }, spec }
}

/** The targetRef of a Service or, with `kind`, of a Gateway or a route. */
export function target(name: string, kind = 'Service'): Manifest {
  return { group: kind === 'Service' ? '' : gatewayApi, kind, name }
}
