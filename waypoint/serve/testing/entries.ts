import type { Endpoint, EndpointsEntry, PortProtocol, RouteTableEntry, ServiceEntry } from '../../../src/model/entries.ts'
import type { HttpRule, RouteRules, WeightedBackend } from '../../../src/model/route.ts'

/** Service `namespace/name` with one port 80. */
export function service(namespace: string, name: string, ip: string, protocol: PortProtocol = 'http'): ServiceEntry {
  return { kind: 'service', namespace, name, clusterIPs: [ip], headless: false, ports: [{ port: 80, protocol }] }
}

export function endpoints(namespace: string, name: string, ...all: readonly Endpoint[]): EndpointsEntry {
  // Exactly the fields of the contract, as if they had travelled.
  const plain = all.map(({ address, port, condition, transport }) => ({ address, port, condition, transport }))
  return { kind: 'endpoints', namespace, name, ports: [{ port: 80, endpoints: plain }] }
}

export function routes(level: RouteTableEntry['level'], namespace: string, target: { namespace: string; name: string }, rules: RouteRules): RouteTableEntry {
  return { kind: 'routes', level, namespace, service: { namespace: target.namespace, name: target.name }, port: 80, routes: rules }
}

export function http(...rules: readonly Partial<HttpRule>[]): RouteRules {
  return { protocol: 'http', rules: rules.map(httpRule) }
}

function httpRule(rule: Partial<HttpRule>, at: number): HttpRule {
  return {
    kind: 'http',
    id: { routeKind: 'HTTPRoute', namespace: 'books', name: 'reviews', rule: at },
    matches: [{ path: { type: 'prefix', value: '/' }, headers: [], query: [] }],
    filters: [],
    backends: [],
    timeouts: {},
    ...rule,
  }
}

export function to(namespace: string, name: string, options: Partial<WeightedBackend> = {}): WeightedBackend {
  return { target: { kind: 'service', namespace, name, port: 80 }, weight: 1, filters: [], ...options }
}

export function prefix(value: string): HttpRule['matches'] {
  return [{ path: { type: 'prefix', value }, headers: [], query: [] }]
}
