import { isMap } from './field.ts'
import type { Schema } from './schema.ts'

/**
 * `value` as the API server would store it: nulls of fields that may not be null are dropped, then missing fields get their
 * defaults. Parts that do not change stay the same objects; `value` itself never changes. Wrong types pass untouched.
 * Source: Kubernetes documentation, "Defaulting and nullable".
 */
export function withDefaults(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) return schema.items === undefined ? value : defaultItems(schema.items, value)
  if (!isMap(value)) return value
  let changes: Map<string, unknown> | undefined
  for (const [key, child] of Object.entries(value)) {
    const childSchema = propertySchema(schema, key)
    if (childSchema === undefined) continue
    const next = child === null && childSchema.nullable !== true ? undefined : withDefaults(childSchema, child)
    if (next !== child) (changes ??= new Map()).set(key, next)
  }
  for (const [key, childSchema] of Object.entries(schema.properties ?? {})) {
    if (childSchema.default === undefined) continue
    const present = Object.hasOwn(value, key) && !(changes?.has(key) === true && changes.get(key) === undefined)
    // A default may itself lack fields that have defaults.
    if (!present) (changes ??= new Map()).set(key, withDefaults(childSchema, structuredClone(childSchema.default)))
  }
  if (changes === undefined) return value
  // Entries, not assignments: a key called __proto__ must stay a key.
  const kept = Object.entries(value).filter(([key]) => changes.get(key) !== undefined || !changes.has(key))
  return Object.fromEntries([...kept, ...[...changes].filter(([, next]) => next !== undefined)])
}

/** The schema of a field of a map, be it named or free. */
export function propertySchema(schema: Schema, key: string): Schema | undefined {
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key]
  return schema.additionalProperties
}

function defaultItems(items: Schema, list: readonly unknown[]): readonly unknown[] {
  const next = list.map((item) => withDefaults(items, item))
  return next.some((item, at) => item !== list[at]) ? next : list
}
