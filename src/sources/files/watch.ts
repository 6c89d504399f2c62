import { watch, type FSWatcher } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cancel, Clock } from '../../kit/clock.ts'
import { systemClock } from '../../kit/clock.ts'
import { refresh, unread, type FolderState, type LoadedFolder, type LoadOptions } from './folder.ts'
import { stateOf } from './load.ts'

export interface WatchOptions extends LoadOptions {
  /** Called with the first load (unless `from` is given) and whenever resources or problems changed. Must not throw. */
  readonly onChange: (loaded: LoadedFolder) => void
  /** A result of `loadFolder` for the same folder: the watch goes on from there. */
  readonly from?: LoadedFolder | undefined
  readonly clock?: Clock | undefined
  /** How long a file must be quiet before it is read. Default 40. */
  readonly debounceMs?: number | undefined
  /** How often everything is looked at even if nothing was reported. Default 2000. */
  readonly pollMs?: number | undefined
}

export interface FolderWatch {
  /** Looks at once; done when `onChange` has been called for what was found. */
  readonly refresh: () => Promise<void>
  /** Ends the watch; `onChange` is not called any more. */
  readonly close: () => void
}

/** Events that never end must not put off the reading for longer than so many debounces. */
const maxDebounces = 5

/**
 * Follows a folder: reports of the file system, and a slow poll for what they miss (links, network file systems, folders that
 * were replaced). What breaks stays in force as it last was good.
 */
export function watchFolder(dir: string, options: WatchOptions): FolderWatch {
  const { onChange, clock = systemClock, debounceMs = 40, pollMs = 2000 } = options
  const from = options.from === undefined ? undefined : stateOf(options.from)
  const watchers = new Map<string, { readonly id: string; readonly watcher: FSWatcher }>()
  let state: FolderState = from ?? unread()
  let fresh = from === undefined
  let closed = false
  let changed = new Set<string>()
  let pending: Cancel | undefined
  let pendingSince = 0
  let polling: Cancel | undefined
  let running: Promise<void> = Promise.resolve()

  const look = async (): Promise<void> => {
    if (closed) return
    const paths = changed
    changed = new Set()
    const next = await refresh(dir, state, options, paths)
    // An await has passed.
    if (isClosed()) return
    const report = fresh || next.loaded !== state.loaded
    fresh = false
    state = next
    follow(next.folders)
    if (next.suspect) schedule(debounceMs * 5)
    if (report) onChange(next.loaded)
  }
  const isClosed = (): boolean => closed

  /** One look at a time. */
  const lookNext = (): Promise<void> => (running = running.catch(() => {}).then(look))

  const schedule = (delayMs: number): void => {
    if (closed) return
    if (pending === undefined) pendingSince = clock.now()
    else if (clock.now() - pendingSince > maxDebounces * debounceMs) return
    pending?.()
    pending = clock.after(delayMs, () => {
      pending = undefined
      void lookNext()
    })
  }

  const poll = (): void => {
    polling = clock.after(pollMs, () => {
      void lookNext().then(() => {
        if (!closed) poll()
      })
    })
  }

  const follow = (folders: FolderState['folders']): void => {
    // A single file is watched through the folder that holds it, since editors put a new file in its place.
    const single = folders.length === 0 && state.loaded.readable
    const wanted = new Map((single ? [{ path: dirname(dir), id: '' }] : folders).map(({ path, id }) => [path, id]))
    for (const [path, { id, watcher }] of watchers) {
      if (wanted.get(path) === id) continue
      watcher.close()
      watchers.delete(path)
    }
    const added = [...wanted].filter(([path]) => !watchers.has(path))
    for (const [path, id] of added) watchOne(path, id)
    // What changed after the look and before the watch would be missed otherwise.
    if (added.length > 0) schedule(debounceMs)
  }

  const watchOne = (path: string, id: string): void => {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (name !== null) changed.add(join(path, name))
        schedule(debounceMs)
      })
      // A folder that goes away ends its watcher; the poll finds the next one.
      watcher.on('error', () => schedule(debounceMs))
      watchers.set(path, { id, watcher })
    } catch {
      // Out of watches, or gone already: the poll does without.
    }
  }

  follow(state.folders)
  poll()
  if (fresh) void lookNext()
  return {
    refresh: lookNext,
    close: () => {
      closed = true
      pending?.()
      polling?.()
      for (const { watcher } of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}
