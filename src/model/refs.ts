/** Names an object of any kind. `group` is '' for the core group; `namespace` is '' for cluster-scoped kinds. */
export interface ObjectRef {
  readonly group: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
}

/** `namespace/name`: how objects of one kind are keyed and how they are named to people. */
export type NamespacedName = string

/** Joins a namespace and a name. */
export function namespacedName(namespace: string, name: string): NamespacedName {
  return `${namespace}/${name}`
}

/** `Kind namespace/name`, as people read it. */
export function describeRef(ref: ObjectRef): string {
  return ref.namespace === '' ? `${ref.kind} ${ref.name}` : `${ref.kind} ${ref.namespace}/${ref.name}`
}
