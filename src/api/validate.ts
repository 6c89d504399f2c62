import type { ObjectRef } from '../model/refs.ts'
import { checkRules } from './cel.ts'
import { checkChannel } from './channel.ts'
import { checkCore, fillCore } from './core-checks.ts'
import { coreSchemas, metadataSchema } from './core-schemas.ts'
import { withDefaults } from './defaults.ts'
import { isMap, own, show, type FieldProblem } from './field.ts'
import { checkNames } from './names.ts'
import { apiVersionOf, isResourceKind, kinds, type Resource, type ResourceKind } from './resources.ts'
import type { KindSchemas, Schema } from './schema.ts'
import { checkStructure } from './structure.ts'
import { suggest } from './suggest.ts'

/** What became of an object: good (with its defaults, under the preferred version), of a kind that is not read, or wrong. */
export type Validation =
  | { readonly kind: 'valid'; readonly object: Resource; readonly problems: readonly FieldProblem[] }
  | { readonly kind: 'ignored'; readonly ref: ObjectRef | undefined; readonly problems: readonly FieldProblem[] }
  | { readonly kind: 'invalid'; readonly ref: ObjectRef | undefined; readonly problems: readonly FieldProblem[] }

export interface ValidateOptions {
  /** Gateway API's kinds; an object must fit these. */
  readonly gateway: KindSchemas
  /** Gateway API's kinds in the standard channel: what it lacks is warned of. Undefined: no such warnings. */
  readonly standard?: KindSchemas | undefined
}

/** Kinds of others that share their name with one of ours. */
const namesakes: Readonly<Record<string, readonly string[]>> = { Gateway: ['networking.istio.io'], Service: ['serving.knative.dev'] }

/** Kinds of Gateway API that are not ours and are not misspellings of one that is. */
const unread = ['UDPRoute', 'BackendTLSPolicy', 'ListenerSet']

/**
 * Judges one object as the API server would: names, shape, defaults, rules. Never throws, whatever `value` is.
 * @param value as JSON or YAML gives it
 */
export function validate(value: unknown, options: ValidateOptions): Validation {
  if (!isMap(value)) {
    const advice = 'write a Kubernetes manifest: apiVersion, kind, metadata'
    return invalid(undefined, [error([], `is not an object but ${show(value)}`, advice)])
  }
  const [apiVersion, kind] = [own(value, 'apiVersion'), own(value, 'kind')]
  if (typeof kind !== 'string' || kind === '') {
    return invalid(undefined, [error(['kind'], 'the object has no kind', 'add apiVersion and kind')])
  }
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    const advice = isResourceKind(kind) ? `add apiVersion: ${preferred(kind)}` : 'add apiVersion'
    return invalid(undefined, [error(['apiVersion'], 'the object has no apiVersion', advice)])
  }
  const ref = refOfRaw(value, apiVersion, kind)
  if (!isResourceKind(kind) || namesakes[kind]?.includes(groupOf(apiVersion)) === true) return foreign(ref, apiVersion, kind)
  const { group, versions, namespaced } = kinds[kind]
  const version = versions.find((each) => apiVersionOf(group, each) === apiVersion)
  const schema = version === undefined ? undefined : (options.gateway[kind] ?? coreSchemas[kind])?.[version]
  if (version === undefined || schema === undefined) {
    const expected = versions.map((each) => apiVersionOf(group, each)).join(' or ')
    const message = `unsupported apiVersion ${show(apiVersion)} of kind ${kind}`
    return invalid(ref, [{ ...error(['apiVersion'], message, `write apiVersion: ${preferred(kind)}`), expected }])
  }
  const whole = withMetadata(schema)
  const filled = withDefaults(whole, value)
  const metadata = isMap(filled) ? own(filled, 'metadata') : undefined
  const shape = [...(isMap(metadata) ? checkNames(kind, metadata) : []), ...checkStructure(whole, filled)]
  if (!isMap(filled) || hasErrors(shape)) return invalid(ref, shape)
  const object = fillCore(finish(filled, kind, namespaced))
  const rules = [...checkRules(whole, object), ...checkCore(object)]
  if (hasErrors(rules)) return invalid(ref, [...shape, ...rules])
  const { standard, gateway } = options
  const channel = standard === undefined || gateway[kind] === undefined ? [] : checkChannel(standard[kind]?.[version], value)
  return { kind: 'valid', object, problems: [...shape, ...rules, ...channel] }
}

const wholes = new WeakMap<Schema, Schema>()

/** A schema with that of the metadata, which CRDs leave out. */
function withMetadata(schema: Schema): Schema {
  const known = wholes.get(schema)
  if (known !== undefined) return known
  const whole = {
    ...schema,
    properties: { ...schema.properties, metadata: metadataSchema },
    required: ['metadata', ...(schema.required ?? [])],
  }
  wholes.set(schema, whole)
  return whole
}

/** A kind that is not read: left alone, unless it is one of ours misspelt. */
function foreign(ref: ObjectRef | undefined, apiVersion: string, kind: string): Validation {
  const near = Object.keys(kinds).find((each) => each.toLowerCase() === kind.toLowerCase() && each !== kind)
  if (near !== undefined) return invalid(ref, [error(['kind'], `unknown kind ${show(kind)}`, `did you mean ${near}?`)])
  const ours = Object.entries(kinds).filter(([, info]) => info.group === groupOf(apiVersion))
  const like = unread.includes(kind) ? undefined : suggest(kind, ours.map(([name]) => name))
  const advice = like === undefined ? 'remove it from the folder if it was meant for the mesh' : `did you mean ${like}?`
  const message = `kind ${show(kind)} of ${show(apiVersion)} is not read by the mesh and is ignored`
  return { kind: 'ignored', ref, problems: [{ severity: 'warning', path: ['kind'], message, advice }] }
}

/** The object under the preferred version, with its namespace. Its shape was checked. */
function finish(value: Readonly<Record<string, unknown>>, kind: ResourceKind, namespaced: boolean): Resource {
  const { namespace, ...metadata } = value['metadata'] as Record<string, unknown>
  const placed = namespaced ? { ...metadata, namespace: namespace ?? 'default' } : metadata
  return { ...value, apiVersion: preferred(kind), metadata: placed } as unknown as Resource
}

function refOfRaw(value: Readonly<Record<string, unknown>>, apiVersion: string, kind: string): ObjectRef | undefined {
  const metadata = own(value, 'metadata')
  const name = isMap(metadata) ? own(metadata, 'name') : undefined
  if (!isMap(metadata) || typeof name !== 'string') return undefined
  const namespace = own(metadata, 'namespace')
  const namespaced = !isResourceKind(kind) || kinds[kind].namespaced
  return { group: groupOf(apiVersion), kind, namespace: namespaced ? (typeof namespace === 'string' ? namespace : 'default') : '', name }
}

function preferred(kind: ResourceKind): string {
  return apiVersionOf(kinds[kind].group, kinds[kind].versions[0])
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.lastIndexOf('/')
  return slash === -1 ? '' : apiVersion.slice(0, slash)
}

function hasErrors(problems: readonly FieldProblem[]): boolean {
  return problems.some((problem) => problem.severity === 'error')
}

function invalid(ref: ObjectRef | undefined, problems: readonly FieldProblem[]): Validation {
  return { kind: 'invalid', ref, problems }
}

function error(path: readonly (string | number)[], message: string, advice: string): FieldProblem {
  return { severity: 'error', path, message, advice }
}

