import { hash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { Credentials } from '../model/credentials.ts'
import type { Entry, EntryKey } from '../model/entries.ts'
import { formatSpiffeId, sameIdentity, type Identity } from '../model/identity.ts'
import type { Kept } from './link.ts'
import type { Subscriber } from './slice.ts'

export interface KeptStateOptions {
  /** Private to the pod; made if it is not there. Undefined: nothing is kept. */
  readonly directory: string | undefined
  /** Whose state it is; another's is ignored. */
  readonly identity: Identity
  readonly subscriber: Subscriber
  readonly clock: Clock
  readonly onTrouble: (message: string) => void
}

/** The last good configuration and certificate, on disk. */
export interface KeptState {
  /** What was there at the start. */
  readonly credentials: Credentials | undefined
  readonly slice: Kept | undefined
  /** When the slice was last known to be the present one, milliseconds since the epoch. */
  readonly sliceAtMs: number | undefined
  readonly keepCredentials: (credentials: Credentials) => void
  readonly keepSlice: (slice: Kept) => void
  /** Writes what waits. */
  readonly close: () => Promise<void>
}

const format = 'waymark-kept/1'
/** Least time between two writes of a slice, milliseconds. */
const leastPauseMs = 1_000
/** How many times longer the pause is than the last write took: keeping costs at most a hundredth of a core. */
const pausePerWrite = 100

interface Header {
  readonly format: string
  readonly what: string
  readonly owner: string
  readonly sha256: string
  readonly savedAtMs: number
}

/** Reads what is kept. What is damaged, or another's, is reported and ignored. */
export async function openKeptState(options: KeptStateOptions): Promise<KeptState> {
  const { directory, identity, subscriber, clock, onTrouble } = options
  const owner = `${formatSpiffeId(identity)} ${subscriber.kind}`
  if (directory === undefined) {
    return { credentials: undefined, slice: undefined, sliceAtMs: undefined, keepCredentials: () => {}, keepSlice: () => {}, close: () => Promise.resolve() }
  }
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => onTrouble(`nothing can be kept: ${messageOf(error)}`))

  const read = async <T>(what: string, parse: (payload: unknown) => T): Promise<{ readonly value: T; readonly savedAtMs: number } | undefined> => {
    const path = join(directory, `${what}.json`)
    try {
      const found = unwrap(await readFile(path, 'utf8'), what, owner)
      return { value: parse(JSON.parse(found.payload)), savedAtMs: found.savedAtMs }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onTrouble(`what was kept in ${path} is not used: ${messageOf(error)}`)
      return undefined
    }
  }
  const write = async (what: string, payload: string): Promise<void> => {
    const header: Header = { format, what, owner, sha256: hash('sha256', payload), savedAtMs: clock.now() }
    await replaceFile(join(directory, `${what}.json`), `${JSON.stringify(header)}\n${payload}`).catch((error: unknown) =>
      onTrouble(`the ${what} could not be kept: ${messageOf(error)}`))
  }

  const credentials = await read('credentials', (payload) => readCredentials(payload, identity))
  const slice = await read('configuration', readSlice)

  let turn: Promise<void> = Promise.resolve()
  let waiting: Kept | undefined
  let cancel: Cancel | undefined
  let notBeforeMs = 0
  let pauseMs = leastPauseMs
  const inTurn = (work: () => Promise<void>): Promise<void> => (turn = turn.then(work))
  const writeSlice = async (): Promise<void> => {
    const next = waiting
    waiting = undefined
    if (next === undefined) return
    const beganMs = performance.now()
    await write('configuration', JSON.stringify({ hash: next.hash, entries: [...next.snapshot] }))
    pauseMs = Math.max(leastPauseMs, (performance.now() - beganMs) * pausePerWrite)
    notBeforeMs = clock.now() + pauseMs
  }
  const plan = (): void => {
    // A clock that was set back makes it no longer than the pause.
    cancel ??= clock.after(Math.max(0, Math.min(pauseMs, notBeforeMs - clock.now())), () => {
      void inTurn(writeSlice).then(() => {
        cancel = undefined
        // What came while it was written.
        if (waiting !== undefined) plan()
      })
    })
  }
  return {
    credentials: credentials?.value,
    slice: slice?.value,
    sliceAtMs: slice?.savedAtMs,
    keepCredentials: (next) => void inTurn(() => write('credentials', JSON.stringify(next))),
    keepSlice: (next) => {
      waiting = next
      plan()
    },
    close: () => {
      cancel?.()
      return inTurn(writeSlice)
    },
  }
}

/** @throws if it is not whole, or not what is looked for */
function unwrap(text: string, what: string, owner: string): { readonly payload: string; readonly savedAtMs: number } {
  const end = text.indexOf('\n')
  const header = end === -1 ? undefined : (JSON.parse(text.slice(0, end)) as Partial<Header> | null)
  if (header?.format !== format || header.what !== what) throw new Error('it is not a file of this version of waymark')
  if (header.owner !== owner) throw new Error(`it belongs to ${String(header.owner)}`)
  const payload = text.slice(end + 1)
  if (header.sha256 !== hash('sha256', payload)) throw new Error('it is damaged: its checksum does not fit')
  return { payload, savedAtMs: Number(header.savedAtMs) }
}

function readCredentials(payload: unknown, identity: Identity): Credentials {
  const credentials = payload as Credentials
  if (!sameIdentity(credentials.identity, identity)) throw new Error('its certificate is for another identity')
  return credentials
}

function readSlice(payload: unknown): Kept {
  const { hash: of, entries } = payload as { readonly hash: string; readonly entries: readonly (readonly [EntryKey, Entry])[] }
  return { hash: of, snapshot: new Map(entries) }
}

/** Replaces a file whole or not at all; nobody else may read it. */
async function replaceFile(path: string, text: string): Promise<void> {
  const before = `${path}.new`
  await rm(before, { force: true })
  const file = await open(before, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(before, path)
}
