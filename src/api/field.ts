/** Where something stands in an object: keys and positions from its root. */
export type FieldPath = readonly (string | number)[]

/** Something wrong with one field of an object. */
export interface FieldProblem {
  readonly severity: 'error' | 'warning'
  readonly path: FieldPath
  readonly message: string
  readonly expected?: string | undefined
  readonly advice: string
}

/** `spec.rules[0].matches`; keys that are no plain words stand in brackets, `metadata.labels[app.kubernetes.io/name]`. */
export function formatPath(path: FieldPath): string {
  return path.map((part, at) => (typeof part === 'string' && /^[\w-]+$/.test(part) ? (at === 0 ? part : `.${part}`) : `[${part}]`)).join('')
}

/** A value as a message shows it: short, on one line. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : isMap(value) ? 'a map' : Array.isArray(value) ? 'a list' : String(value)
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`
}

/** Whether a value is a map of JSON or YAML. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The own property of a map; what its prototype has does not count. */
export function own(map: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined
}
