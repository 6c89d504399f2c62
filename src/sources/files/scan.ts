import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Problem } from '../../api/problem.ts'
import { messageOf } from '../../kit/message.ts'
import { fileProblem } from './problems.ts'

/** More files than this are not a folder of manifests, but somebody's home. */
const maxFiles = 20_000
const maxFolders = 5_000

export interface ScannedFile {
  readonly path: string
  readonly size: number
  /** Changes when the file does, as far as the file system tells. */
  readonly stamp: string
}

export interface Scan {
  /** Manifests, in order of their path. */
  readonly files: readonly ScannedFile[]
  /** Folders to watch; `id` changes when another folder takes the place. */
  readonly folders: readonly { readonly path: string; readonly id: string }[]
  /** Folders and files that could not be looked at: what was known of them stays. */
  readonly unseen: readonly string[]
  readonly problems: readonly Problem[]
  /** Whether the folder itself could be read. */
  readonly readable: boolean
}

/**
 * Finds the manifests of a folder: `.yaml`, `.yml` and `.json` at any depth, without hidden ones. Links are followed, each
 * folder and file is taken once. A path of a single file stands for a folder with that file. Never throws.
 */
export async function scanFolder(root: string): Promise<Scan> {
  const files: FoundFile[] = []
  const folders: { readonly path: string; readonly id: string }[] = []
  const unseen: string[] = []
  const problems: Problem[] = []
  const seen = new Set<string>()
  const failed = (path: string, error: unknown, what: string): void => {
    unseen.push(path)
    problems.push(fileProblem(path, `${what}: ${codeOf(error)}`, adviceOn(codeOf(error))))
  }

  const addFile = async (path: string, link: boolean): Promise<void> => {
    try {
      const info = await stat(path, { bigint: true })
      if (!info.isFile()) {
        if (!info.isDirectory()) problems.push(fileProblem(path, 'is not a regular file', 'replace it with a file', 'warning'))
        return
      }
      const id = `${info.dev}:${info.ino}`
      const stamp = `${id}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`
      files.push({ id, link, file: { path, size: Number(info.size), stamp } })
    } catch (error) {
      // A file that went between listing and looking is simply gone; a link that leads nowhere is not.
      if (codeOf(error) !== 'ENOENT' || link) failed(path, error, 'the file can not be looked at')
    }
  }

  const addFolder = async (path: string): Promise<boolean> => {
    try {
      const info = await stat(path, { bigint: true })
      if (info.isFile() && path === root) {
        await addFile(path, false)
        return true
      }
      const id = `${info.dev}:${info.ino}`
      if (seen.has(id)) return true
      seen.add(id)
      if (folders.length >= maxFolders || files.length >= maxFiles) throw new Error('too many files')
      const entries = await readdir(path, { withFileTypes: true })
      folders.push({ path, id })
      const visible = entries.filter((entry) => !entry.name.startsWith('.')).sort((a, b) => compare(a.name, b.name))
      const manifests = visible.filter((entry) => !entry.isDirectory() && isManifest(entry.name))
      await Promise.all(manifests.map((entry) => addFile(join(path, entry.name), entry.isSymbolicLink())))
      for (const entry of visible) {
        const child = join(path, entry.name)
        if (entry.isDirectory() || (entry.isSymbolicLink() && (await leadsToFolder(child)))) await addFolder(child)
      }
      return true
    } catch (error) {
      failed(path, error, 'the folder can not be read')
      return false
    }
  }

  const readable = await addFolder(root)
  if (readable && files.length === 0 && problems.length === 0) {
    problems.push(fileProblem(root, 'holds no manifest', 'put .yaml, .yml or .json files into it', 'warning'))
  }
  return { files: eachOnce(files), folders, unseen, problems, readable }
}

interface FoundFile {
  /** Device and inode. */
  readonly id: string
  readonly link: boolean
  readonly file: ScannedFile
}

/** In order of path, without links to files that are there anyway. */
function eachOnce(found: readonly FoundFile[]): ScannedFile[] {
  const taken = new Set(found.filter(({ link }) => !link).map(({ id }) => id))
  const kept: ScannedFile[] = []
  for (const { id, link, file } of found.toSorted((a, b) => compare(a.file.path, b.file.path))) {
    if (link && taken.has(id)) continue
    taken.add(id)
    kept.push(file)
  }
  return kept
}

/** Whether a file of this name is read. */
export function isManifest(name: string): boolean {
  return /\.(ya?ml|json)$/i.test(name)
}

/** By code units: the same order on every machine. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The code of a system error, `ENOENT`, or its message. */
export function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return messageOf(error)
}

/** What to do about a system error. */
export function adviceOn(code: string): string {
  if (code === 'ENOENT') return 'check the path'
  if (code === 'EACCES' || code === 'EPERM') return 'give this user the permission to read it'
  if (code === 'ELOOP') return 'remove the link that leads to itself'
  if (code === 'ENOTDIR') return 'give a folder or a file that ends in .yaml, .yml or .json'
  if (code === 'too many files') return 'give a folder that holds manifests only'
  return 'check the file system'
}

async function leadsToFolder(path: string): Promise<boolean> {
  return stat(path).then((info) => info.isDirectory(), () => false)
}
