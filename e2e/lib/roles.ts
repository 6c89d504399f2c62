import type { KubeObject } from './objects.ts'

/**
 * Puts real names in place of roles wherever an object says `namespace`, and in the names of Namespaces; other words are left alone.
 * @param names real name by role
 */
export function placeObject(object: KubeObject, names: ReadonlyMap<string, string>): KubeObject {
  const place = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') return key === 'namespace' ? (names.get(value) ?? value) : value
    if (Array.isArray(value)) return value.map((each) => place(each, ''))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, place(inner, name)]))
  }
  const placed = place(object, '') as KubeObject
  if (object.kind !== 'Namespace') return placed
  return { ...placed, metadata: { ...placed.metadata, name: names.get(object.metadata.name) ?? object.metadata.name } }
}

/** Letters that make the namespaces of a run differ from those of any other. */
export function uniqueSuffix(random: () => number = Math.random): string {
  return Array.from({ length: 5 }, () => 'bcdfghjklmnpqrstvwxz2456789'.charAt(Math.floor(random() * 27))).join('')
}

/** Objects that two cases on one place would both write; each as `KIND ROLE/NAME: CASE, CASE`. */
export function collisions(cases: readonly { readonly name: string; readonly manifests: readonly KubeObject[] }[]): readonly string[] {
  const owners = new Map<string, string[]>()
  for (const { name, manifests } of cases) {
    for (const { kind, metadata } of manifests) {
      const key = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
      owners.set(key, [...(owners.get(key) ?? []), name])
    }
  }
  return [...owners].filter(([, names]) => names.length > 1).map(([key, names]) => `${key}: ${names.join(', ')}`)
}
