/** The part of every object that names it. Source: Kubernetes ObjectMeta, the fields that this mesh reads. */
export interface ObjectMeta {
  readonly name: string
  /** Absent for cluster-scoped kinds; file mode fills in `default` for the others. */
  readonly namespace?: string | undefined
  readonly uid?: string | undefined
  /** Counts changes of the spec. File mode leaves it absent, which reads as 1: `generationOf`. */
  readonly generation?: number | undefined
  readonly resourceVersion?: string | undefined
  /** RFC 3339. File mode leaves it absent: equal age, and names break the tie. */
  readonly creationTimestamp?: string | undefined
  readonly deletionTimestamp?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/** What every object has. */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

/** Names another object of the same namespace. */
export interface LocalObjectReference {
  readonly group?: string | undefined
  readonly kind?: string | undefined
  readonly name: string
}

/** A condition as it stands in a status. Source: metav1.Condition. */
export interface StatusCondition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly observedGeneration?: number | undefined
  readonly lastTransitionTime?: string | undefined
}

/** The generation that a status observes; objects from files have none, which counts as 1. */
export function generationOf(object: KubernetesObject): number {
  return object.metadata.generation ?? 1
}

/** The namespace of an object, '' if it is cluster-scoped. */
export function namespaceOf(object: KubernetesObject): string {
  return object.metadata.namespace ?? ''
}
