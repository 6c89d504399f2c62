/** Any JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** Whether a JSON value is an object and not a list. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `object` with `name` set; a field called `__proto__` is a field like any other. */
export function withField(object: Json, name: string, value: unknown): Json {
  const copy = { ...object }
  Object.defineProperty(copy, name, { value, enumerable: true, configurable: true, writable: true })
  return copy
}

/** `object` without these fields. */
export function without<T extends object>(object: T, ...names: readonly string[]): T {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key))) as T
}

/** The own field of that name, never an inherited one. */
export function field(object: Json, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** Source: RFC 7386, JSON Merge Patch. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  let result: Json = isObject(target) ? target : {}
  for (const [name, value] of Object.entries(patch)) {
    result = value === null ? without(result, name) : withField(result, name, mergePatch(field(result, name), value))
  }
  return result
}

/** Fields that tell the items of a list apart, by the list's own name; lists that are not here are owned whole. */
const listKeys: Readonly<Record<string, readonly (readonly string[])[]>> = {
  containers: [['name']],
  initContainers: [['name']],
  volumes: [['name']],
  env: [['name']],
  volumeMounts: [['mountPath']],
  ports: [['containerPort', 'protocol'], ['port', 'protocol']],
  conditions: [['type']],
  ownerReferences: [['uid']],
  listeners: [['name']],
  topologySpreadConstraints: [['topologyKey', 'whenUnsatisfiable']],
  imagePullSecrets: [['name']],
}

/** The segment of an item's path if `list` is one whose items are told apart by fields. */
function itemSegment(listName: string, item: unknown): string | undefined {
  if (!Object.hasOwn(listKeys, listName) || !isObject(item)) return undefined
  const fields = listKeys[listName]?.find(([first = '']) => Object.hasOwn(item, first))
  if (fields === undefined) return undefined
  return `k:${JSON.stringify(Object.fromEntries(fields.map((name) => [name, item[name] ?? (name === 'protocol' ? 'TCP' : null)])))}`
}

/** A path of segments `f:name` and `k:{…}`, joined by a character that no segment holds. */
export type Path = string
const separator = '\u0000'

/** Every leaf of a value: scalars, lists that are owned whole, and empty objects. */
export function leavesOf(value: unknown, path: readonly string[] = [], found = new Map<Path, unknown>()): ReadonlyMap<Path, unknown> {
  const listName = path.at(-1)?.slice(2) ?? ''
  if (isObject(value) && Object.keys(value).length > 0) {
    for (const [name, each] of Object.entries(value)) leavesOf(each, [...path, `f:${name}`], found)
  } else if (Array.isArray(value) && value.length > 0 && value.every((item) => itemSegment(listName, item) !== undefined)) {
    for (const item of value as unknown[]) leavesOf(item, [...path, itemSegment(listName, item) ?? ''], found)
  } else {
    found.set(path.join(separator), value)
  }
  return found
}

/** `target` with everything of `applied` in it; items of lists that have keys are merged one by one. */
export function mergeApplied(target: unknown, applied: unknown, listName = ''): unknown {
  if (isObject(applied)) {
    let result: Json = isObject(target) ? target : {}
    for (const [name, value] of Object.entries(applied)) result = withField(result, name, mergeApplied(field(result, name), value, name))
    return result
  }
  if (!Array.isArray(applied) || !Array.isArray(target)) return applied
  const items = applied as unknown[]
  if (!items.every((item) => itemSegment(listName, item) !== undefined)) return applied
  const result = [...(target as unknown[])]
  for (const item of items) {
    const at = result.findIndex((each) => itemSegment(listName, each) === itemSegment(listName, item))
    if (at === -1) result.push(item)
    else result[at] = mergeApplied(result[at], item)
  }
  return result
}

/** `target` without the leaves at `gone`, and without what became empty by that; undefined if nothing is left. */
export function removeLeaves(target: unknown, gone: ReadonlySet<Path>, path: readonly string[] = []): unknown {
  const listName = path.at(-1)?.slice(2) ?? ''
  if (isObject(target) && Object.keys(target).length > 0) {
    const left = Object.entries(target)
      .map(([name, value]) => [name, removeLeaves(value, gone, [...path, `f:${name}`])] as const)
      .filter(([, value]) => value !== undefined)
    return left.length === 0 ? undefined : Object.fromEntries(left)
  }
  if (Array.isArray(target) && target.length > 0 && target.every((item) => itemSegment(listName, item) !== undefined)) {
    const left = (target as Json[]).flatMap((item) => {
      const segment = itemSegment(listName, item) ?? ''
      const rest = removeLeaves(item, gone, [...path, segment]) as Json | undefined
      // What tells an item apart stays as long as anything else of it does.
      return rest === undefined ? [] : [{ ...withOnly(item, Object.keys(JSON.parse(segment.slice(2)) as Json)), ...rest }]
    })
    return left.length === 0 ? undefined : left
  }
  return gone.has(path.join(separator)) ? undefined : target
}

function withOnly(object: Json, names: readonly string[]): Json {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)))
}

/** Source: Kubernetes FieldsV1, the nested form of `metadata.managedFields`. */
export function fieldsV1(paths: Iterable<Path>): Json {
  const root: Record<string, unknown> = {}
  for (const path of paths) {
    let at = root
    for (const segment of path.split(separator)) {
      // Segments start with `f:` or `k:`, so that none is a name that objects inherit.
      at[segment] ??= {}
      at = at[segment] as Record<string, unknown>
    }
  }
  return root
}
