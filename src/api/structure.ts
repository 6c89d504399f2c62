import { isIP, isIPv4, isIPv6 } from 'node:net'
import { formatPath, isMap, own, show, type FieldPath, type FieldProblem } from './field.ts'
import { describePattern, matchesPattern } from './patterns.ts'
import { propertySchema } from './defaults.ts'
import type { Schema } from './schema.ts'
import { suggest } from './suggest.ts'

const adviceOf = (path: FieldPath): string => (path.length === 0 ? 'correct the object' : `correct ${formatPath(path)}`)

/**
 * Checks the shape of a value: types, required and unknown fields, patterns, bounds, uniqueness. Unknown fields are errors,
 * as `kubectl --validate=strict` has it: what a cluster would drop in silence is almost always a misspelling.
 * @returns what is wrong, in the order of the fields; empty if nothing is
 */
export function checkStructure(schema: Schema, value: unknown): FieldProblem[] {
  const problems: FieldProblem[] = []
  check(schema, value, [], problems, true)
  return problems
}

/** @param strict false below `oneOf` and its kin, whose schemas name only the fields that they judge */
function check(schema: Schema, value: unknown, path: FieldPath, problems: FieldProblem[], strict: boolean): void {
  const problem = (message: string, expected?: string, advice = adviceOf(path), at = path): void => {
    problems.push({ severity: 'error', path: at, message, expected, advice })
  }
  if (value === null && schema.nullable === true) return
  const wanted = wantedType(schema, value)
  if (wanted !== undefined) {
    problem(`has the wrong type: ${show(value)}`, wanted, typeAdvice(wanted, value, path))
    return
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    const names = schema.enum.map(String)
    const near = typeof value === 'string' ? suggest(value, names) : undefined
    problem(`unsupported value ${show(value)}`, `one of ${names.join(', ')}`, near === undefined ? adviceOf(path) : `did you mean ${near}?`)
  }
  if (typeof value === 'string') checkText(schema, value, problem)
  else if (typeof value === 'number') checkNumber(schema, value, problem)
  else if (Array.isArray(value)) checkList(schema, value, { path, problems, problem, strict })
  else if (isMap(value)) checkMap(schema, value, { path, problems, problem, strict })
  checkJunctors(schema, value, problem)
}

type Report = (message: string, expected?: string, advice?: string, at?: FieldPath) => void

/** Where a list or map stands, and how it is judged. */
interface Context {
  readonly path: FieldPath
  readonly problems: FieldProblem[]
  readonly problem: Report
  readonly strict: boolean
}

/** The type that a value should have had, or undefined if it has it. */
function wantedType(schema: Schema, value: unknown): string | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) {
    return typeof value === 'string' || Number.isInteger(value) ? undefined : 'an integer or a string'
  }
  const type = schema.type === undefined ? undefined : types[schema.type]
  return type === undefined || type.test(value) ? undefined : type.expected
}

const types: Readonly<Record<NonNullable<Schema['type']>, { readonly test: (value: unknown) => boolean; readonly expected: string }>> = {
  object: { test: isMap, expected: 'a map' },
  array: { test: Array.isArray, expected: 'a list' },
  string: { test: (value) => typeof value === 'string', expected: 'a string' },
  integer: { test: Number.isInteger, expected: 'an integer' },
  number: { test: (value) => typeof value === 'number', expected: 'a number' },
  boolean: { test: (value) => typeof value === 'boolean', expected: 'true or false' },
}

function typeAdvice(wanted: string, value: unknown, path: FieldPath): string {
  if (wanted === 'a string' && (typeof value === 'number' || typeof value === 'boolean')) return `put it in quotes: "${value}"`
  if (wanted === 'an integer' && typeof value === 'string' && /^\d+$/.test(value)) return `write it without quotes: ${value}`
  if (wanted === 'a list' && isMap(value)) return 'begin it with `- `'
  return adviceOf(path)
}

function checkText(schema: Schema, value: string, problem: Report): void {
  // Kubernetes counts characters, not UTF-16 units.
  const length = (): number => Array.from(value).length
  if (schema.maxLength !== undefined && value.length > schema.maxLength && length() > schema.maxLength) {
    // No pattern runs on text that is too long already.
    problem(`is too long: ${length()} characters`, `at most ${schema.maxLength} characters`)
    return
  }
  if (schema.minLength !== undefined && length() < schema.minLength) {
    problem(value === '' ? 'is empty' : 'is too short', `at least ${schema.minLength} characters`)
  }
  if (schema.pattern !== undefined && !matchesPattern(schema.pattern, value)) {
    problem(`invalid value ${show(value)}`, describePattern(schema.pattern))
  }
  const format = schema.format === undefined ? undefined : formats[schema.format]
  if (format !== undefined && !format.test(value)) problem(`invalid value ${show(value)}`, format.expected)
}

