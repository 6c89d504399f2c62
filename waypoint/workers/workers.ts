import { randomBytes } from 'node:crypto'
import type { Clock } from '../../src/kit/clock.ts'
import { startCrew, type Crew } from '../../src/kit/crew.ts'
import { turnPretenuringOff } from '../../src/kit/pretenuring.ts'
import type { CredentialSource, Credentials } from '../../src/model/credentials.ts'
import type { AccessLogLevel } from '../../src/model/infra.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import { configureThreads } from '../../src/publish/threads.ts'
import type { TracingConfig } from '../../src/telemetry/config.ts'
import { withoutState, type Counts } from '../../src/telemetry/counters.ts'
import type { Log } from '../../src/telemetry/log.ts'
import type { TapSource } from '../../src/telemetry/tap.ts'
import { TapRelay } from '../../src/telemetry/tap-relay.ts'
import { keepThreadCounts } from '../../src/telemetry/thread-counts.ts'
import { defaultLimits, type WaypointLimits } from '../serve/limits.ts'
import type { FromThread, ThreadStart, ToThread } from './messages.ts'
import { reservePort } from './port.ts'
// For its place beside this file, and so that whatever compiles this file compiles that one.
import type {} from './thread.ts'

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

const threadFile = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)
/** What a drain may take longer than its deadline, milliseconds: the last lines and spans. */
const drainGraceMs = 5_000

/**
 * Starts the threads; all of them listen, with the first configuration, when this resolves.
 * @throws the error of `listen` if the address can't be had or the system does not share ports, or what ended the first thread
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { count, clock, log, credentials, namespace, name, trustDomain, host, accessLog, tracing } = options
  const drainMs = options.limits?.drainMs ?? defaultLimits.drainMs
  // Threads must agree about session persistence also where the CA shares no secret among replicas.
  const ownSecret = randomBytes(32).toString('base64')
  const complete = (present: Credentials): Credentials => ({ ...present, sharedSecret: present.sharedSecret ?? ownSecret })
  const counts = keepThreadCounts(withoutState)
  let address: Address | undefined
  let stopping = false
  const started: { crew?: Crew<ToThread> } = {}
  turnPretenuringOff()

  const tell = (message: ToThread): void => started.crew?.tell(message)
  const tap = new TapRelay(clock, tell)
  const configurations = configureThreads(options.snapshot, tell)

  await reservePort(options)
  const crew = await startCrew<ToThread, FromThread>({
    count, clock, log, file: threadFile, name: 'waypoint', question: { type: 'count' }, random: options.random ?? Math.random, onReady: options.onListening,
    startWith: (slot): ThreadStart => ({
      // The first one finds the port if any will do.
      kind: 'waypoint', namespace, name, trustDomain, host, port: address?.port ?? options.port, accessLog, tracing, limits: share(options.limits, count),
      debug: log.debug !== undefined, credentials: complete(credentials.current()), configuration: configurations.begin(slot),
    }),
    hear: (slot, message) => {
      switch (message.type) {
        case 'listening':
          address ??= message.address
          for (const told of tap.present()) started.crew?.send(slot, told)
          return 'ready'
        case 'configured':
        case 'refused':
          configurations.hear(slot, message)
          return undefined
        case 'counts':
          counts.hear(slot, message.counts)
          return 'answered'
        case 'debug':
          log.debug?.(`worker ${slot}: ${message.line}`)
          return undefined
        case 'tapped':
          tap.receive(message)
          return undefined
        case 'drained':
          return 'over'
      }
    },
    onEnded: (slot) => {
      counts.gone(slot)
      configurations.gone(slot)
    },
  })
  started.crew = crew
  const renew = (present: Credentials): void => tell({ type: 'credentials', credentials: complete(present) })
  const stopRenewals = credentials.onChange(renew)
  // They may have been renewed since the first thread was started.
  renew(credentials.current())
  const close = (): Promise<void> => {
    stopping = true
    stopRenewals()
    return crew.close()
  }
  if (address === undefined) throw new Error('no thread has said where it listens')
  return {
    address,
    configure: configurations.configure,
    counts: async () => {
      await crew.ask()
      return counts.all()
    },
    states: () => crew.slots().map((worker) => ({ worker, busySeconds: crew.busySeconds(worker) })),
    tap,
    crashes: crew.crashes,
    failed: crew.failed,
    drain: async (deadlineMs = drainMs) => {
      if (stopping) return close()
      stopping = true
      stopRenewals()
      tell({ type: 'drain', deadlineMs })
      await crew.leave(deadlineMs + drainGraceMs)
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
