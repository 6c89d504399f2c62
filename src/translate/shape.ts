import { formatPath, isMap, show, type FieldPath } from '../api/field.ts'

/** What a field may be. Fields that a shape does not name are not read, and stay as they are. */
export type Shape =
  | 'text'
  | 'flag'
  /** A whole number, not negative. */
  | 'count'
  /** From 1 to 65535. */
  | 'port'
  | 'port or name'
  | { readonly list: Shape }
  /** Any keys, values of one shape. */
  | { readonly map: Shape }
  | { readonly fields: Readonly<Record<string, Shape>>; readonly required: readonly string[] }

/** An object whose fields have these shapes; those in `required` must be there. */
export function fields(shapes: Readonly<Record<string, Shape>>, ...required: readonly string[]): Shape {
  return { fields: shapes, required }
}

/** A list of things of one shape. */
export function list(shape: Shape): Shape {
  return { list: shape }
}

const words = {
  'text': 'text',
  'flag': 'true or false',
  'count': 'a whole number from 0 on',
  'port': 'a port from 1 to 65535',
  'port or name': 'a port from 1 to 65535 or its name',
} as const

/** Faults beyond this number are not listed: a reader mends them a few at a time. */
const mostFaults = 3

/**
 * Checks a value against a shape. The API server's validation has done so before, unless a schema in the cluster is another one than
 * ours; what it lets through must not reach data planes. Goes no deeper than the shape, however deep the value is.
 * @param faults gets a sentence for each field of another shape
 * @returns the value without fields that are null, which the API takes for absent; the same object if there is none
 */
export function shaped(value: unknown, shape: Shape, path: FieldPath, faults: string[]): unknown {
  if (faults.length >= mostFaults) return value
  if (typeof shape === 'string') {
    if (!fitsWord(value, shape)) fault(faults, path, value, words[shape])
    return value
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) return fault(faults, path, value, 'a list')
    return unchanged(value as readonly unknown[], (value as readonly unknown[]).map((item, at) => shaped(item, shape.list, [...path, at], faults)))
  }
  if (!isMap(value)) return fault(faults, path, value, 'a map')
  if ('map' in shape) {
    for (const [key, item] of Object.entries(value)) shaped(item, shape.map, [...path, key], faults)
    return value
  }
  const changes: [string, unknown][] = []
  for (const [name, field] of Object.entries(shape.fields)) {
    const found = Object.hasOwn(value, name) ? value[name] : undefined
    if (found === undefined || found === null) {
      if (shape.required.includes(name)) fault(faults, [...path, name], found, 'set')
      if (found === null) changes.push([name, undefined])
      continue
    }
    const next = shaped(found, field, [...path, name], faults)
    if (next !== found) changes.push([name, next])
  }
  if (changes.length === 0) return value
  const gone = new Set(changes.filter(([, next]) => next === undefined).map(([name]) => name))
  return { ...Object.fromEntries(Object.entries(value).filter(([name]) => !gone.has(name))), ...Object.fromEntries(changes.filter(([name]) => !gone.has(name))) }
}

function unchanged(before: readonly unknown[], after: readonly unknown[]): readonly unknown[] {
  return after.every((item, at) => item === before[at]) ? before : after
}

function fitsWord(value: unknown, word: keyof typeof words): boolean {
  switch (word) {
    case 'text':
      return typeof value === 'string'
    case 'flag':
      return typeof value === 'boolean'
    case 'count':
      return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    case 'port':
      return isPort(value)
    case 'port or name':
      return typeof value === 'string' || isPort(value)
  }
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535
}

function fault(faults: string[], path: FieldPath, value: unknown, expected: string): unknown {
  if (faults.length < mostFaults) faults.push(`${formatPath(path)} is ${value === undefined ? 'absent' : show(value)} and must be ${expected}`)
  return value
}
