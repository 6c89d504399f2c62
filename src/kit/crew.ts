import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { backoffMs } from './backoff.ts'
import type { Cancel, Clock } from './clock.ts'

/** What a message of a thread means to its crew: `ready`: it serves; `answered`: the question; `over`: its last word, it may be ended; undefined: nothing. */
export type Heard = 'ready' | 'answered' | 'over' | undefined

export interface CrewOptions<To, From> {
  /** How many threads, at least 1. */
  readonly count: number
  /** What a thread runs. */
  readonly file: URL
  /** Of the threads, as a debugger shows them; their slots are added. */
  readonly name: string
  /** The `workerData` of a thread that is started now. */
  readonly startWith: (slot: number) => unknown
  /** What every thread answers at once; also asked to see whether it is alive. */
  readonly question: To
  readonly hear: (slot: number, message: From) => Heard
  /** It is gone, for whatever reason; `hear` is not called again for it. */
  readonly onEnded: (slot: number) => void
  /** Told how many threads are ready, each time that this changes after the start. */
  readonly onReady?: ((threads: number) => void) | undefined
  readonly clock: Clock
  /** Lines for a person. */
  readonly log: { readonly info: (line: string) => void; readonly error: (line: string) => void }
  /** 0 ≤ random() < 1: pauses. */
  readonly random: () => number
}

/** Threads that do the same work; one that ends is replaced. Slots count from 1, and a thread that takes another's place has its slot. */
export interface Crew<To> {
  /** Of the threads that there are. */
  readonly slots: () => readonly number[]
  readonly send: (slot: number, message: To) => void
  readonly tell: (message: To) => void
  /** Asks all the question. Resolves when each has answered or is gone; a busy one is not waited for longer than 2 s. */
  readonly ask: () => Promise<void>
  /** Seconds in which a thread worked. */
  readonly busySeconds: (slot: number) => number
  /** How many threads are ready. */
  readonly ready: () => number
  /** Threads that ended and were not meant to. */
  readonly crashes: () => number
  /** Resolves with the reason when threads end so often that no more are started. What still runs works on. */
  readonly failed: Promise<Error>
  /** Replaces nothing any more, and waits until all have said their last word. @param graceMs after which the rest is ended */
  readonly leave: (graceMs: number) => Promise<void>
  /** Ends all now. */
  readonly close: () => Promise<void>
}

/** Ends of threads that are borne within `crashWindowMs`, besides one of each. */
const mostCrashes = 4
const crashWindowMs = 300_000
const crashPauses = { baseMs: 200, maxMs: 10_000 } as const
/** Threads are asked so often. */
const askEveryMs = 10_000
/** A thread that said nothing for so long is stuck. Generous: one that is slow under load must not be ended for it. */
const stuckAfterMs = 60_000
/** How long a busy thread is waited for, milliseconds. */
const answerMs = 2_000

/** A thread, as the one that started it sees it. */
interface Thread {
  readonly worker: Worker
  readonly ended: Promise<void>
  ready: boolean
  /** It said nothing for too long and is being ended. */
  stuck: boolean
  heardAtMs: number
  busyMs: number
  askers: (() => void)[]
}

/**
 * Starts the threads, the first one before the others; all are ready when this resolves.
 * @throws what ended a thread before it was ready; none is left then
 */
