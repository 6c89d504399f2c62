import { isMap, own } from '../../api/field.ts'
import type { KubeObject } from '../../kube/object.ts'

/** Makes of an object, as it came, what is kept of it. May share parts with `value`, never changes it. */
export type Trim = (value: Readonly<Record<string, unknown>>, apiVersion: string, kind: string) => KubeObject

/** All of an object but `managedFields`, which is half of it and nobody's business. */
export const asObject: Trim = (value, apiVersion, kind) => build(value, apiVersion, kind, without(own(value, 'metadata'), ['managedFields']))

/** `value` with everything in it frozen. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}

function build(value: Readonly<Record<string, unknown>>, apiVersion: string, kind: string, metadata: unknown): KubeObject {
  // The name was checked when it was read.
  return { ...value, apiVersion, kind, metadata } as KubeObject
}

function without(value: unknown, keys: readonly string[]): unknown {
  if (!isMap(value) || !keys.some((key) => Object.hasOwn(value, key))) return value
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)))
}
