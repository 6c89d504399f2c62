import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { Counts } from '../../src/telemetry/counters.ts'
import type { FromTap } from '../../src/telemetry/tap-relay.ts'
import type { FromThread, ThreadStart, ToThread } from './messages.ts'
// For its place beside this file, and so that whatever compiles this file compiles that one.
import type {} from './thread.ts'

/** What a thread does, for whoever started it. */
export interface ThreadEvents {
  readonly listening: (address: { readonly host: string; readonly port: number }) => void
  readonly configured: (generation: number) => void
  readonly refused: (generation: number, message: string) => void
  readonly debug: (line: string) => void
  readonly tapped: (message: FromTap) => void
  /** It is gone, for whatever reason. */
  readonly ended: (error: Error | undefined) => void
}

/** A thread that serves, as the main thread sees it. */
export interface Thread {
  /** The newest configuration that it runs; 0: none yet. */
  readonly running: () => number
  readonly listening: () => boolean
  readonly send: (message: ToThread) => void
  /** Asks for what it counted. Resolves when it answered or is gone. */
  readonly count: () => Promise<void>
  /** What it last said that it counted; undefined: nothing yet. */
  readonly counts: () => Counts | undefined
  /** When it last said something, milliseconds since the epoch. */
  readonly heardAtMs: () => number
  /** Milliseconds in which it worked. */
  readonly busyMs: () => number
  readonly ended: Promise<void>
  /** Ends it now. */
  readonly terminate: () => Promise<void>
}

const threadFile = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)

/** @param nowMs present time, milliseconds since the epoch */
export function startThread(slot: number, start: ThreadStart, nowMs: () => number, events: ThreadEvents): Thread {
  const worker = new Worker(threadFile, {
    workerData: start, name: `waypoint-${slot}`,
    // Node finds the main thread's limit by what the container may use; a thread alone would know nothing of that.
    resourceLimits: { maxOldGenerationSizeMb: Math.floor(getHeapStatistics().heap_size_limit / 1024 ** 2) },
  })
  let running = 0
  let listening = false
  let counts: Counts | undefined
  let heardAtMs = nowMs()
  let busyMs = 0
  let error: Error | undefined
  let over = false
  let askers: (() => void)[] = []
  const answer = (): void => {
    const now = askers
    askers = []
    for (const resolve of now) resolve()
  }
  worker.on('message', (message: FromThread) => {
    heardAtMs = nowMs()
    switch (message.type) {
      case 'listening':
        listening = true
        events.listening(message.address)
        return
      case 'configured':
        running = message.generation
        events.configured(running)
        return
      case 'refused':
        events.refused(message.generation, message.message)
        return
      case 'counts':
        counts = message.counts
        answer()
        return
      case 'debug':
        events.debug(message.line)
        return
      case 'tapped':
        events.tapped(message)
        return
      case 'drained':
        // Whatever it said before comes through all the same.
        void worker.terminate()
    }
  })
  worker.on('error', (reason: unknown) => {
    error = reason instanceof Error ? reason : new Error(String(reason))
  })
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      over = true
      listening = false
      answer()
      events.ended(error)
      resolve()
    })
  })
  return {
    running: () => running,
    listening: () => listening,
    send: (message) => worker.postMessage(message),
    count: () => new Promise((resolve) => {
      if (over) resolve()
      else if (askers.push(resolve) === 1) worker.postMessage({ type: 'count' } satisfies ToThread)
    }),
    counts: () => counts,
    heardAtMs: () => heardAtMs,
    busyMs: () => (busyMs = Math.max(busyMs, worker.performance.eventLoopUtilization().active)),
    ended,
    terminate: async () => {
      await worker.terminate()
    },
  }
}
