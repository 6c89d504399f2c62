import { isMap, own } from '../../api/field.ts'
import { namespacedName, type NamespacedName } from '../../model/refs.ts'
import { faultOfEvent, WatchFault } from './decide.ts'

/** An object as it came, of which only the name and the version are known to be there. */
export interface RawItem {
  readonly key: NamespacedName
  /** '' if it has none. */
  readonly version: string
  readonly value: Readonly<Record<string, unknown>>
}

/** A part of a list. */
export interface Page {
  readonly items: readonly RawItem[]
  /** How many items are no objects with a name. */
  readonly dropped: number
  readonly version: string
  /** Token for the next part; undefined: this is the last one. */
  readonly next: string | undefined
}

export type WatchEvent =
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly item: RawItem }
  | { readonly type: 'bookmark'; readonly version: string }
  /** Something that is no object, or an event of a kind that is not known. `version`: where to go on all the same. */
  | { readonly type: 'dropped'; readonly version: string | undefined }

/**
 * Reads a list answer.
 * @throws WatchFault if it is none
 */
export function readPage(text: string): Page {
  const value = parse(text, 'the list')
  const metadata = isMap(value) ? own(value, 'metadata') : undefined
  const version = isMap(metadata) ? textOf(metadata, 'resourceVersion') : ''
  // Go writes a list of nothing as null.
  const found = isMap(value) ? (own(value, 'items') ?? []) : undefined
  if (!isMap(metadata) || version === '' || !Array.isArray(found)) throw badLine('the list has no items or no resourceVersion')
  const items = found.map(readItem).filter((item) => item !== undefined)
  const next = textOf(metadata, 'continue')
  return { items, dropped: found.length - items.length, version, next: next === '' ? undefined : next }
}

/**
 * Reads a line of a watch.
 * @throws WatchFault if it is no event, or an ERROR event
 */
export function readEvent(line: string): WatchEvent {
  const value = parse(line, 'a line of the watch')
  const type = isMap(value) ? own(value, 'type') : undefined
  const object = isMap(value) ? own(value, 'object') : undefined
  if (typeof type !== 'string') throw badLine(`a line of the watch is no event: ${line.slice(0, 100)}`)
  if (type === 'ERROR') throw new WatchFault(errorOf(object))
  if (type === 'BOOKMARK') return { type: 'bookmark', version: versionOf(object) }
  const known = ({ ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const)[type as 'ADDED']
  const item = readItem(object)
  if (typeof known !== 'string' || item === undefined) return { type: 'dropped', version: versionOf(object) }
  return { type: known, item }
}

/**
 * Whether version `a` stands before `b`. Source: Kubernetes API concepts, "Resource versions": they compare as numbers since 1.35,
 * and always did in practice. What is no number is never older.
 */
export function isOlder(a: string, b: string): boolean {
  if (!/^[1-9]\d*$/.test(a) || !/^[1-9]\d*$/.test(b)) return false
  return a.length === b.length ? a < b : a.length < b.length
}

function readItem(value: unknown): RawItem | undefined {
  const metadata = isMap(value) ? own(value, 'metadata') : undefined
  if (!isMap(value) || !isMap(metadata)) return undefined
  const name = own(metadata, 'name')
  const namespace = own(metadata, 'namespace') ?? ''
  if (typeof name !== 'string' || name === '' || typeof namespace !== 'string') return undefined
  return { key: namespacedName(namespace, name), version: textOf(metadata, 'resourceVersion'), value }
}

function errorOf(status: unknown): ReturnType<typeof faultOfEvent> {
  if (!isMap(status)) return faultOfEvent(undefined, 'it does not say which', undefined)
  const details = own(status, 'details')
  const message = textOf(status, 'message') || textOf(status, 'reason') || 'it does not say which'
  return faultOfEvent(own(status, 'code'), message, isMap(details) ? own(details, 'retryAfterSeconds') : undefined)
}

function versionOf(object: unknown): string {
  const metadata = isMap(object) ? own(object, 'metadata') : undefined
  return isMap(metadata) ? textOf(metadata, 'resourceVersion') : ''
}

function textOf(map: Readonly<Record<string, unknown>>, key: string): string {
  const value = own(map, key)
  return typeof value === 'string' ? value : ''
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw badLine(`${what} is not JSON: ${text.slice(0, 100)}`)
  }
}

function badLine(message: string): WatchFault {
  return new WatchFault({ reason: 'bad-line', message })
}
