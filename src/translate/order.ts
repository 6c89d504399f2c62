import type { KubernetesObject } from '../api/meta.ts'
import { perObject } from './memo.ts'

/** Order by UTF-16 code units: the same on every machine, unlike a locale's. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Creation time in milliseconds since the epoch. Objects from files have none: all equally old, and older than any that has one. */
export function createdAt(object: KubernetesObject): number {
  const parsed = Date.parse(object.metadata.creationTimestamp ?? '')
  return Number.isNaN(parsed) ? 0 : parsed
}

/** Parsed once for each object: lists of thousands are sorted by it. */
const age = perObject((object: KubernetesObject) => ({
  createdMs: createdAt(object),
  name: `${object.metadata.namespace ?? ''}/${object.metadata.name}`,
}))

/**
 * Who was there first: oldest, then `namespace/name`.
 * Source: Gateway API, "Conflicts", applied to routes that merge and to Gateways that compete.
 */
export function compareAge(a: KubernetesObject, b: KubernetesObject): number {
  const first = age(a)
  const second = age(b)
  return first.createdMs - second.createdMs || compareText(first.name, second.name)
}

/** Order by `namespace/name`. */
export function compareNames(a: KubernetesObject, b: KubernetesObject): number {
  return compareText(age(a).name, age(b).name)
}
