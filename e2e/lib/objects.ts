/** An object of the API as the suite handles it: what it does not name is left as it is. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly generation?: number
    readonly uid?: string
    readonly resourceVersion?: string
    readonly deletionTimestamp?: string
  }
  readonly [field: string]: unknown
}

/** Which kind of object, where. */
export interface Kind {
  readonly apiVersion: string
  readonly kind: string
}

/** The kinds that cases ask for by name. */
export const kinds = {
  Namespace: { apiVersion: 'v1', kind: 'Namespace' },
  Node: { apiVersion: 'v1', kind: 'Node' },
  Pod: { apiVersion: 'v1', kind: 'Pod' },
  Service: { apiVersion: 'v1', kind: 'Service' },
  ServiceAccount: { apiVersion: 'v1', kind: 'ServiceAccount' },
  ConfigMap: { apiVersion: 'v1', kind: 'ConfigMap' },
  Secret: { apiVersion: 'v1', kind: 'Secret' },
  Event: { apiVersion: 'v1', kind: 'Event' },
  Deployment: { apiVersion: 'apps/v1', kind: 'Deployment' },
  DaemonSet: { apiVersion: 'apps/v1', kind: 'DaemonSet' },
  EndpointSlice: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
  Lease: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
  PodDisruptionBudget: { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' },
  HorizontalPodAutoscaler: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' },
  GatewayClass: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GatewayClass' },
  Gateway: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway' },
  HTTPRoute: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute' },
  GRPCRoute: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GRPCRoute' },
  TCPRoute: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'TCPRoute' },
  TLSRoute: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'TLSRoute' },
} as const satisfies Record<string, Kind>

export type KindName = keyof typeof kinds

const clusterWide: ReadonlySet<string> = new Set([
  'Namespace', 'Node', 'GatewayClass', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition', 'PriorityClass', 'PersistentVolume',
])

/** Path of a kind's list, or of one object. */
export function pathOf(kind: Kind, namespace?: string, name?: string): string {
  const root = kind.apiVersion.includes('/') ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`
  const place = clusterWide.has(kind.kind) || namespace === undefined ? '' : `/namespaces/${namespace}`
  return `${root}${place}/${plural(kind.kind)}${name === undefined ? '' : `/${name}`}`
}

/** The resource's name in URLs: English plurals, as the API makes them. */
function plural(kind: string): string {
  const word = kind.toLowerCase()
  if (/[^aeiou]y$/.test(word)) return `${word.slice(0, -1)}ies`
  return /(?:s|x|ch|sh)$/.test(word) ? `${word}es` : `${word}s`
}

/** A condition of a status. Source: Kubernetes API conventions. */
export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly observedGeneration?: number
  readonly lastTransitionTime?: string
}

/** An entry of `status.parents` of a route. */
export interface RouteParentStatus {
  readonly parentRef: { readonly kind?: string; readonly name: string; readonly namespace?: string; readonly port?: number; readonly sectionName?: string }
  readonly controllerName: string
  readonly conditions?: readonly Condition[]
}

/** Our entries of a route's status. */
export function routeParents(route: KubeObject, controllerName: string): readonly RouteParentStatus[] {
  const { parents = [] } = (route['status'] ?? {}) as { readonly parents?: readonly RouteParentStatus[] }
  return parents.filter((parent) => parent.controllerName === controllerName)
}

/** Conditions of an object that has them at the top of its status. */
export function conditionsOf(object: KubeObject): readonly Condition[] {
  return ((object['status'] ?? {}) as { readonly conditions?: readonly Condition[] }).conditions ?? []
}

/** Whether a condition holds and was told of the object's present generation. */
export function holds(conditions: readonly Condition[] | undefined, type: string, generation: number | undefined): boolean {
  return conditions?.some((each) => each.type === type && each.status === 'True' && (each.observedGeneration ?? generation) === generation) === true
}