const formats: Readonly<Record<string, { readonly test: (text: string) => boolean; readonly expected: string }>> = {
  'ip': { test: (text) => isIP(text) !== 0, expected: 'an IP address' },
  'cluster-ip': { test: (text) => text === '' || text === 'None' || isIP(text) !== 0, expected: 'an IP address, or None' },
  'ipv4': { test: isIPv4, expected: 'an IPv4 address' },
  'ipv6': { test: isIPv6, expected: 'an IPv6 address' },
  'date-time': {
    test: (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text)),
    expected: 'a time such as 2026-01-31T12:00:00Z',
  },
  'byte': { test: (text) => /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text), expected: 'base64' },
}

function checkNumber(schema: Schema, value: number, problem: Report): void {
  const least = schema.minimum ?? (schema.format === 'int32' ? -(2 ** 31) : Number.MIN_SAFE_INTEGER)
  const most = schema.maximum ?? (schema.format === 'int32' ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER)
  if (value < least || value > most || Number.isNaN(value)) problem(`is out of range: ${value}`, `${least} to ${most}`)
}

function checkList(schema: Schema, list: readonly unknown[], { path, problems, problem, strict }: Context): void {
  if (schema.maxItems !== undefined && list.length > schema.maxItems) {
    problem(`has too many items: ${list.length}`, `at most ${schema.maxItems} items`)
    return
  }
  if (schema.minItems !== undefined && list.length < schema.minItems) problem('has too few items', `at least ${schema.minItems} items`)
  if (schema.items !== undefined) for (const [at, item] of list.entries()) check(schema.items, item, [...path, at], problems, strict)
  const type = schema['x-kubernetes-list-type']
  if (type !== 'set' && type !== 'map') return
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const seen = new Map<string, number>()
  for (const [at, item] of list.entries()) {
    const id = JSON.stringify(type === 'map' && isMap(item) ? keys.map((key) => own(item, key)) : item)
    const first = seen.get(id)
    if (first === undefined) seen.set(id, at)
    else {
      const expected = type === 'map' ? `a different ${keys.join(' or ')}` : undefined
      problem(`is a duplicate of ${formatPath([...path, first])}`, expected, 'remove one of the two', [...path, at])
    }
  }
}

function checkMap(schema: Schema, map: Readonly<Record<string, unknown>>, { path, problems, problem, strict }: Context): void {
  const keys = Object.keys(map)
  if (schema.maxProperties !== undefined && keys.length > schema.maxProperties) {
    problem(`has too many entries: ${keys.length}`, `at most ${schema.maxProperties} entries`)
    return
  }
  if (schema.minProperties !== undefined && keys.length < schema.minProperties) {
    problem('has too few entries', `at least ${schema.minProperties} entries`)
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(map, name)) problem(`the required field ${name} is missing`, undefined, `add ${formatPath([...path, name])}`)
  }
  const untyped = schema.properties === undefined && schema.type !== 'object'
  const open = !strict || untyped || schema['x-kubernetes-preserve-unknown-fields'] === true
  for (const key of keys) {
    const child = propertySchema(schema, key)
    if (child !== undefined) check(child, map[key], [...path, key], problems, strict)
    else if (!open) problem(...unknownField(key, Object.keys(schema.properties ?? {})), [...path, key])
  }
}

function unknownField(key: string, known: readonly string[]): [string, string | undefined, string] {
  const near = suggest(key, known)
  const expected = near === undefined && known.length > 0 && known.length <= 20 ? `one of ${known.join(', ')}` : undefined
  const advice = near === undefined ? 'remove it: a cluster would drop it in silence' : `did you mean ${near}?`
  return [`unknown field ${show(key)}`, expected, advice]
}

function checkJunctors(schema: Schema, value: unknown, problem: Report): void {
  const fits = (each: Schema): boolean => {
    const found: FieldProblem[] = []
    check(each, value, [], found, false)
    return found.length === 0
  }
  for (const each of schema.allOf ?? []) if (!fits(each)) problem('does not keep all of its rules')
  if (schema.anyOf !== undefined && !schema.anyOf.some(fits)) problem('fits none of the forms that it may have')
  if (schema.oneOf !== undefined && schema.oneOf.filter(fits).length !== 1) {
    problem('does not fit exactly one of the forms that it may have')
  }
  if (schema.not !== undefined && fits(schema.not)) problem('has a form that is not allowed')
}
