import { randomBytes } from 'node:crypto'
import { backoffMs } from '../../src/kit/backoff.ts'
import type { Cancel, Clock } from '../../src/kit/clock.ts'
import { turnPretenuringOff } from '../../src/kit/pretenuring.ts'
import type { CredentialSource, Credentials } from '../../src/model/credentials.ts'
import type { AccessLogLevel } from '../../src/model/infra.ts'
import { delta, isEmpty, type Snapshot } from '../../src/model/snapshot.ts'
import type { TracingConfig } from '../../src/telemetry/config.ts'
import { withoutState, type Counts } from '../../src/telemetry/counters.ts'
import type { Log } from '../../src/telemetry/log.ts'
import type { TapSource } from '../../src/telemetry/tap.ts'
import { TapRelay } from '../../src/telemetry/tap-relay.ts'
import { defaultLimits, type WaypointLimits } from '../serve/limits.ts'
import { encodeDelta, everythingIn, type ToThread } from './messages.ts'
import { reservePort } from './port.ts'
import { startThread, type Thread } from './thread-handle.ts'

export interface WorkersOptions {
  /** How many threads, at least 1. */
  readonly count: number
  /** Of the Gateway. */
  readonly namespace: string
  readonly name: string
  readonly credentials: CredentialSource
  readonly trustDomain: string
  /** An IP address. */
  readonly host: string
  /** 0 = any. */
  readonly port: number
  /** Of the whole process: what is held is divided among the threads. */
  readonly limits?: Partial<WaypointLimits>
  readonly accessLog: AccessLogLevel
  readonly tracing: TracingConfig | undefined
  /** The first configuration. */
  readonly snapshot: Snapshot
  readonly clock: Clock
  readonly log: Log
  /** Told how many threads listen, each time that this changes. */
  readonly onListening?: (threads: number) => void
  /** 0 ≤ random() < 1: pauses. */
  readonly random?: () => number
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** One thread as metrics show it. */
export interface WorkerState {
  /** Counts from 1; a thread that takes another's place has its number. */
  readonly worker: number
  readonly busySeconds: number
}

/** The data plane of one namespace in several threads, each with its own listener on one port, pools and counters. */
export interface Workers {
  readonly address: Address
  /** Resolves when every thread has it in force. Rejects if a thread can not run it. */
  readonly configure: (snapshot: Snapshot) => Promise<void>
  /** What the threads counted, those that are gone included. A thread that does not answer in time is shown as it was last. */
  readonly counts: () => Promise<readonly Counts[]>
  readonly states: () => readonly WorkerState[]
  /** Shows what the threads do. */
  readonly tap: TapSource
  /** Threads that ended and were not meant to. */
  readonly crashes: () => number
  /** Resolves with the reason when threads end so often that no more are started. What still runs serves on. */
  readonly failed: Promise<Error>
  /** As `Waypoint.drain`, in all threads at once. */
  readonly drain: (deadlineMs?: number) => Promise<void>
  /** Cuts everything now. */
  readonly close: () => Promise<void>
}

/** Ends of threads that are borne within `crashWindowMs`, besides one of each. */
const mostCrashes = 4
const crashWindowMs = 300_000
const crashPauses = { baseMs: 200, maxMs: 10_000 } as const
/** Threads are asked so often; what one counted since is lost if it crashes. */
const askEveryMs = 10_000
/** A thread that said nothing for so long is stuck. Generous: one that is slow under load must not be ended for it. */
const stuckAfterMs = 60_000
/** How long a scrape waits for a busy thread, milliseconds. */
const countTimeoutMs = 2_000
/** What a drain may take longer than its deadline, milliseconds: the last lines and spans. */
const drainGraceMs = 5_000

/**
 * Starts the threads; all of them listen, with the first configuration, when this resolves.
 * @throws the error of `listen` if the address can't be had or the system does not share ports, or what ended the first thread
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { count, clock, log, credentials } = options
  const random = options.random ?? Math.random
  const drainMs = options.limits?.drainMs ?? defaultLimits.drainMs
  // Threads must agree about session persistence also where the CA shares no secret among replicas.
  const ownSecret = randomBytes(32).toString('base64')
  const complete = (present: Credentials): Credentials => ({ ...present, sharedSecret: present.sharedSecret ?? ownSecret })
  const threads = new Map<number, Thread>()
  let snapshot = options.snapshot
  let generation = 1
  let waiting: { readonly generation: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []
  let gone: Counts[] = []
  let crashedAtMs: number[] = []
  let crashes = 0
  let stopping = false
  let started = false
  const cancels = new Set<Cancel>()
  /** Threads that are being ended because they say nothing. */
  const stuck = new WeakSet<Thread>()
  const failed = Promise.withResolvers<Error>()
  turnPretenuringOff()

