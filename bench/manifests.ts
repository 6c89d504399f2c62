import { resourceSetOf, type Resource, type ResourceSet } from '../src/api/resources.ts'
import type { HTTPRoute } from '../src/api/routes.ts'

/** How the routes of the measured namespace are spread. */
export type Shape =
  /** One route on one Service. */
  | 'one-route'
  /** One Service and one route each, as many as asked for. */
  | 'many-services'
  /** All routes on one Service. */
  | 'one-service'

export const namespace = 'bench'
export const waypointName = 'waypoint'
/** Routes of the large shapes. */
export const manyRoutes = 5_000
/** The route that the measured requests take: neither the first nor the last one. */
export const measuredRoute = manyRoutes / 2
/** Path of the measured requests, the same for every shape. */
export const measuredPath = `/r${measuredRoute}/item`

const servicePort = 8080
const gatewayGroup = 'gateway.networking.k8s.io'
const clusterIp = (at: number): string => `10.96.${at >> 8}.${at & 255}`
const serviceName = (at: number): string => `web-${at}`

/** Which Service the measured requests are sent to, and the tunnel's `:authority` for it. */
export function measuredDestination(shape: Shape): { readonly service: string; readonly authority: string } {
  const at = shape === 'one-service' ? 1 : measuredRoute
  return { service: serviceName(at), authority: `${clusterIp(at)}:${servicePort}` }
}

/** The objects of a namespace with a waypoint whose Services all lead to `127.0.0.1:backendPort`. */
export function resourcesOf(shape: Shape, backendPort: number): ResourceSet {
  const indices = shape === 'one-route' ? [measuredRoute] : Array.from({ length: manyRoutes }, (_, at) => at + 1)
  const services = shape === 'one-service' ? [1] : indices
  return resourceSetOf([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: `${gatewayGroup}/v1`, kind: 'Gateway', metadata: { namespace, name: waypointName },
      spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    },
    ...services.flatMap((at) => serviceAt(at, backendPort)),
    ...indices.map((at) => routeAt(at, serviceName(shape === 'one-service' ? 1 : at), '10s')),
  ])
}

function serviceAt(at: number, backendPort: number): Resource[] {
  const name = serviceName(at)
  return [
    {
      apiVersion: 'v1', kind: 'Service', metadata: { namespace, name },
      spec: { type: 'ClusterIP', clusterIP: clusterIp(at), ports: [{ name: 'http', port: servicePort, protocol: 'TCP' }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace, name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4', ports: [{ name: 'http', port: backendPort, protocol: 'TCP' }],
      endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
    },
  ]
}

/** A route as people write them: a path, a header that is set, a timeout, one backend. */
export function routeAt(at: number, service: string, timeout: string): HTTPRoute {
  return {
    apiVersion: `${gatewayGroup}/v1`, kind: 'HTTPRoute', metadata: { namespace, name: `route-${at}` },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: service, port: servicePort }],
      rules: [{
        matches: [{ path: { type: 'PathPrefix', value: `/r${at}` } }],
        filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-route', value: String(at) }] } }],
        backendRefs: [{ group: '', kind: 'Service', name: service, port: servicePort, weight: 1 }],
        timeouts: { request: timeout },
      }],
    },
  }
}

/** The same objects with another timeout in every route, or in one of them: what a reload has to take over. */
export function withTimeout(resources: ResourceSet, timeout: string, only?: string): ResourceSet {
  const changed = new Map(resources.HTTPRoute)
  for (const [key, route] of changed) {
    if (only !== undefined && key !== only) continue
    const rules = (route.spec.rules ?? []).map((rule) => ({ ...rule, timeouts: { request: timeout } }))
    changed.set(key, { ...route, spec: { ...route.spec, rules } })
  }
  return { ...resources, HTTPRoute: changed }
}
