import { apiVersionOf, kinds, type KindInfo } from '../api/resources.ts'

/** What a path to objects of one kind is made of. */
export type PathInfo = Pick<KindInfo, 'group' | 'versions' | 'namespaced' | 'plural'>

/** Kinds that the mesh writes but does not translate. */
const written: Readonly<Record<string, PathInfo>> = {
  Deployment: { group: 'apps', versions: ['v1'], namespaced: true, plural: 'deployments' },
  DaemonSet: { group: 'apps', versions: ['v1'], namespaced: true, plural: 'daemonsets' },
  PodDisruptionBudget: { group: 'policy', versions: ['v1'], namespaced: true, plural: 'poddisruptionbudgets' },
  HorizontalPodAutoscaler: { group: 'autoscaling', versions: ['v2'], namespaced: true, plural: 'horizontalpodautoscalers' },
  Lease: { group: 'coordination.k8s.io', versions: ['v1'], namespaced: true, plural: 'leases' },
  Event: { group: 'events.k8s.io', versions: ['v1'], namespaced: true, plural: 'events' },
  TokenReview: { group: 'authentication.k8s.io', versions: ['v1'], namespaced: false, plural: 'tokenreviews' },
  SelfSubjectReview: { group: 'authentication.k8s.io', versions: ['v1'], namespaced: false, plural: 'selfsubjectreviews' },
  SelfSubjectAccessReview: { group: 'authorization.k8s.io', versions: ['v1'], namespaced: false, plural: 'selfsubjectaccessreviews' },
  CustomResourceDefinition: { group: 'apiextensions.k8s.io', versions: ['v1'], namespaced: false, plural: 'customresourcedefinitions' },
  ClusterRole: { group: 'rbac.authorization.k8s.io', versions: ['v1'], namespaced: false, plural: 'clusterroles' },
  ClusterRoleBinding: { group: 'rbac.authorization.k8s.io', versions: ['v1'], namespaced: false, plural: 'clusterrolebindings' },
  Role: { group: 'rbac.authorization.k8s.io', versions: ['v1'], namespaced: true, plural: 'roles' },
  RoleBinding: { group: 'rbac.authorization.k8s.io', versions: ['v1'], namespaced: true, plural: 'rolebindings' },
}

/** Names an object for a write; `kind` is one that this client knows. */
export interface KubeRef {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace?: string | undefined
  readonly name: string
}

/** Where objects of a kind live, whatever their version. @returns undefined for a kind that the mesh has nothing to do with */
export function pathInfo(kind: string): PathInfo | undefined {
  if (Object.hasOwn(kinds, kind)) return kinds[kind as keyof typeof kinds]
  return Object.hasOwn(written, kind) ? written[kind] : undefined
}

/** `/api/v1` or `/apis/group/version`. */
export function groupPath(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
}

/** A name as part of a path. Objects may name others as they like: no such name may lead anywhere else. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..') throw new Error(`${JSON.stringify(name)} is no name of an object`)
  return encodeURIComponent(name).replaceAll('%3A', ':')
}

/** The path of all objects of a kind, in one namespace or (`namespace` undefined) in all. */
export function collectionPath(info: PathInfo, namespace?: string, version: string = info.versions[0]): string {
  const base = groupPath(apiVersionOf(info.group, version))
  return `${base}/${namespace === undefined || !info.namespaced ? '' : `namespaces/${segment(namespace)}/`}${info.plural}`
}

/** The path of one object. @throws if the kind is not known here, a namespaced one lacks its namespace, or the name is none */
export function objectPath(ref: KubeRef, subresource?: string): string {
  return `${parentPath(ref)}/${segment(ref.name)}${subresource === undefined ? '' : `/${subresource}`}`
}

/** The path to which a new object is sent. @throws as `objectPath` */
export function parentPath({ apiVersion, kind, namespace, name }: KubeRef): string {
  const info = pathInfo(kind)
  if (info === undefined) throw new Error(`${kind} ${name}: this client does not know the kind`)
  if (info.namespaced && (namespace === undefined || namespace === '')) throw new Error(`${kind} ${name}: the namespace is missing`)
  return `${groupPath(apiVersion)}/${info.namespaced ? `namespaces/${segment(namespace ?? '')}/` : ''}${info.plural}`
}