  /** A task that `stop` calls off. */
  const later = (delayMs: number, task: () => void): void => {
    const cancel = clock.after(delayMs, () => {
      cancels.delete(cancel)
      task()
    })
    cancels.add(cancel)
  }
  const tell = (message: ToThread): void => {
    for (const thread of threads.values()) thread.send(message)
  }
  const tap = new TapRelay(clock, tell)
  /** Threads that are to come have the newest configuration from the start; those that began with an older one are waited for. */
  const settle = (): void => {
    const running = threads.size === 0 ? 0 : Math.min(...[...threads.values()].map((thread) => thread.running()))
    const done = waiting.filter((each) => each.generation <= running)
    waiting = waiting.filter((each) => each.generation > running)
    for (const { resolve } of done) resolve()
  }
  const listening = (): void => {
    if (started && !stopping) options.onListening?.([...threads.values()].filter((thread) => thread.listening()).length)
  }

  /** @returns when it listens; rejects if it ends before */
  const spawn = (slot: number, port: number): Promise<Address> => new Promise((resolve, reject) => {
    const { namespace, name, trustDomain, host, accessLog, tracing } = options
    const fail = (error: unknown): void => {
      const reason = error instanceof Error ? error : new Error(String(error))
      reject(reason)
      if (started && !stopping) crashed(slot, reason)
    }
    try {
      const thread = startThread(slot, {
        kind: 'waypoint', namespace, name, trustDomain, host, port, accessLog, tracing, limits: share(options.limits, count), debug: log.debug !== undefined,
        credentials: complete(credentials.current()), configuration: encodeDelta(everythingIn(snapshot)), generation,
      }, clock.now, {
        listening: (address) => {
          for (const message of tap.present()) threads.get(slot)?.send(message)
          listening()
          resolve(address)
        },
        configured: settle,
        refused: (refused, message) => {
          const those = waiting.filter((each) => each.generation === refused)
          waiting = waiting.filter((each) => each.generation !== refused)
          for (const each of those) each.reject(new Error(message))
        },
        tapped: tap.receive,
        debug: (line) => log.debug?.(`worker ${slot}: ${line}`),
        ended: (error) => {
          threads.delete(slot)
          const counted = thread.counts()
          if (counted !== undefined) gone = [withoutState([...gone, counted])]
          settle()
          listening()
          fail(error ?? new Error('it was ended'))
        },
      })
      threads.set(slot, thread)
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
        await spawn(slot, address.port)
        log.info(`worker ${slot} serves again`)
      } catch {
        // It was told how that one ended, and the next is on its way.
      }
    }
    later(pauseMs, () => void again())
  }

  const watch = (): void => {
    for (const [slot, thread] of threads) {
      if (clock.now() - thread.heardAtMs() < stuckAfterMs) void thread.count()
      else if (!stuck.has(thread)) {
        stuck.add(thread)
        log.error(`worker ${slot} has not answered for ${stuckAfterMs / 1000} s and is ended`)
        void thread.terminate()
      }
    }
    later(askEveryMs, watch)
  }

  const stop = (): void => {
    stopping = true
    stopRenewals()
    for (const cancel of cancels) cancel()
  }
  const close = async (): Promise<void> => {
    stop()
    await Promise.all([...threads.values()].map((thread) => thread.terminate()))
  }

  const stopRenewals = credentials.onChange((next) => tell({ type: 'credentials', credentials: complete(next) }))
  await reservePort(options)
  let address: Address
  try {
    // The first one finds the port if any will do.
    address = await spawn(1, options.port)
    await Promise.all(Array.from({ length: count - 1 }, (_none, at) => spawn(at + 2, address.port)))
  } catch (error) {
    await close()
    throw error
  }
  started = true
  later(askEveryMs, watch)
  return {
    address,
    configure: (next) => {
      const change = delta(snapshot, next)
      snapshot = next
      if (!isEmpty(change)) {
        generation++
        tell({ type: 'configure', generation, delta: encodeDelta(change) })
      }
      return new Promise((resolve, reject) => {
        waiting.push({ generation, resolve, reject })
        settle()
      })
    },
    counts: async () => {
      let cancel: Cancel = () => {}
      const late = new Promise<void>((resolve) => (cancel = clock.after(countTimeoutMs, resolve)))
      await Promise.race([late, Promise.all([...threads.values()].map((thread) => thread.count()))])
      cancel()
      return [...gone, ...[...threads.values()].map((thread) => thread.counts()).filter((counts) => counts !== undefined)]
    },
    states: () => [...threads].map(([worker, thread]) => ({ worker, busySeconds: thread.busyMs() / 1000 })),
    tap,
    crashes: () => crashes,
    failed: failed.promise,
    drain: async (deadlineMs = drainMs) => {
      if (stopping) return close()
      stop()
      tell({ type: 'drain', deadlineMs })
      const cancel = clock.after(deadlineMs + drainGraceMs, () => void close())
      await Promise.all([...threads.values()].map((thread) => thread.ended))
      cancel()
    },
    close,
  }
}

/** What one of `count` threads may hold: together no more than one alone. */
function share(limits: Partial<WaypointLimits> = {}, count: number): Partial<WaypointLimits> {
  const { maxRequests, totalReplayBytes, maxMirrors } = { ...defaultLimits, ...limits }
  const part = (whole: number): number => Math.ceil(whole / count)
  return { ...limits, maxRequests: part(maxRequests), totalReplayBytes: part(totalReplayBytes), maxMirrors: part(maxMirrors) }
}
