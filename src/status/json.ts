/** An object of JSON whose fields nobody has checked. */
export type JsonRecord = Readonly<Record<string, unknown>>

/** `value` if it is an object, else one without fields: what stands in a cluster's status was written by others. */
export function recordOf(value: unknown): JsonRecord {
  return isRecord(value) ? value : {}
}

/** `value` if it is a list, else an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : []
}

/** `value` if it is text, else ''. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Whether two values of JSON say the same: the order of fields does not count, and one that is undefined is not there. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((each, at) => sameJson(each, b[at]))
  if (!isRecord(a) || !isRecord(b)) return false
  for (const field of Object.keys(a)) if (!sameJson(a[field], Object.hasOwn(b, field) ? b[field] : undefined)) return false
  for (const field of Object.keys(b)) if (b[field] !== undefined && !Object.hasOwn(a, field)) return false
  return true
}

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
