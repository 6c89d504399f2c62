import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { KubeMeta, KubeObject } from '../../src/kube/object.ts'
import { fieldsV1, isObject, leavesOf, mergeApplied, mergePatch, removeLeaves, without, type Path } from './fields.ts'
import type { ServedKind } from './kinds.ts'

/** An answer that is no success; becomes a `metav1.Status`. */
export class StatusError extends Error {
  readonly status: number
  readonly reason: string
  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

/** One change, as watches tell it. */
export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: KubeObject
  /** What it was before; undefined for a new one. */
  readonly previous: KubeObject | undefined
  readonly resourceVersion: number
}

/** Who writes, and what of the object. */
export interface Writing {
  /** Field manager; undefined: nobody keeps account of the fields (state that a test puts there). */
  readonly manager?: string | undefined
  /** `status`: the rest stays as it is. `all`: both at once, as no client can. */
  readonly part?: 'main' | 'status' | 'all'
}

/** Objects of all kinds in memory, with versions, generations, field owners and a bounded history. */
export interface Store {
  readonly version: () => number
  readonly get: (kind: ServedKind, namespace: string, name: string) => KubeObject | undefined
  /** In key order. */
  readonly list: (kind: ServedKind, namespace?: string) => readonly KubeObject[]
  readonly create: (kind: ServedKind, object: KubeObject, writing?: Writing) => KubeObject
  /** @throws StatusError 404 if it is not there, 409 if `object` has another resourceVersion */
  readonly update: (kind: ServedKind, object: KubeObject, writing?: Writing) => KubeObject
  readonly patch: (kind: ServedKind, namespace: string, name: string, patch: unknown, writing?: Writing) => KubeObject
  /** Server-side apply; creates what is not there. @throws StatusError 409 for fields of others, unless forced */
  readonly apply: (kind: ServedKind, object: KubeObject, manager: string, force: boolean, part?: 'main' | 'status') => KubeObject
  readonly remove: (kind: ServedKind, namespace: string, name: string, uid?: string, orphan?: boolean) => KubeObject
  /** Changes after that version; undefined if the history does not reach back so far. */
  readonly since: (kind: ServedKind, version: number) => readonly StoreEvent[] | undefined
  readonly listen: (kind: ServedKind, listener: (event: StoreEvent) => void) => () => void
  /** Forgets the history: older versions are gone. */
  readonly compact: () => void
}

type Managers = ReadonlyMap<string, ReadonlySet<Path>>

interface Shelf {
  readonly objects: Map<string, { readonly object: KubeObject; readonly managers: Managers }>
  readonly listeners: Set<(event: StoreEvent) => void>
  history: StoreEvent[]
  /** The oldest version from which the history is whole. */
  from: number
}

/**
 * @param allKinds kinds that the garbage collector looks through
 * @param historySize changes that are kept of each kind
 */
