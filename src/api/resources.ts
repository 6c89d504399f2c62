import { namespacedName, type NamespacedName, type ObjectRef } from '../model/refs.ts'
import type { ConfigMap, EndpointSlice, Namespace, Node, Pod, Secret, Service, ServiceAccount } from './core.ts'
import type { Gateway, GatewayClass, ReferenceGrant } from './gateway.ts'
import type { AuthorizationPolicy, MTLSPolicy } from './policies.ts'
import type { GRPCRoute, HTTPRoute, TCPRoute, TLSRoute } from './routes.ts'

/** Every kind that the mesh reads, by name. */
export interface Kinds {
  readonly GatewayClass: GatewayClass
  readonly Gateway: Gateway
  readonly HTTPRoute: HTTPRoute
  readonly GRPCRoute: GRPCRoute
  readonly TLSRoute: TLSRoute
  readonly TCPRoute: TCPRoute
  readonly ReferenceGrant: ReferenceGrant
  readonly AuthorizationPolicy: AuthorizationPolicy
  readonly MTLSPolicy: MTLSPolicy
  readonly Namespace: Namespace
  readonly Service: Service
  readonly EndpointSlice: EndpointSlice
  readonly Pod: Pod
  readonly Node: Node
  readonly ServiceAccount: ServiceAccount
  readonly Secret: Secret
  readonly ConfigMap: ConfigMap
}

export type ResourceKind = keyof Kinds

export type KindOf<K extends ResourceKind> = Kinds[K]

/** An object of any kind that the mesh reads; `kind` tells them apart. */
export type Resource = Kinds[ResourceKind]

/** The whole input of the mesh: for each kind its objects by `namespace/name` (`/name` if cluster-scoped). Never changed in place. */
export type ResourceSet = { readonly [K in ResourceKind]: ReadonlyMap<NamespacedName, KindOf<K>> }

export interface KindInfo {
  /** '' for the core group. */
  readonly group: string
  /** API versions that are read, the preferred one first; objects are handed on under that one. */
  readonly versions: readonly [string, ...string[]]
  readonly namespaced: boolean
  readonly plural: string
}

const gatewayGroup = 'gateway.networking.k8s.io'
/** Of our own kinds. */
export const policyGroup = 'policy.waymark.dev'

/** What the API says of each kind. Source: Kubernetes 1.36 and Gateway API v1.6.1, served versions. */
export const kinds: { readonly [K in ResourceKind]: KindInfo } = {
  GatewayClass: { group: gatewayGroup, versions: ['v1', 'v1beta1'], namespaced: false, plural: 'gatewayclasses' },
  Gateway: { group: gatewayGroup, versions: ['v1', 'v1beta1'], namespaced: true, plural: 'gateways' },
  HTTPRoute: { group: gatewayGroup, versions: ['v1', 'v1beta1'], namespaced: true, plural: 'httproutes' },
  GRPCRoute: { group: gatewayGroup, versions: ['v1'], namespaced: true, plural: 'grpcroutes' },
  TLSRoute: { group: gatewayGroup, versions: ['v1', 'v1alpha3', 'v1alpha2'], namespaced: true, plural: 'tlsroutes' },
  TCPRoute: { group: gatewayGroup, versions: ['v1', 'v1alpha2'], namespaced: true, plural: 'tcproutes' },
  ReferenceGrant: { group: gatewayGroup, versions: ['v1', 'v1beta1'], namespaced: true, plural: 'referencegrants' },
  AuthorizationPolicy: { group: policyGroup, versions: ['v1alpha1'], namespaced: true, plural: 'authorizationpolicies' },
  MTLSPolicy: { group: policyGroup, versions: ['v1alpha1'], namespaced: true, plural: 'mtlspolicies' },
  Namespace: { group: '', versions: ['v1'], namespaced: false, plural: 'namespaces' },
  Service: { group: '', versions: ['v1'], namespaced: true, plural: 'services' },
  EndpointSlice: { group: 'discovery.k8s.io', versions: ['v1'], namespaced: true, plural: 'endpointslices' },
  Pod: { group: '', versions: ['v1'], namespaced: true, plural: 'pods' },
  Node: { group: '', versions: ['v1'], namespaced: false, plural: 'nodes' },
  ServiceAccount: { group: '', versions: ['v1'], namespaced: true, plural: 'serviceaccounts' },
  Secret: { group: '', versions: ['v1'], namespaced: true, plural: 'secrets' },
  ConfigMap: { group: '', versions: ['v1'], namespaced: true, plural: 'configmaps' },
}

/** Whether the mesh reads objects of this kind name. */
export function isResourceKind(kind: string): kind is ResourceKind {
  return Object.hasOwn(kinds, kind)
}

/** `group/version` as it stands in `apiVersion`; the core group has none. */
export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`
}

/** The key of an object among those of its kind. */
export function keyOf(object: Resource): NamespacedName {
  return namespacedName(kinds[object.kind].namespaced ? (object.metadata.namespace ?? 'default') : '', object.metadata.name)
}

/** The name of an object in full. */
export function refOf(object: Resource): ObjectRef {
  const { group, namespaced } = kinds[object.kind]
  return { group, kind: object.kind, namespace: namespaced ? (object.metadata.namespace ?? 'default') : '', name: object.metadata.name }
}

/** A set of `objects`; of two with one key the later one stays. */
export function resourceSetOf(objects: Iterable<Resource>): ResourceSet {
  const set = freshMaps()
  for (const object of objects) set[object.kind].set(keyOf(object), object)
  // Each object went into the map of its own kind.
  return set as unknown as ResourceSet
}

/** A set without objects. */
export function emptyResources(): ResourceSet {
  return resourceSetOf([])
}

/** `set` with `object` in it; the maps of all other kinds stay the same ones. `set` itself does not change. */
export function withObject(set: ResourceSet, object: Resource): ResourceSet {
  const key = keyOf(object)
  if (set[object.kind].get(key) === object) return set
  return { ...set, [object.kind]: new Map<NamespacedName, Resource>(set[object.kind]).set(key, object) }
}

/** `set` without the object of that kind and key; `set` itself does not change. */
export function withoutObject(set: ResourceSet, kind: ResourceKind, key: NamespacedName): ResourceSet {
  if (!set[kind].has(key)) return set
  const map = new Map<NamespacedName, Resource>(set[kind])
  map.delete(key)
  return { ...set, [kind]: map }
}

/** All objects of a set. */
export function* objectsOf(set: ResourceSet): Generator<Resource> {
  for (const map of Object.values(set)) yield* (map as ReadonlyMap<NamespacedName, Resource>).values()
}

function freshMaps(): Record<ResourceKind, Map<NamespacedName, Resource>> {
  return Object.fromEntries(Object.keys(kinds).map((kind) => [kind, new Map()])) as Record<ResourceKind, Map<NamespacedName, Resource>>
}
