import { readFile } from 'node:fs/promises'
import type { FieldPath } from '../api/field.ts'
import { refOf, type Resource } from '../api/resources.ts'
import type { AnyRoute, ParentReference } from '../api/routes.ts'
import type { Finding } from '../control/findings.ts'
import { describeRef } from '../model/refs.ts'
import { stateOf } from '../sources/files/load.ts'
import { parseManifest } from '../sources/files/parse.ts'
import type { LoadedFolder } from '../sources/files/folder.ts'

/** Where something stands in a folder. */
export interface FieldPlace {
  readonly file: string
  /** From 1; 0 if the object has no file of its own. */
  readonly line: number
  readonly column: number
  readonly path: FieldPath
}

/** Finds the place of findings. */
export interface Places {
  readonly find: (finding: Finding) => FieldPlace
}

interface ObjectPlace {
  readonly file: string
  readonly object: Resource
  readonly line: number
  readonly column: number
}

type Locate = (path: FieldPath) => { readonly line: number; readonly column: number }

/**
 * Prepares to say where findings of the translation stand. Only files with an object that something was found out about are read
 * again, for their objects no longer know their lines.
 */
export async function placesOf(loaded: LoadedFolder, findings: readonly Finding[]): Promise<Places> {
  const wanted = new Set(findings.map(({ ref }) => describeRef(ref)))
  const objects = objectPlaces(loaded, wanted)
  const locators = new Map<string, Locate>()
  for (const file of new Set([...objects.values()].map((each) => each.file))) {
    for (const [at, locate] of await locatorsIn(file)) locators.set(`${file}:${at}`, locate)
  }
  const places = new Map<Finding, FieldPlace>()
  for (const finding of findings) {
    const place = objects.get(describeRef(finding.ref))
    if (place === undefined) continue
    const path = pathOf(finding, place.object)
    const { line, column } = locators.get(`${place.file}:${place.line}:${place.column}`)?.(path) ?? place
    places.set(finding, { file: place.file, line, column, path })
  }
  return { find: (finding) => places.get(finding) ?? { file: describeRef(finding.ref), line: 0, column: 0, path: [] } }
}

function objectPlaces(loaded: LoadedFolder, wanted: ReadonlySet<string>): ReadonlyMap<string, ObjectPlace> {
  const places = new Map<string, ObjectPlace>()
  for (const { path, slots } of stateOf(loaded)?.files.values() ?? []) {
    for (const { object, line, column } of slots) {
      const name = describeRef(refOf(object))
      // Of two objects with one name the first is in force.
      if (wanted.has(name) && !places.has(name)) places.set(name, { file: path, object, line, column })
    }
  }
  return places
}

/** The objects of a file by `line:column`. */
async function locatorsIn(file: string): Promise<ReadonlyMap<string, Locate>> {
  const found = new Map<string, Locate>()
  const text = await readFile(file, 'utf8').catch(() => '')
  await parseManifest(text, /\.json$/i.test(file), {
    onSyntax: () => {},
    onObject: ({ locate }) => {
      const { line, column } = locate([])
      found.set(`${line}:${column}`, locate)
    },
  })
  return found
}

/** The field that a finding is about; for a parent of a route the parentRef that it is the answer to. */
function pathOf({ field, parentRef }: Finding, object: Resource): FieldPath {
  if (field !== '') return parseField(field)
  if (parentRef === undefined || !isRoute(object)) return []
  const at = (object.spec.parentRefs ?? []).findIndex((each) => Object.entries(parentRef).every(([key, value]) => each[key as keyof ParentReference] === value))
  return at === -1 ? [] : ['spec', 'parentRefs', at]
}

function isRoute(object: Resource): object is AnyRoute {
  return object.kind === 'HTTPRoute' || object.kind === 'GRPCRoute' || object.kind === 'TLSRoute' || object.kind === 'TCPRoute'
}

/** Reads `spec.rules[0].filters` and `metadata.labels["waymark.dev/mesh"]` back into a path. */
export function parseField(field: string): FieldPath {
  return [...field.matchAll(/[^.[\]"]+|\["([^"]*)"\]|\[([^\]]*)\]/g)].map(([part, quoted, bracketed]) => {
    const key = quoted ?? bracketed ?? part
    return quoted === undefined && /^\d+$/.test(key) ? Number(key) : key
  })
}