export function createStore(allKinds: () => Iterable<ServedKind>, historySize: number): Store {
  let version = 1000
  let clusterIPs = 0
  const shelves = new Map<string, Shelf>()
  const shelf = (kind: ServedKind): Shelf => {
    const key = `${kind.group}/${kind.plural}`
    let found = shelves.get(key)
    if (found === undefined) shelves.set(key, (found = { objects: new Map(), listeners: new Set(), history: [], from: version }))
    return found
  }

  const tell = (kind: ServedKind, event: StoreEvent): void => {
    const { history, listeners } = shelf(kind)
    history.push(event)
    // Cut in large steps: each cut copies what is left.
    if (history.length > 2 * historySize) {
      const dropped = history.splice(0, history.length - historySize)
      shelf(kind).from = dropped.at(-1)?.resourceVersion ?? 0
    }
    for (const listener of listeners) listener(event)
  }

  const keep = (kind: ServedKind, object: KubeObject, managers: Managers, previous: KubeObject | undefined): KubeObject => {
    version++
    const managed = [...managers].filter(([, paths]) => paths.size > 0).map(([key, paths]) => managedFields(object.apiVersion, key, paths))
    const stored: KubeObject = {
      ...object,
      metadata: { ...without(object.metadata, 'managedFields'), resourceVersion: String(version), ...(managed.length === 0 ? {} : { managedFields: managed }) },
    }
    shelf(kind).objects.set(keyOf(object.metadata), { object: stored, managers })
    tell(kind, { type: previous === undefined ? 'ADDED' : 'MODIFIED', object: stored, previous, resourceVersion: version })
    return stored
  }

  const withAddresses = (kind: ServedKind, object: KubeObject): KubeObject => {
    if (kind.kind !== 'Service' || !isObject(object['spec'])) return object
    const spec = object['spec']
    if (spec['clusterIP'] !== undefined || spec['clusterIPs'] !== undefined || spec['type'] === 'ExternalName') return object
    clusterIPs++
    const clusterIP = `10.96.${(clusterIPs >> 8) & 255}.${clusterIPs & 255}`
    return { ...object, spec: { ...spec, clusterIP, clusterIPs: [clusterIP] } }
  }

  const create = (kind: ServedKind, given: KubeObject, { manager, part = 'main' }: Writing = {}, managers?: Managers): KubeObject => {
    const { generateName } = given.metadata
    const name = given.metadata.name as string | undefined
    const prefix = typeof generateName === 'string' ? generateName : ''
    const metadata: KubeMeta = { ...given.metadata, name: name ?? `${prefix}${randomUUID().slice(0, 5)}` }
    if (shelf(kind).objects.has(keyOf(metadata))) throw new StatusError(409, 'AlreadyExists', `${nameOf(kind)} "${metadata.name}" already exists`)
    const content = part !== 'all' && kind.status ? without(given, 'status') : given
    const made: KubeObject = withAddresses(kind, {
      ...content,
      metadata: {
        ...metadata,
        uid: part === 'all' ? (metadata.uid ?? randomUUID()) : randomUUID(),
        creationTimestamp: part === 'all' ? (metadata.creationTimestamp ?? now()) : now(),
        ...(content['spec'] === undefined ? {} : { generation: part === 'all' ? (metadata.generation ?? 1) : 1 }),
        ...(kind.kind === 'Namespace' ? { labels: { 'kubernetes.io/metadata.name': metadata.name, ...metadata.labels } } : {}),
      },
    })
    const owners = managers ?? (manager === undefined ? new Map() : new Map([[`${manager}/Update/`, new Set(ownable(content).keys())]]))
    return keep(kind, made, owners, undefined)
  }

  const current = (kind: ServedKind, namespace: string, name: string): { readonly object: KubeObject; readonly managers: Managers } => {
    const found = shelf(kind).objects.get(`${namespace}/${name}`)
    if (found === undefined) throw new StatusError(404, 'NotFound', `${nameOf(kind)} "${name}" not found`)
    return found
  }

  const write = (kind: ServedKind, given: KubeObject, { manager, part = 'main' }: Writing, managers?: Managers): KubeObject => {
    const { metadata } = given
    const { object: old, managers: owners } = current(kind, metadata.namespace ?? '', metadata.name)
    if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== old.metadata.resourceVersion) {
      throw new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${nameOf(kind)} "${metadata.name}": the object has been modified; please apply your changes to the latest version and try again`)
    }
    if (metadata.uid !== undefined && metadata.uid !== old.metadata.uid) {
      throw new StatusError(409, 'Conflict', `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${String(old.metadata.uid)}`)
    }
    const next = withKept(old, mixed(kind, old, given, part))
    const bumps = next['spec'] !== undefined && !same(contentOf(old), contentOf(next))
    const bumped: KubeObject = bumps ? { ...next, metadata: { ...next.metadata, generation: (old.metadata.generation ?? 0) + 1 } } : next
    const owned = managers ?? (manager === undefined ? owners : ownedByUpdate(owners, manager, part, old, bumped))
    if (same(plain(old), plain(bumped)) && same(owners, owned)) return old
    const written = keep(kind, bumped, owned, old)
    if (written.metadata.deletionTimestamp !== undefined && finalizersOf(written).length === 0) return drop(kind, written)
    return written
  }

  const drop = (kind: ServedKind, object: KubeObject): KubeObject => {
    shelf(kind).objects.delete(keyOf(object.metadata))
    version++
    const last: KubeObject = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
    tell(kind, { type: 'DELETED', object: last, previous: object, resourceVersion: version })
    return last
  }

  const collect = (owner: KubeObject, orphan: boolean): void => {
    for (const kind of allKinds()) {
      for (const { object } of [...shelf(kind).objects.values()]) {
        const { ownerReferences = [], namespace, name } = object.metadata
        const inside = owner.kind === 'Namespace' && namespace === owner.metadata.name
        if (!inside && !ownerReferences.some(({ uid }) => uid === owner.metadata.uid)) continue
        const left = ownerReferences.filter(({ uid }) => uid !== owner.metadata.uid)
        if (!inside && (orphan || left.length > 0)) write(kind, { ...object, metadata: { ...object.metadata, ownerReferences: left } }, { part: 'all' })
        else remove(kind, namespace ?? '', name)
      }
    }
  }

  const remove: Store['remove'] = (kind, namespace, name, uid, orphan = false) => {
    const { object } = current(kind, namespace, name)
    if (uid !== undefined && uid !== object.metadata.uid) {
      throw new StatusError(409, 'Conflict', `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${String(object.metadata.uid)}`)
    }
    if (finalizersOf(object).length > 0) {
      if (object.metadata.deletionTimestamp !== undefined) return object
      return keep(kind, { ...object, metadata: { ...object.metadata, deletionTimestamp: now() } }, current(kind, namespace, name).managers, object)
    }
    const last = drop(kind, object)
    // As the garbage collector: a little later.
    setImmediate(() => collect(last, orphan))
    return last
  }

  return {
    version: () => version,
    get: (kind, namespace, name) => shelf(kind).objects.get(`${namespace}/${name}`)?.object,
    list: (kind, namespace) =>
      [...shelf(kind).objects]
        .filter(([key]) => namespace === undefined || key.startsWith(`${namespace}/`))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, { object }]) => object),
    create: (kind, object, writing) => create(kind, object, writing),
    update: (kind, object, writing = {}) => write(kind, object, writing),
    patch: (kind, namespace, name, patch, writing = {}) => {
      const { object } = current(kind, namespace, name)
      const version = isObject(patch) && isObject(patch['metadata']) ? patch['metadata']['resourceVersion'] : undefined
      const next = mergePatch(object, patch) as KubeObject
      return write(kind, { ...next, metadata: { ...without(next.metadata, 'resourceVersion'), name, ...(typeof version === 'string' ? { resourceVersion: version } : {}) } }, writing)
    },
    apply: (kind, object, manager, force, part = 'main') => {
      const { namespace = '', name } = object.metadata
      const old = shelf(kind).objects.get(`${namespace}/${name}`)
      const key = `${manager}/Apply/${part === 'status' ? 'status' : ''}`
      const applied = ownable(object)
      const paths = new Set(applied.keys())
      if (old === undefined) {
        if (part === 'status') throw new StatusError(404, 'NotFound', `${nameOf(kind)} "${name}" not found`)
        return create(kind, object, {}, new Map([[key, paths]]))
      }
      const managers = new Map(old.managers)
      const present = ownable(old.object)
      const taken: string[] = []
      for (const [other, owned] of old.managers) {
        if (other === key) continue
        const conflicts = [...paths].filter((path) => owned.has(path) && !same(present.get(path), applied.get(path)))
        if (conflicts.length === 0) continue
        taken.push(...conflicts.map((path) => `conflict with "${other.split('/')[0] ?? ''}": .${path.split('\u0000').map((each) => each.slice(2)).join('.')}`))
        managers.set(other, new Set([...owned].filter((path) => !conflicts.includes(path))))
      }
      if (taken.length > 0 && !force) throw new StatusError(409, 'Conflict', `Apply failed with ${taken.length} conflict: ${taken.join(', ')}`)
      const kept = new Set([...managers].flatMap(([other, owned]) => (other === key ? [] : [...owned])))
      const gone = new Set([...(old.managers.get(key) ?? [])].filter((path) => !paths.has(path) && !kept.has(path)))
      const next = gone.size === 0 ? old.object : removeLeaves(old.object, gone)
      managers.set(key, paths)
      const merged = mergeApplied(next, object) as KubeObject
      const { resourceVersion } = object.metadata
      const metadata = { ...without(merged.metadata, 'resourceVersion'), ...(resourceVersion === undefined ? {} : { resourceVersion }) }
      return write(kind, { ...merged, metadata }, { part }, managers)
    },
    remove,
    since: (kind, from) => {
      const { history, from: oldest } = shelf(kind)
      return from < oldest ? undefined : history.filter(({ resourceVersion }) => resourceVersion > from)
    },
    listen: (kind, listener) => {
      shelf(kind).listeners.add(listener)
      return () => shelf(kind).listeners.delete(listener)
    },
    compact: () => {
      for (const each of shelves.values()) {
        each.history = []
        each.from = version
      }
    },
  }
}

function keyOf({ namespace = '', name }: KubeMeta): string {
  return `${namespace}/${name}`
}

function nameOf({ group, plural }: ServedKind): string {
  return group === '' ? plural : `${plural}.${group}`
}

function finalizersOf({ metadata: { finalizers } }: KubeObject): readonly unknown[] {
  return Array.isArray(finalizers) ? finalizers : []
}

/** Whether two values are equal; nested too deeply for the stack, they count as different. */
function same(a: unknown, b: unknown): boolean {
  try {
    return isDeepStrictEqual(a, b)
  } catch {
    return false
  }
}

/** Seconds, as the API writes times. */
function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`
}

/** What a write of `part` makes of the object. */
function mixed(kind: ServedKind, old: KubeObject, given: KubeObject, part: 'main' | 'status' | 'all'): KubeObject {
  if (part === 'all' || !kind.status) return given
  const status = (part === 'status' ? given : old)['status']
  const rest = without(part === 'status' ? old : given, 'status')
  return status === undefined ? rest : { ...rest, status }
}

/** What no client can change. */
function withKept(old: KubeObject, next: KubeObject): KubeObject {
  const { uid, creationTimestamp, generation, deletionTimestamp } = old.metadata
  const kept = { uid, creationTimestamp, generation, deletionTimestamp }
  const metadata = { ...without(next.metadata, 'resourceVersion'), ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)) }
  if (old.kind !== 'Service' || !isObject(old['spec']) || !isObject(next['spec'])) return { ...next, metadata }
  const { clusterIP, clusterIPs } = old['spec']
  const addresses = clusterIP === undefined || next['spec']['clusterIP'] !== undefined ? {} : { clusterIP, clusterIPs }
  return { ...next, metadata, spec: { ...next['spec'], ...addresses } }
}

