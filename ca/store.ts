import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, readdir, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaState } from './bundle.ts'
import { CaError } from './errors.ts'
import { loadAuthority } from './root.ts'
import type { RotationState } from './rotate.ts'

/** Where a CA keeps its roots, their keys and the state of a rotation. */
export interface CaStore {
  /** @returns undefined only if it is certain that nothing was ever kept here */
  readonly load: () => Promise<CaState | undefined>
  /** Keeps the first state, unless another process was faster: then the answer is what that one kept. */
  readonly create: (state: CaState) => Promise<CaState>
  /** Replaces the state as a whole. */
  readonly save: (state: CaState) => Promise<void>
}

/** A store that ends with the process. */
export function memoryStore(initial?: CaState): CaStore {
  let kept = initial
  return {
    load: () => Promise.resolve(kept),
    create: (state) => Promise.resolve((kept ??= state)),
    save: (state) => {
      kept = state
      return Promise.resolve()
    },
  }
}

/** The one file that holds everything, so that no half of it can be missing. */
export const storeFile = 'ca.json'
const temporary = /^ca\.json\.[0-9a-f-]{36}\.tmp$/
const format = 'waymark-ca/1'

/**
 * A store in a directory of its own: one file, mode 0600, written beside and renamed. Only an absent or empty directory counts as new; everything else
 * that is not a whole CA is an error, for a second root made by mistake splits the mesh in two.
 */
export function directoryStore(directory: string): CaStore {
  const path = join(directory, storeFile)
  const load = async (): Promise<CaState | undefined> => {
    const text = await readIfThere(path)
    if (text !== undefined) return parseState(text, path)
    const others = (await listIfThere(directory)).filter((name) => !temporary.test(name) && name !== 'lost+found')
    if (others.length === 0) return undefined
    throw new CaError('store-foreign', `${directory} holds ${others.slice(0, 3).join(', ')}, and no ${storeFile}`)
  }
  return {
    load,
    create: async (state) => {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const written = await writeBeside(path, state)
      try {
        // Unlike a rename, a link never replaces what another process has just made.
        await link(written, path)
        await syncDirectory(directory)
        return state
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error
        const theirs = await load()
        if (theirs === undefined) throw new CaError('store-corrupt', `${path} came and went while the CA started`, { cause: error })
        return theirs
      } finally {
        await unlink(written)
      }
    },
    save: async (state) => {
      const written = await writeBeside(path, state)
      await rename(written, path)
      await syncDirectory(directory)
    },
  }
}

async function writeBeside(path: string, state: CaState): Promise<string> {
  const written = `${path}.${randomUUID()}.tmp`
  const file = await open(written, 'wx', 0o600)
  try {
    await file.writeFile(formatState(state))
    await file.sync()
  } finally {
    await file.close()
  }
  return written
}

/** Makes a new name last through a power cut. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) throw new CaError('store-open', `${path} can be read or written by others (mode ${(mode & 0o777).toString(8)})`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function listIfThere(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** A CA as text, keys and all: what every store keeps. */
export function formatState({ trustDomain, rotation, authorities }: CaState): string {
  const kept = authorities.map(({ rootPem, intermediatesPem, privateKeyPem }) => ({ rootPem, intermediatesPem, privateKeyPem }))
  return `${JSON.stringify({ format, trustDomain, rotation, authorities: kept }, undefined, 2)}\n`
}

/**
 * Reads what `formatState` wrote, and proves that all parts of it belong together.
 * @param path where it was kept, for the error
 * @throws {CaError} `store-corrupt`; the message quotes nothing of `text`, which holds keys
 */
export function parseState(text: string, path: string): CaState {
  try {
    const { format: found, trustDomain, rotation, authorities } = readJson(text)
    if (found !== format) throw new Error(`its format is ${JSON.stringify(found)}, not ${format}`)
    if (typeof trustDomain !== 'string' || !Array.isArray(authorities)) throw new Error('a part of it is missing')
    const state = { trustDomain, rotation: parseRotation(rotation), authorities: authorities.map(parseAuthority) }
    const ids = state.authorities.map(({ id }) => id)
    if (ids.join() !== state.rotation.trusted.join()) throw new Error('its roots are not those that its rotation names')
    return state
  } catch (error) {
    throw new CaError('store-corrupt', `${path} is not a whole CA: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** The parser's own message would quote the text, and with it a key. */
function readJson(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new Error('it is not JSON')
  }
}

function parseAuthority(value: unknown): CaState['authorities'][number] {
  const { rootPem, intermediatesPem, privateKeyPem } = value as Record<string, unknown>
  if (typeof rootPem !== 'string' || typeof intermediatesPem !== 'string' || typeof privateKeyPem !== 'string') throw new Error('a root or its key is missing')
  return loadAuthority({ rootPem, intermediatesPem, privateKeyPem })
}

function parseRotation(value: unknown): RotationState {
  const { phase, signing, trusted, generation, sinceMs } = value as Record<keyof RotationState, unknown>
  if (phase !== 'steady' && phase !== 'introduced' && phase !== 'signing') throw new Error(`its phase is ${JSON.stringify(phase)}`)
  if (typeof signing !== 'string' || !Number.isSafeInteger(generation) || !Number.isFinite(sinceMs)) throw new Error('a part of its rotation is missing')
  if (!Array.isArray(trusted) || !trusted.every((each) => typeof each === 'string')) throw new Error('it does not say which roots are trusted')
  const expected = { steady: trusted[0], introduced: trusted[0], signing: trusted[1] }[phase]
  if (trusted.length !== (phase === 'steady' ? 1 : 2) || signing !== expected) throw new Error('its rotation contradicts itself')
  return { phase, signing, trusted, generation: Number(generation), sinceMs: Number(sinceMs) }
}
