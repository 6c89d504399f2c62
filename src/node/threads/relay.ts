import type { Clock } from '../../kit/clock.ts'
import { startCrew, type Crew } from '../../kit/crew.ts'
import type { CredentialSource } from '../../model/credentials.ts'
import type { UnknownDestinations } from '../../model/destination.ts'
import type { AccessLogLevel } from '../../model/infra.ts'
import { configureThreads } from '../../publish/threads.ts'
import { sumConnections, type ConnectionCounts } from '../../telemetry/connection-counters.ts'
import { TapRelay } from '../../telemetry/tap-relay.ts'
import type { TapSource } from '../../telemetry/tap.ts'
import { keepThreadCounts } from '../../telemetry/thread-counts.ts'
import { NetworkError, type PodNetwork } from '../network.ts'
import type { PodTraffic, TrafficPlane } from '../traffic/plane.ts'
import type { PodStats } from '../traffic/pod.ts'
import { createCalls } from './calls.ts'
import type { FromThread, PodRequest, ThreadFailure, ThreadPod, ThreadStart, ToThread } from './messages.ts'
// For its place beside this file, and so that whatever compiles this file compiles that one.
import type {} from './thread.ts'

export interface ThreadsOptions {
  /** How many threads, at least 1. */
  readonly count: number
  readonly node: string
  readonly unknown: UnknownDestinations
  readonly accessLog: AccessLogLevel
  /** The module that opens pods' namespaces, see `Networks`. */
  readonly networks: URL
  /** Of each listener of a pod, in all threads together. */
  readonly maxConnections: number
  readonly clock: Clock
  readonly log: { readonly info: (line: string) => void; readonly error: (line: string) => void }
  /** 0 ≤ random() < 1: pauses. */
  readonly random?: () => number
}

/** One thread as metrics show it. */
export interface ThreadState {
  /** Counts from 1; a thread that takes another's place has its number. */
  readonly worker: number
  readonly busySeconds: number
}

/** Carries the traffic of captured pods in several threads, each with its own listeners in every pod. */
export interface ThreadedPlane extends TrafficPlane {
  /** What the threads counted, those that are gone included, as of the last `refresh`. */
  readonly counts: () => readonly ConnectionCounts[]
  /** Threads that carry connections. */
  readonly serving: () => number
  readonly states: () => readonly ThreadState[]
  /** Threads that ended and were not meant to. */
  readonly crashes: () => number
  /** Shows what the threads do. */
  readonly tap: TapSource
}

const threadFile = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)
/** What threads get for their last lines, milliseconds. */
const lastMs = 5_000

interface RelayedPod {
  readonly id: number
  readonly uid: string
  readonly place: ThreadPod['place']
  account: number | undefined
  phase: PodStats['phase']
}

