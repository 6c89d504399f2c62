import { isMap } from '../api/field.ts'
import { kinds, type Resource, type ResourceKind, type ResourceSet } from '../api/resources.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import { sentences } from './conditions.ts'
import { keepLast, perObject } from './memo.ts'
import { shaped, type Shape } from './shape.ts'
import { infrastructureShape, kindShapes, metadataShape, parentRefsShape, selectorShape, statusShapes, targetRefsShape } from './shapes.ts'

/** The objects of a set as translation can read them. */
export interface Screened {
  /** Every field that is read has the type that it should have. */
  readonly resources: ResourceSet
  readonly warnings: readonly Warning[]
}

/** What an object is taken for. */
interface Judged {
  /** Undefined: it is left out. */
  readonly object: Resource | undefined
  readonly warning: Warning | undefined
}

/** Why a route's, or a Gateway's infrastructure's, fields could not be read; by the object that stands in its place. */
const faults = new WeakMap<object, string>()

/** Why nothing but the head of an object was kept, a sentence for its status; undefined: it is whole. */
export function faultOf(object: object): string | undefined {
  return faults.get(object)
}

const routeKinds: ReadonlySet<ResourceKind> = new Set(['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] as const)

/** Kinds that say in their own status why they can not be read. */
const tellingKinds: ReadonlySet<ResourceKind> = new Set([...routeKinds, 'AuthorizationPolicy', 'MTLSPolicy'])

/**
 * Keeps objects of an unexpected shape away from the rest, so that one of them can not harm the others: a route is reduced to its
 * parentRefs and a policy to what it is about, so that their status can say what is wrong, a Gateway to one without listeners, anything else is left out with a warning.
 */
export function createScreen(): (resources: ResourceSet) => Screened {
  const screens = new Map((Object.keys(kinds) as ResourceKind[]).map((kind) => [kind, screenOf(kind)]))
  return (resources) => {
    const warnings: Warning[] = []
    const screened = Object.fromEntries(
      [...screens].map(([kind, screen]) => {
        const { map, found } = screen(resources[kind])
        warnings.push(...found)
        return [kind, map]
      }),
    )
    return { resources: screened as unknown as ResourceSet, warnings }
  }
}

type ObjectMap = ReadonlyMap<NamespacedName, Resource>

function screenOf(kind: ResourceKind): (map: ObjectMap) => { readonly map: ObjectMap; readonly found: readonly Warning[] } {
  if (kindShapes[kind] === undefined) return (map) => ({ map, found: [] })
  const judge = perObject((object: Resource) => judgeObject(kind, object))
  let clean: ObjectMap = new Map()
  return keepLast((map) => {
    const found: Warning[] = []
    let kept: Map<NamespacedName, Resource> | undefined
    const before = clean
    for (const [key, given] of map) {
      if (before.get(key) === given) continue
      const { object, warning } = judge(given)
      if (warning !== undefined) found.push(warning)
      if (object === given) continue
      kept ??= new Map(map)
      if (object === undefined) kept.delete(key)
      else kept.set(key, object)
    }
    // What was whole needs no second look; while something is not, all of its kind are looked up again.
    clean = found.length === 0 && kept === undefined ? map : new Map()
    return { map: kept ?? map, found }
  })
}

function judgeObject(kind: ResourceKind, given: Resource): Judged {
  const problems: string[] = []
  const object = whole(kind, given, problems)
  if (problems.length === 0) return { object, warning: undefined }
  const message = sentences(problems)
  const head = headOf(kind, given)
  if (head !== undefined) faults.set(head, message)
  const { name, namespace } = (isMap(given.metadata) ? given.metadata : {}) as { readonly name?: unknown; readonly namespace?: unknown }
  const ref = { group: kinds[kind].group, kind, namespace: typeof namespace === 'string' ? namespace : '', name: typeof name === 'string' ? name : '' }
  // What stands in a status needs no warning beside it.
  const warning = head !== undefined && tellingKinds.has(kind) ? undefined : {
    ref, field: '', message: `${message}; it is ${head === undefined ? 'left out' : 'not read any further'}`,
    advice: 'mend that, and see that the cluster\'s resource definitions are those that this version knows: waymark check',
  }
  return { object: head, warning }
}

/** The object as it is read, if all of it can be. */
function whole(kind: ResourceKind, given: Resource, problems: string[]): Resource {
  const { shape, required } = kindShapes[kind] ?? { shape: {}, required: [] }
  const all = shaped(given, { fields: { metadata: metadataShape, ...shape }, required: ['metadata', ...required] }, [], problems) as Resource
  return withInfrastructure(withStatus(kind, all))
}

/** What is left of an object whose spec can not be read: enough to say so in its status. */
function headOf(kind: ResourceKind, given: Resource): Resource | undefined {
  const problems: string[] = []
  const { apiVersion, metadata } = given
  const named = shaped(metadata, metadataShape, ['metadata'], problems)
  const spec = (given as { readonly spec?: unknown }).spec
  if (problems.length > 0 || !isMap(spec)) return undefined
  const status = (given as { readonly status?: unknown }).status
  const base = { apiVersion, kind, metadata: named, ...(status === undefined ? {} : { status }) }
  if (routeKinds.has(kind)) {
    const parentRefs = shaped(spec['parentRefs'] ?? [], parentRefsShape, ['spec', 'parentRefs'], problems)
    return problems.length > 0 ? undefined : withStatus(kind, { ...base, spec: { parentRefs, rules: [] } } as unknown as Resource)
  }
  // What is not known of a policy's reach it is taken to reach.
  const part = (name: string, shape: Shape): object => {
    const faults: string[] = []
    const value = spec[name] === undefined ? undefined : shaped(spec[name], shape, ['spec', name], faults)
    return value === undefined || faults.length > 0 ? {} : { [name]: value }
  }
  if (kind === 'AuthorizationPolicy') return { ...base, spec: { ...part('targetRefs', targetRefsShape), ...part('selector', selectorShape) } } as unknown as Resource
  if (kind === 'MTLSPolicy') return { ...base, spec: { mode: 'Strict', ...part('selector', selectorShape) } } as unknown as Resource
  if (kind === 'Gateway' && typeof spec['gatewayClassName'] === 'string') {
    return withStatus(kind, { ...base, spec: { gatewayClassName: spec['gatewayClassName'], listeners: [] } } as unknown as Resource)
  }
  return undefined
}

function withStatus(kind: ResourceKind, object: Resource): Resource {
  const shape = statusShapes[kind]
  const { status, ...others } = object as Resource & { readonly status?: unknown }
  if (shape === undefined || status === undefined) return object
  const problems: string[] = []
  const read = shaped(status, shape, ['status'], problems)
  if (problems.length > 0) return others
  return read === status ? object : ({ ...others, status: read } as Resource)
}

/** A Gateway whose infrastructure can not be read goes on serving with what runs. */
function withInfrastructure(object: Resource): Resource {
  if (object.kind !== 'Gateway' || !isMap(object.spec)) return object
  const given: unknown = object.spec.infrastructure
  if (given === undefined) return object
  const problems: string[] = []
  const infrastructure = given === null ? undefined : shaped(given, infrastructureShape, ['spec', 'infrastructure'], problems)
  if (problems.length === 0 && infrastructure === given) return object
  const next = { ...object, spec: { ...object.spec, infrastructure: problems.length === 0 ? infrastructure : undefined } } as Resource
  if (problems.length > 0) faults.set(next, sentences(problems))
  return next
}