/** Everything by which the generation goes up. */
function contentOf(object: KubeObject): object {
  return without(object, 'metadata', 'status')
}

function plain(object: KubeObject): object {
  return { ...object, metadata: without(object.metadata, 'resourceVersion', 'managedFields') }
}

/** The fields that somebody can own. */
function ownable(object: KubeObject): ReadonlyMap<Path, unknown> {
  const { labels, annotations, ownerReferences, finalizers } = object.metadata
  const metadata = Object.fromEntries(Object.entries({ labels, annotations, ownerReferences, finalizers }).filter(([, value]) => value !== undefined))
  return leavesOf({ ...without(object, 'apiVersion', 'kind', 'metadata'), ...(Object.keys(metadata).length === 0 ? {} : { metadata }) })
}

function ownedByUpdate(owners: Managers, manager: string, part: string, old: KubeObject, next: KubeObject): Managers {
  const before = ownable(old)
  const after = ownable(next)
  const set = [...after.keys()].filter((path) => !before.has(path) || !same(before.get(path), after.get(path)))
  const gone = [...before.keys()].filter((path) => !after.has(path))
  if (set.length + gone.length === 0) return owners
  const lost = new Set([...set, ...gone])
  const result = new Map([...owners].map(([key, paths]) => [key, new Set([...paths].filter((path) => !lost.has(path)))] as const))
  const key = `${manager}/Update/${part === 'status' ? 'status' : ''}`
  result.set(key, new Set([...(result.get(key) ?? []), ...set]))
  return result
}

function managedFields(apiVersion: string, key: string, paths: ReadonlySet<Path>): object {
  const [manager, operation, subresource] = key.split('/')
  return { manager, operation, ...(subresource === '' ? {} : { subresource }), apiVersion, fieldsType: 'FieldsV1', fieldsV1: fieldsV1(paths) }
}
