import { isIP } from 'node:net'
import { Environment } from '@marcbachmann/cel-js'
import { formatPath, isMap, own, type FieldPath, type FieldProblem } from './field.ts'
import { matchesPattern } from './patterns.ts'
import { propertySchema } from './defaults.ts'
import type { CelRule, Schema } from './schema.ts'

/** Tells whether a value keeps a rule. @throws if the rule can not be evaluated on it */
export type CompiledRule = (self: unknown) => boolean

// `matches` of the library runs on RegExp, which backtracks and lacks RE2's flags: rules call ours in its place.
const environment = new Environment({ enableOptionalTypes: true })
  .registerVariable('self', 'dyn')
  .registerFunction('isIP(string): bool', (text: string) => isIP(text) !== 0)
  .registerFunction('hasField(dyn, string): bool', (map: unknown, key: string) => isMap(map) && own(map, key) !== undefined)
  .registerFunction('string.matchesRe2(string): bool', (text: string, pattern: string) => matchesPattern(pattern, text))

/** Names that CEL reserves stand escaped in rules. Source: Kubernetes documentation, "Validation rules", escaping. */
const escapedKeyword =
  /\b__(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while)__\b/g

/** `has(a[0].b)`: the library's macro knows dots only. */
const hasThroughIndex = /\bhas\((\w[\w.]*\[\w+\](?:[\w.]|\[\w+\])*)\.(\w+)\)/g

const compiled = new Map<string, CompiledRule>()

/** Whether a rule compares with the object before a change, which a file does not have. */
export function isTransition(rule: CelRule): boolean {
  return /\boldSelf\b/.test(rule.rule)
}

/**
 * A rule of a CRD as a function; compiled once.
 * @throws if the rule is not CEL that we can run, which no rule of the CRDs that we carry is (a test compiles them all)
 */
export function compileRule(rule: string): CompiledRule {
  const known = compiled.get(rule)
  if (known !== undefined) return known
  const text = rule
    .replaceAll('.matches(', '.matchesRe2(')
    .replaceAll(escapedKeyword, '$1')
    .replaceAll(hasThroughIndex, 'hasField($1, "$2")')
  const program = environment.parse(text)
  const checked = program.check()
  if (!checked.valid || checked.type !== 'bool') {
    throw new Error(`CEL rule is of type ${checked.type ?? 'none'}, not bool: ${rule}`, { cause: checked.error })
  }
  const run: CompiledRule = (self) => program({ self }) === true
  compiled.set(rule, run)
  return run
}

/** Applies the rules of a schema to a value that has the schema's shape and its defaults. */
export function checkRules(schema: Schema, value: unknown): FieldProblem[] {
  const problems: FieldProblem[] = []
  walk(schema, value, [], problems)
  return problems
}

function walk(schema: Schema, value: unknown, path: FieldPath, problems: FieldProblem[]): void {
  for (const rule of schema['x-kubernetes-validations'] ?? []) {
    const message = isTransition(rule) ? undefined : violation(rule, value)
    if (message !== undefined) {
      problems.push({ severity: 'error', path, message, advice: `correct ${formatPath(path)}: the API server refuses it, too` })
    }
  }
  if (Array.isArray(value)) {
    if (schema.items === undefined || !hasRules(schema.items)) return
    for (const [at, item] of value.entries()) walk(schema.items, item, [...path, at], problems)
  } else if (isMap(value)) {
    for (const key of Object.keys(value)) {
      const child = propertySchema(schema, key)
      if (child !== undefined && hasRules(child)) walk(child, value[key], [...path, key], problems)
    }
  }
}

function violation(rule: CelRule, value: unknown): string | undefined {
  try {
    return compileRule(rule.rule)(value) ? undefined : (rule.message ?? 'breaks a rule of its definition')
  } catch (error) {
    const cause = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    return `${rule.message ?? 'breaks a rule of its definition'} (${cause})`
  }
}

const ruled = new WeakMap<Schema, boolean>()

/** Whether a schema or one below it has rules: most have none, and their values are not walked. */
function hasRules(schema: Schema): boolean {
  const known = ruled.get(schema)
  if (known !== undefined) return known
  const single = [schema.items, schema.additionalProperties].filter((each) => each !== undefined)
  const below = [...Object.values(schema.properties ?? {}), ...single]
  const answer = (schema['x-kubernetes-validations'] ?? []).length > 0 || below.some(hasRules)
  ruled.set(schema, answer)
  return answer
}
