import { isResourceKind, type Resource, type ResourceSet } from '../api/resources.ts'
import type { KubeObject } from '../kube/object.ts'
import type { KubeRef } from '../kube/paths.ts'
import { namespacedName, type ObjectRef } from '../model/refs.ts'

/** Tells objects of all kinds apart. */
export function keyOf({ kind, namespace, name }: ObjectRef): string {
  return `${kind}/${namespace}/${name}`
}

/** Whether two names are of one object. */
export function sameRef(a: ObjectRef, b: ObjectRef): boolean {
  return a.name === b.name && a.namespace === b.namespace && a.kind === b.kind
}

/** Whether all objects of a kind are the same ones: a set is never changed in place. */
export function sameKind(a: ResourceSet, b: ResourceSet, { kind }: ObjectRef): boolean {
  return isResourceKind(kind) && a[kind] === b[kind]
}

/** The object of that name; undefined if it is not in the set. */
export function objectOf(resources: ResourceSet, { kind, namespace, name }: ObjectRef): Resource | undefined {
  return isResourceKind(kind) ? resources[kind].get(namespacedName(namespace, name)) : undefined
}

/** How an object is named in a read. */
export function refIn({ apiVersion, kind, metadata: { namespace, name } }: Resource): KubeRef {
  return { apiVersion, kind, namespace, name }
}

/** The whole object: only its status counts, but admission policies see all of it. */
export function withStatus(object: Resource, resourceVersion: string | undefined, status: object): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion }, status } as unknown as KubeObject
}
