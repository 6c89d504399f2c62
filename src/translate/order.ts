import type { KubernetesObject } from '../api/meta.ts'

/** Order by UTF-16 code units: the same on every machine, unlike a locale's. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Creation time in milliseconds since the epoch. Objects from files have none: all equally old, and older than any that has one. */
export function createdAt(object: KubernetesObject): number {
  const parsed = Date.parse(object.metadata.creationTimestamp ?? '')
  return Number.isNaN(parsed) ? 0 : parsed
}

/**
 * Who was there first: oldest, then `namespace/name`.
 * Source: Gateway API, "Conflicts", applied to routes that merge and to Gateways that compete.
 */
export function compareAge(a: KubernetesObject, b: KubernetesObject): number {
  return (
    createdAt(a) - createdAt(b) ||
    compareText(`${a.metadata.namespace ?? ''}/${a.metadata.name}`, `${b.metadata.namespace ?? ''}/${b.metadata.name}`)
  )
}
