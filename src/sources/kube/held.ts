import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../../kube/object.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { isOlder, type RawItem } from './wire.ts'

/** One object that came, changed or went. */
export type ObjectChange =
  | { readonly kind: 'put'; readonly key: NamespacedName; readonly object: KubeObject; readonly previous: KubeObject | undefined }
  | { readonly kind: 'delete'; readonly key: NamespacedName; readonly previous: KubeObject }

/** The objects of one collection as they were last seen. */
export interface Held {
  /** Changes in place; the objects in it never do. */
  readonly objects: ReadonlyMap<NamespacedName, KubeObject>
  /** Takes an object. @returns undefined if that changes nothing. @throws what `trim` throws */
  readonly put: (item: RawItem) => ObjectChange | undefined
  readonly remove: (item: RawItem) => ObjectChange | undefined
  /** An object that `replace` will get, trimmed at once, so that a long list never stands in memory in full. @throws as `put` */
  readonly prepare: (item: RawItem) => Prepared
  /** Takes a whole list in place of everything: what is not in it is gone. */
  readonly replace: (items: Iterable<Prepared>) => readonly ObjectChange[]
}

export interface Prepared {
  readonly key: NamespacedName
  readonly version: string
  readonly object: KubeObject
}

/** @param trim makes of an object what is kept of it, frozen */
export function createHeld(trim: (value: Readonly<Record<string, unknown>>) => KubeObject): Held {
  const objects = new Map<NamespacedName, KubeObject>()
  const versions = new Map<NamespacedName, string>()

  const prepare = ({ key, version, value }: RawItem): Prepared => {
    const known = objects.get(key)
    const object = known !== undefined && version !== '' && versions.get(key) === version ? known : trim(value)
    return { key, version, object }
  }

  const take = ({ key, version, object }: Prepared): ObjectChange | undefined => {
    const previous = objects.get(key)
    versions.set(key, version)
    // What was trimmed away may be all that changed: a heartbeat must not wake anybody.
    if (previous === object || (previous !== undefined && same(previous, object))) return undefined
    objects.set(key, object)
    return { kind: 'put', key, object, previous }
  }

  const drop = (key: NamespacedName): ObjectChange | undefined => {
    const previous = objects.get(key)
    objects.delete(key)
    versions.delete(key)
    return previous === undefined ? undefined : { kind: 'delete', key, previous }
  }

  return {
    objects,
    prepare,
    put: (item) => {
      // Events may come twice when a watch goes on from an earlier version.
      if (isOlder(item.version, versions.get(item.key) ?? '')) return undefined
      return take(prepare(item))
    },
    remove: (item) => (isOlder(item.version, versions.get(item.key) ?? '') ? undefined : drop(item.key)),
    replace: (items) => {
      const changes: (ObjectChange | undefined)[] = []
      const listed = new Set<NamespacedName>()
      for (const item of items) {
        listed.add(item.key)
        changes.push(take(item))
      }
      for (const key of [...objects.keys()]) if (!listed.has(key)) changes.push(drop(key))
      return changes.filter((change) => change !== undefined)
    },
  }
}

function same(a: KubeObject, b: KubeObject): boolean {
  try {
    return isDeepStrictEqual(a, b)
  } catch {
    // Nested so deeply that the stack does not suffice.
    return false
  }
}
