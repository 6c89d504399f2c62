import type { Endpoint, ServiceEntry } from '../../model/entries.ts'

/** Where an agent runs, for Services that prefer what is near. */
export interface Place {
  readonly node: string
  /** The node's zone, if it is known. */
  readonly zone?: string
}

/**
 * The endpoints that kube-proxy on this node would choose from: of a Service with `internalTrafficPolicy: Local` only the node's own; else
 * those that hints give to this node or its zone, if every ready endpoint has such hints; in each case draining ones only while there is no
 * ready one.
 * @returns empty: the connection is to be refused
 * Source: Kubernetes pkg/proxy/topology.go, `CategorizeEndpoints` (1.34).
 */
export function reachableEndpoints(service: ServiceEntry, endpoints: readonly Endpoint[], place: Place): readonly Endpoint[] {
  if (service.internalTrafficPolicy === 'Local') return bestCondition(endpoints.filter(({ node }) => node === place.node))
  const ready = endpoints.filter(({ condition }) => condition === 'ready')
  if (ready.length === 0) return endpoints
  return hinted(ready, ({ forNodes }) => forNodes, place.node) ?? hinted(ready, ({ forZones }) => forZones, place.zone) ?? ready
}

/** Those with a hint for `name`; undefined unless there are some and every endpoint has hints: half a set of hints would overload a few. */
function hinted(ready: readonly Endpoint[], hintsOf: (endpoint: Endpoint) => readonly string[] | undefined, name: string | undefined): readonly Endpoint[] | undefined {
  if (name === undefined || !ready.every((each) => hintsOf(each) !== undefined)) return undefined
  const near = ready.filter((each) => hintsOf(each)?.includes(name) === true)
  return near.length > 0 ? near : undefined
}

function bestCondition(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const ready = endpoints.filter(({ condition }) => condition === 'ready')
  return ready.length > 0 ? ready : endpoints
}

/** The zone of a node, told by endpoints of pods that run on it; undefined if there is none. */
export function zoneOfNode(endpoints: Iterable<Endpoint>, node: string): string | undefined {
  for (const endpoint of endpoints) if (endpoint.node === node && endpoint.zone !== undefined) return endpoint.zone
  return undefined
}
