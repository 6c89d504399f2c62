import { existsSync, readFileSync, statSync, watch, type FSWatcher } from 'node:fs'
import { dirname, join } from 'node:path'
import { systemClock, type Cancel, type Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/message.ts'
import { namesIn } from '../folder.ts'
import { isResultName, parseResult, type FoundPod } from './result.ts'

/** A pod that is there, with the path of its namespace as this process can open it. */
export interface PresentPod extends FoundPod {
  readonly path: string
}

export interface PodWatchOptions {
  /** The cache of CNI results, `/var/lib/cni/results` of the node. It may come to be later; the folder that it is in must be there. */
  readonly results: string
  /** The folder of network namespaces, `/run/netns` of the node. */
  readonly namespaces: string
  /** Told all pods that are there, each time that they are others than before; first of all before `watchPods` returns. One uid is there once. */
  readonly onChange: (pods: readonly PresentPod[]) => void
  /** One line for a person, about files that should be of pods and are not. */
  readonly log: (line: string) => void
  readonly clock?: Clock
  /** How often everything is looked at even if nothing was reported, milliseconds; default 10,000. */
  readonly pollMs?: number
}

export interface PodWatch {
  /**
   * A pod whose sandbox is being made, of which the runtime has not written anything yet: it is there as long as its namespace is.
   * @returns the pod with its path
   */
  readonly announce: (pod: FoundPod) => PresentPod
  /** Looks at everything now. */
  readonly refresh: () => void
  readonly close: () => void
}

/**
 * Follows which pods a node has: the cache of CNI results tells who they are, and the folder of namespaces which of them are still there. Both are looked at
 * synchronously: files are small, few change at a time, and a pod is to be captured before its first container starts. Pods with `hostNetwork` are in neither.
 */
export function watchPods(options: PodWatchOptions): PodWatch {
  const { results, namespaces, onChange, log, clock = systemClock, pollMs = 10_000 } = options
  const found = new Map<string, { readonly pod: FoundPod; readonly sinceMs: number }>()
  const announced = new Map<string, FoundPod>()
  const complained = new Set<string>()
  const watchers = new Map<string, FSWatcher>()
  let told: string | undefined
  let closed = false
  let poll: Cancel | undefined

  const read = (file: string): void => {
    try {
      const path = join(results, file)
      const parsed = parseResult(readFileSync(path, 'utf8'))
      if (parsed.kind === 'pod') {
        found.set(file, { pod: parsed.pod, sinceMs: statSync(path).mtimeMs })
        announced.delete(parsed.pod.netns)
      } else if (parsed.kind === 'other' && !complained.has(file)) {
        complained.add(file)
        log(`${path} is not taken for a pod: ${parsed.why}`)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') log(`${join(results, file)} can not be read: ${messageOf(error)}`)
      found.delete(file)
      complained.delete(file)
    }
  }

  const readAll = (): void => {
    const files = namesIn(results).filter(isResultName)
    for (const file of found.keys()) if (!files.includes(file)) found.delete(file)
    for (const file of files) read(file)
  }

  const tell = (): void => {
    if (closed) return
    const present = new Set(namesIn(namespaces))
    for (const netns of announced.keys()) if (!present.has(netns)) announced.delete(netns)
    // The newest sandbox of a pod is the one that counts: an older one is on its way out.
    const candidates = [...[...found.values()].sort((a, b) => a.sinceMs - b.sinceMs).map(({ pod }) => pod), ...announced.values()]
    const pods = new Map(candidates.filter(({ netns }) => present.has(netns)).map((pod) => [pod.uid, { ...pod, path: join(namespaces, pod.netns) }]))
    const sorted = [...pods.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1))
    const text = JSON.stringify(sorted)
    if (text === told) return
    told = text
    onChange(sorted)
  }

  /** Watches a folder, or while it is not there the one above it. */
  const follow = (folder: string, onEvent: (name: string) => void): void => {
    if (closed || watchers.has(folder)) return
    const there = existsSync(folder)
    const watched = there ? folder : dirname(folder)
    const again = (): void => {
      watchers.get(folder)?.close()
      watchers.delete(folder)
    }
    try {
      const watcher = watch(watched, { persistent: false }, (_event, name) => {
        if (there && name !== null) onEvent(name)
        if (!there && existsSync(folder)) {
          again()
          refresh()
        }
        tell()
      })
      // A folder that goes away ends its watcher; the poll begins the next one.
      watcher.on('error', again)
      watchers.set(folder, watcher)
    } catch {
      // Out of watches, or nothing there yet: the poll does without.
    }
  }

  const refresh = (): void => {
    if (closed) return
    follow(results, (name) => {
      if (isResultName(name)) read(name)
    })
    follow(namespaces, () => {})
    readAll()
    tell()
  }

  const pollOn = (): void => {
    poll = clock.after(pollMs, () => {
      // A folder that was replaced keeps its old watcher quiet for ever: begin all of them anew.
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
      refresh()
      if (!closed) pollOn()
    })
  }

  refresh()
  pollOn()
  return {
    announce: (pod) => {
      announced.set(pod.netns, pod)
      tell()
      return { ...pod, path: join(namespaces, pod.netns) }
    },
    refresh,
    close: () => {
      closed = true
      poll?.()
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}