/** Starts the threads. @throws what ended the first one that could not start */
export async function startThreads(options: ThreadsOptions): Promise<ThreadedPlane> {
  const { count, node, unknown, accessLog, clock, log } = options
  const pods = new Map<number, RelayedPod>()
  const accounts = new Map<CredentialSource, { readonly account: number; uses: number; readonly stop: () => void }>()
  const counts = keepThreadCounts(sumConnections)
  /** What threads last said of their pods, by slot. */
  const reported = new Map<number, ReadonlyMap<number, PodStats>>()
  let lastId = 0
  const started: { crew?: Crew<ToThread> } = {}
  const tell = (message: ToThread): void => started.crew?.tell(message)
  const configurations = configureThreads(new Map(), tell)
  const tap = new TapRelay(clock, tell)
  const calls = createCalls({ slots: () => started.crew?.slots() ?? [], tell: (call, id, request) => tell({ type: 'pod', call, id, request }) })
  const nameOf = (id: number): string => pods.get(id)?.place.path ?? ''

  const crew = await startCrew<ToThread, FromThread>({
    count, clock, log, file: threadFile, name: 'agent', question: { type: 'count' }, random: options.random ?? Math.random,
    startWith: (slot): ThreadStart => ({
      kind: 'agent', node, unknown, accessLog, networks: options.networks.href, maxConnections: Math.ceil(options.maxConnections / count),
      configuration: configurations.begin(slot),
      accounts: [...accounts].map(([source, { account }]) => ({ account, credentials: source.current() })),
      pods: [...pods.values()].filter(({ phase }) => phase === 'capturing'),
    }),
    hear: (slot, message) => {
      switch (message.type) {
        case 'ready':
          for (const told of tap.present()) started.crew?.send(slot, told)
          return 'ready'
        case 'configured':
        case 'refused':
          configurations.hear(slot, message)
          return undefined
        case 'done':
          calls.answered(slot, message.call, message)
          return undefined
        case 'without':
          log.error(`worker ${slot} does not carry the pod of ${nameOf(message.id)}, which others carry: ${message.failure.message}`)
          return undefined
        case 'counts':
          counts.hear(slot, message.counts)
          reported.set(slot, new Map(message.pods))
          return 'answered'
        case 'tapped':
          tap.receive(message)
          return undefined
        case 'ended':
          return 'over'
      }
    },
    onEnded: (slot) => {
      counts.gone(slot)
      reported.delete(slot)
      configurations.gone(slot)
      calls.gone(slot)
    },
  })
  started.crew = crew

  const accountOf = (source: CredentialSource): number => {
    const known = accounts.get(source)
    if (known !== undefined) {
      known.uses++
      return known.account
    }
    const account = ++lastId
    const say = (): void => tell({ type: 'account', account, credentials: source.current() })
    accounts.set(source, { account, uses: 1, stop: source.onChange(say) })
    say()
    return account
  }
  const letGoOf = (account: number | undefined): void => {
    for (const [source, held] of accounts) {
      if (held.account !== account || --held.uses > 0) continue
      held.stop()
      accounts.delete(source)
      tell({ type: 'forget', account: held.account })
    }
  }

  const open = (uid: string, { place }: PodNetwork): PodTraffic => {
    const pod: RelayedPod = { id: ++lastId, uid, place, account: undefined, phase: 'new' }
    const { id } = pod
    // Asked through a function because it changes across awaits.
    const isClosed = (): boolean => pod.phase === 'closed'
    pods.set(id, pod)
    const ask = (request: PodRequest): ReturnType<typeof calls.ask> => calls.ask(id, request)
    const close = async (): Promise<void> => {
      pod.phase = 'closed'
      if (!pods.delete(id)) return
      await ask({ what: 'close' })
      letGoOf(pod.account)
    }
    return {
      // Threads that come meanwhile carry it from their start.
      start: async () => {
        pod.phase = 'capturing'
        const answers = await ask({ what: 'start', pod })
        const failure = answers.find((each) => each.failure !== undefined)?.failure
        if (failure === undefined) return
        await close()
        throw errorOf(failure)
      },
      certify: async (credentials) => {
        if (pod.account !== undefined || isClosed()) return
        pod.account = accountOf(credentials)
        if (pod.phase === 'capturing') await ask({ what: 'certify', account: pod.account })
      },
      drain: async (deadlineMs) => {
        if (pod.phase !== 'new' && pod.phase !== 'capturing') return
        pod.phase = 'draining'
        await ask({ what: 'drain', deadlineMs })
        if (!isClosed()) pod.phase = 'drained'
      },
      close,
      // Without one thread's listeners it goes on with the others'.
      deaf: async () => {
        const answers = await ask({ what: 'deaf' })
        return answers.some(({ ears }) => ears === 'gone') || (answers.length > 0 && answers.every(({ ears }) => ears === 'without'))
      },
      stats: () => sumStats(pod, [...reported.values()].flatMap((each) => each.get(id) ?? [])),
    }
  }

  return {
    configure: configurations.configure,
    open,
    refresh: crew.ask,
    counts: counts.all,
    states: () => crew.slots().map((worker) => ({ worker, busySeconds: crew.busySeconds(worker) })),
    serving: crew.ready,
    crashes: crew.crashes,
    failed: crew.failed,
    tap,
    close: async () => {
      for (const { stop } of accounts.values()) stop()
      tell({ type: 'end' })
      await crew.leave(lastMs)
    },
  }
}

function errorOf({ message, code, syscall }: ThreadFailure): Error {
  return code === undefined || syscall === undefined ? new Error(message) : new NetworkError(code, syscall)
}

function sumStats({ phase, account }: RelayedPod, all: readonly PodStats[]): PodStats {
  const sum = (of: (stats: PodStats) => number): number => all.reduce((total, each) => total + of(each), 0)
  return {
    phase, certified: account !== undefined, configured: all.length > 0 && all.every(({ configured }) => configured),
    connections: sum(({ connections }) => connections), sessionsIn: sum(({ sessionsIn }) => sessionsIn), sessionsOut: sum(({ sessionsOut }) => sessionsOut),
  }
}