export async function startCrew<To, From>(options: CrewOptions<To, From>): Promise<Crew<To>> {
  const { count, clock, log, random } = options
  const threads = new Map<number, Thread>()
  const cancels = new Set<Cancel>()
  const failed = Promise.withResolvers<Error>()
  let crashedAtMs: number[] = []
  let crashes = 0
  let stopping = false
  let started = false

  /** A task that `stop` calls off. */
  const later = (delayMs: number, task: () => void): void => {
    const cancel = clock.after(delayMs, () => {
      cancels.delete(cancel)
      task()
    })
    cancels.add(cancel)
  }
  const ready = (): number => [...threads.values()].filter((thread) => thread.ready).length
  const readiness = (): void => {
    if (started && !stopping) options.onReady?.(ready())
  }
  const answer = (thread: Thread): void => {
    for (const resolve of thread.askers.splice(0)) resolve()
  }

  /** @returns when it is ready; rejects if it ends before */
  const spawn = (slot: number): Promise<void> => new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      const reason = error instanceof Error ? error : new Error(String(error))
      reject(reason)
      if (started && !stopping) crashed(slot, reason)
    }
    try {
      const worker = new Worker(options.file, {
        workerData: options.startWith(slot), name: `${options.name}-${slot}`,
        // Node finds the main thread's limit by what the container may use; a thread alone would know nothing of that.
        resourceLimits: { maxOldGenerationSizeMb: Math.floor(getHeapStatistics().heap_size_limit / 1024 ** 2) },
      })
      const { promise: ended, resolve: end } = Promise.withResolvers<undefined>()
      const thread: Thread = { worker, ended: ended.then(() => {}), ready: false, stuck: false, heardAtMs: clock.now(), busyMs: 0, askers: [] }
      let error: Error | undefined
      threads.set(slot, thread)
      worker.on('message', (message: From) => {
        thread.heardAtMs = clock.now()
        const heard = options.hear(slot, message)
        if (heard === 'answered') answer(thread)
        // Whatever it said before comes through all the same.
        if (heard === 'over') void worker.terminate()
        if (heard !== 'ready') return
        thread.ready = true
        readiness()
        resolve()
      })
      worker.on('error', (reason: unknown) => {
        error = reason instanceof Error ? reason : new Error(String(reason))
      })
      worker.once('exit', () => {
        threads.delete(slot)
        answer(thread)
        options.onEnded(slot)
        readiness()
        fail(error ?? new Error('it was ended'))
        end(undefined)
      })
    } catch (error) {
      fail(error)
    }
  })

  const crashed = (slot: number, error: Error): void => {
    const now = clock.now()
    crashes++
    crashedAtMs = [...crashedAtMs.filter((at) => at > now - crashWindowMs), now]
    if (crashedAtMs.length > mostCrashes + count) {
      failed.resolve(new Error(`worker ${slot} ended (${error.message}), and workers end too often: ${crashedAtMs.length} times within ${crashWindowMs / 60_000} minutes`))
      return
    }
    // The first one at once: it is what others wait for.
    const pauseMs = crashedAtMs.length === 1 ? 0 : backoffMs(crashedAtMs.length, { ...crashPauses, random })
    log.error(`worker ${slot} ended (${error.message}); its connections are cut, and another takes its place`)
    const again = async (): Promise<void> => {
      try {
        await spawn(slot)
        log.info(`worker ${slot} serves again`)
      } catch {
        // It was told how that one ended, and the next is on its way.
      }
    }
    later(pauseMs, () => void again())
  }

  const ask = (thread: Thread): Promise<void> => new Promise((resolve) => {
    if (thread.askers.push(resolve) === 1) thread.worker.postMessage(options.question)
  })

  const watch = (): void => {
    for (const [slot, thread] of threads) {
      if (clock.now() - thread.heardAtMs < stuckAfterMs) void ask(thread)
      else if (!thread.stuck) {
        thread.stuck = true
        log.error(`worker ${slot} has not answered for ${stuckAfterMs / 1000} s and is ended`)
        void thread.worker.terminate()
      }
    }
    later(askEveryMs, watch)
  }

  const stop = (): void => {
    stopping = true
    for (const cancel of cancels) cancel()
  }
  const close = async (): Promise<void> => {
    stop()
    await Promise.all([...threads.values()].map(({ worker }) => worker.terminate()))
  }

  try {
    await spawn(1)
    await Promise.all(Array.from({ length: count - 1 }, (_none, at) => spawn(at + 2)))
  } catch (error) {
    await close()
    throw error
  }
  started = true
  later(askEveryMs, watch)
  return {
    slots: () => [...threads.keys()],
    send: (slot, message) => threads.get(slot)?.worker.postMessage(message),
    tell: (message) => {
      for (const { worker } of threads.values()) worker.postMessage(message)
    },
    ask: async () => {
      let cancel: Cancel = () => {}
      const late = new Promise<void>((resolve) => (cancel = clock.after(answerMs, resolve)))
      await Promise.race([late, Promise.all([...threads.values()].map(ask))])
      cancel()
    },
    busySeconds: (slot) => {
      const thread = threads.get(slot)
      if (thread === undefined) return 0
      thread.busyMs = Math.max(thread.busyMs, thread.worker.performance.eventLoopUtilization().active)
      return thread.busyMs / 1000
    },
    ready,
    crashes: () => crashes,
    failed: failed.promise,
    leave: async (graceMs) => {
      stop()
      const cancel = clock.after(graceMs, () => void close())
      await Promise.all([...threads.values()].map(({ ended }) => ended))
      cancel()
    },
    close,
  }
}
