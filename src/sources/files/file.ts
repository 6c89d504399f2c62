import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { ObjectRef } from '../../model/refs.ts'
import type { Problem } from '../../api/problem.ts'
import { refOf, type Resource } from '../../api/resources.ts'
import { validate, type ValidateOptions } from '../../api/validate.ts'
import { parseManifest, type Place } from './parse.ts'
import { fileProblem, maxProblemsPerFile, objectProblem, withConsequence } from './problems.ts'
import { adviceOn, codeOf, type ScannedFile } from './scan.ts'

/** A bigger file is refused: reading it would hold up everything else for seconds. */
export const maxFileBytes = 4 * 1024 * 1024

/** An object of a file that is in force, unless another file has the same one before it. */
export interface Slot extends Place {
  readonly id: string
  readonly object: Resource
}

/** What is known of a file. */
export interface FileState {
  readonly path: string
  /** Undefined if the file must be read again however it looks. */
  readonly stamp: string | undefined
  /** Of the content; '' if it could not be read. */
  readonly hash: string
  readonly slots: readonly Slot[]
  readonly problems: readonly Problem[]
  /** Whether the file is empty and was not before: perhaps it is just being written, and must be looked at once more. */
  readonly suspect: boolean
}

export interface ReadOptions extends ValidateOptions {
  /** Finds an object in force that equals `object`, so that what did not change stays the same object. */
  readonly known: (object: Resource) => Resource
}

/** What a file or folder that can't be read means for its objects. */
export const keptAll = 'its objects stay in force as they were'
const keptOne = 'its last good version stays in force'

/**
 * Reads a file again. What is broken in it stays in force as it last was good: single objects, or those that can't be told
 * because their documents can't be read. Never throws.
 */
export async function readFileState(file: ScannedFile, before: FileState | undefined, options: ReadOptions): Promise<FileState> {
  const keep = (problem: Problem): FileState => {
    const kept = before !== undefined && before.slots.length > 0
    const problems = [kept ? withConsequence(problem, keptAll) : problem]
    return { path: file.path, stamp: undefined, hash: '', slots: before?.slots ?? [], problems, suspect: false }
  }
  if (file.size > maxFileBytes) return { ...keep(tooBig(file.path, file.size)), stamp: file.stamp }
  let content: Buffer
  try {
    content = await readBounded(file.path)
  } catch (error) {
    return keep(fileProblem(file.path, `the file can not be read: ${codeOf(error)}`, adviceOn(codeOf(error))))
  }
  if (content.length > maxFileBytes) return keep(tooBig(file.path, content.length))
  const hash = createHash('sha256').update(content).digest('base64')
  if (before?.hash === hash && !before.suspect) return { ...before, stamp: file.stamp }
  if (content.length === 0 && before !== undefined && before.slots.length > 0 && !before.suspect) {
    return { ...before, stamp: undefined, hash, suspect: true }
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    return { ...keep(fileProblem(file.path, 'the file is not UTF-8 text', 'save it as UTF-8')), stamp: file.stamp, hash }
  }
  return { ...(await readText(file.path, text, before, options)), stamp: file.stamp, hash }
}

async function readText(
  path: string,
  text: string,
  before: FileState | undefined,
  options: ReadOptions,
): Promise<Omit<FileState, 'stamp' | 'hash'>> {
  const slots = new Map<string, Slot>()
  const found: { readonly id: string | undefined; readonly problem: Problem }[] = []
  const wrong = new Set<string>()
  /** Whether there is an object that can't be told which. */
  let unknown = false
  const old = new Map((before?.slots ?? []).map((slot) => [slot.id, slot]))

  await parseManifest(text, /\.json$/i.test(path), {
    onSyntax: ({ severity, line, column, message, advice }) => {
      if (severity === 'error') unknown = true
      found.push({ id: undefined, problem: { severity, file: path, line, column, field: '', message, advice } })
    },
    onObject: ({ value, locate }) => {
      const validation = validate(value, options)
      const ref = validation.kind === 'valid' ? refOf(validation.object) : validation.ref
      const id = ref === undefined ? undefined : idOf(ref)
      for (const problem of validation.problems) found.push({ id, problem: objectProblem(path, ref, problem, locate(problem.path)) })
      if (validation.kind === 'invalid') {
        if (id === undefined) unknown = true
        else wrong.add(id)
      }
      if (validation.kind !== 'valid' || id === undefined) return
      const place = locate([])
      const first = slots.get(id)
      if (first === undefined) slots.set(id, { id, object: options.known(validation.object), ...place })
      else found.push({ id, problem: duplicate(path, place, refOf(validation.object), path, first) })
    },
  })

  const kept = [...old.values()].filter(({ id }) => !slots.has(id) && (wrong.has(id) || unknown))
  const problems = found.slice(0, maxProblemsPerFile).map(({ id, problem }) => {
    if (id === undefined) return kept.some((slot) => !wrong.has(slot.id)) ? withConsequence(problem, keptAll) : problem
    return wrong.has(id) && kept.some((slot) => slot.id === id) ? withConsequence(problem, keptOne) : problem
  })
  if (found.length > maxProblemsPerFile) {
    const more = found.length - maxProblemsPerFile
    problems.push(fileProblem(path, `${more} more problems in this file are not shown`, 'correct the others first'))
  }
  return { path, slots: [...slots.values(), ...kept], problems, suspect: false }
}

/** The problem of the later one of two objects with one name. */
export function duplicate(file: string, place: Place, ref: ObjectRef, firstFile: string, first: Place): Problem {
  const at = `${firstFile}:${first.line}:${first.column}`
  const message = `is defined twice: here, at ${file}:${place.line}:${place.column}, and at ${at}, which is the one in force`
  const advice = 'remove or rename one of the two'
  return { severity: 'error', file, line: place.line, column: place.column, ref, field: '', message, advice }
}

function idOf(ref: ObjectRef): string {
  return `${ref.kind}/${ref.namespace}/${ref.name}`
}

function tooBig(path: string, size: number): Problem {
  return fileProblem(path, `the file has ${size} bytes; at most ${maxFileBytes} (4 MiB) are read`, 'split it: a folder may hold many files')
}

/** At most one byte more than allowed is read, however the file grows meanwhile. */
async function readBounded(path: string): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const chunks: Buffer[] = []
    let length = 0
    while (length <= maxFileBytes) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(64 * 1024))
      if (bytesRead === 0) break
      chunks.push(buffer.subarray(0, bytesRead))
      length += bytesRead
    }
    return Buffer.concat(chunks)
  } finally {
    await handle.close()
  }
}
