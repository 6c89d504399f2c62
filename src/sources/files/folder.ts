import { isDeepStrictEqual } from 'node:util'
import { gatewaySchemas } from '../../../crds/load.ts'
import type { Problem } from '../../api/problem.ts'
import {
  emptyResources,
  keyOf,
  kinds,
  refOf,
  resourceSetOf,
  type Resource,
  type ResourceKind,
  type ResourceSet,
} from '../../api/resources.ts'
import { duplicate, keptAll, readFileState, type FileState, type ReadOptions } from './file.ts'
import { withConsequence } from './problems.ts'
import { compare, scanFolder, type Scan, type ScannedFile } from './scan.ts'

/** What a folder says now. */
export interface LoadedFolder {
  /** The good objects. What did not change since the last load is the same object, and so are maps and set. */
  readonly resources: ResourceSet
  /** In order of file and place. */
  readonly problems: readonly Problem[]
  /** False if the folder itself can not be read: a start should stop then, a running mesh goes on with what it has. */
  readonly readable: boolean
}

/** All that is known of a folder between two loads. */
export interface FolderState {
  readonly files: ReadonlyMap<string, FileState>
  readonly folders: Scan['folders']
  readonly loaded: LoadedFolder
  /** Whether some file must be looked at again soon. */
  readonly suspect: boolean
}

export interface LoadOptions {
  /** Warn of what a cluster with the standard channel of Gateway API would drop. Default true. */
  readonly channelWarnings?: boolean | undefined
}

/** Nothing is known yet. */
export function unread(): FolderState {
  return { files: new Map(), folders: [], loaded: { resources: emptyResources(), problems: [], readable: false }, suspect: false }
}

/**
 * Looks at a folder again; only files that changed are read. Never throws.
 * @param changed paths of files that are known to have changed, whatever their time stamps say
 */
export async function refresh(
  root: string,
  before: FolderState,
  options: LoadOptions,
  changed: ReadonlySet<string> = new Set(),
): Promise<FolderState> {
  const scan = await scanFolder(root)
  const readOptions: ReadOptions = {
    gateway: gatewaySchemas('experimental'),
    standard: options.channelWarnings === false ? undefined : gatewaySchemas('standard'),
    known: (object) => knownEqual(before.loaded.resources, object),
  }
  const read = async (file: ScannedFile): Promise<FileState> => {
    const known = before.files.get(file.path)
    if (known?.stamp === file.stamp && !changed.has(file.path)) return known
    return readFileState(file, known, readOptions)
  }
  const files = new Map<string, FileState>()
  for (const file of scan.files) files.set(file.path, await read(file))
  const unseen = (path: string): boolean => scan.unseen.some((each) => each === root || path === each || path.startsWith(`${each}/`))
  for (const [path, state] of before.files) {
    if (!files.has(path) && unseen(path)) files.set(path, { ...state, stamp: undefined })
  }
  const ordered = [...files.values()].sort((a, b) => compare(a.path, b.path))
  const keeps = ordered.some((file) => file.stamp === undefined && file.slots.length > 0)
  const scanProblems = keeps ? scan.problems.map((problem) => withConsequence(problem, keptAll)) : scan.problems
  const merged = merge(ordered, before.loaded.resources)
  const problems = [...scanProblems, ...ordered.flatMap((file) => file.problems), ...merged.problems].sort(byPlace)
  const now: LoadedFolder = { resources: merged.resources, problems, readable: scan.readable }
  const same = now.resources === before.loaded.resources && now.readable === before.loaded.readable
  const loaded = same && isDeepStrictEqual(problems, before.loaded.problems) ? before.loaded : now
  return { files, folders: scan.folders, loaded, suspect: ordered.some((file) => file.suspect) }
}

/** The objects of all files: of two with one name the first in order of files stays. */
function merge(files: readonly FileState[], before: ResourceSet): Pick<LoadedFolder, 'resources' | 'problems'> {
  const owners = new Map<string, { readonly file: string; readonly line: number; readonly column: number }>()
  const objects: Resource[] = []
  const problems: Problem[] = []
  for (const { path, slots } of files) {
    for (const slot of slots) {
      const owner = owners.get(slot.id)
      if (owner !== undefined) {
        problems.push(duplicate(path, slot, refOf(slot.object), owner.file, owner))
        continue
      }
      owners.set(slot.id, { file: path, line: slot.line, column: slot.column })
      objects.push(slot.object)
    }
  }
  const fresh = resourceSetOf(objects)
  const names = Object.keys(kinds) as ResourceKind[]
  const changed = names.filter((kind) => !sameMap(fresh[kind], before[kind]))
  if (changed.length === 0) return { resources: before, problems }
  return { resources: { ...before, ...Object.fromEntries(changed.map((kind) => [kind, fresh[kind]])) }, problems }
}

function sameMap(a: ReadonlyMap<string, Resource>, b: ReadonlyMap<string, Resource>): boolean {
  if (a.size !== b.size) return false
  for (const [key, object] of a) if (b.get(key) !== object) return false
  return true
}

function knownEqual(resources: ResourceSet, object: Resource): Resource {
  const known: Resource | undefined = resources[object.kind].get(keyOf(object))
  return known !== undefined && isDeepStrictEqual(known, object) ? known : object
}

function byPlace(a: Problem, b: Problem): number {
  return compare(a.file, b.file) || a.line - b.line || a.column - b.column
}
