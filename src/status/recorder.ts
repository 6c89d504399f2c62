import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import { createBucket, type Bucket } from './bucket.ts'
import { eventOf, type Notice, type Regarding } from './events.ts'
import { judge } from './failures.ts'
import { createIdle } from './idle.ts'

export interface RecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'refresh'>
  readonly clock: Clock
  /** A number from 0 up to, not including, 1. */
  readonly random: () => number
  /** `domain/name`, the Events' `reportingController`. */
  readonly controllerName: string
  /** The pod's name, the Events' `reportingInstance`. */
  readonly instance: string
  readonly log: (line: string) => void
  /** How an Event fared; `known`: it stood there already, `dropped`: too many. */
  readonly observe: (outcome: 'sent' | 'known' | 'dropped' | 'failed') => void
}

/** Sends Events: best effort, in order, never faster than bounds allow. */
export interface Recorder {
  readonly record: (object: Regarding, notices: readonly Notice[]) => void
  /** Inactive: what waits is thrown away and nothing is sent, a retry neither. */
  readonly setActive: (active: boolean) => void
  /** Resolves when all is sent or given up. */
  readonly idle: () => Promise<void>
}

/** Bounds: of all Events, of those about one object (one in five minutes, as in the clients of Kubernetes), and of those that wait. */
const overall = { burst: 50, perSecond: 10 }
const perObject = { burst: 10, perSecond: 1 / 300 }
const mostWaiting = 1_000
const mostObjects = 5_000
const mostTries = 5

/** A recorder that is not active yet. */
export function createRecorder({ client, clock, random, controllerName, instance, log, observe }: RecorderOptions): Recorder {
  let epoch = 0
  let active = false
  let sending = false
  let timer: Cancel | undefined
  let refusal = ''
  let tries = 0
  const queue: { readonly object: Regarding; readonly notice: Notice }[] = []
  const bucket = createBucket(overall)
  const buckets = new Map<string, Bucket>()
  const idle = createIdle(() => queue.length === 0 && !sending)

  const bucketOf = ({ kind, metadata }: Regarding): Bucket => {
    const key = `${kind}/${metadata.namespace ?? ''}/${metadata.name}`
    const known = buckets.get(key) ?? createBucket(perObject)
    buckets.delete(key)
    buckets.set(key, known)
    // The one that was used longest ago has the fullest bucket.
    for (const oldest of buckets.keys()) if (buckets.size > mostObjects) buckets.delete(oldest)
    return known
  }

  const later = (ms: number): void => {
    timer?.()
    timer = clock.after(ms, () => {
      timer = undefined
      void send()
    })
  }

  const send = async (): Promise<void> => {
    if (sending || timer !== undefined) return
    const [first] = queue
    if (first === undefined || !active) return
    const wait = bucket.waitMs(clock.now())
    if (wait > 0) {
      later(wait)
      return
    }
    bucket.take(clock.now())
    sending = true
    const started = epoch
    let pauseMs = 0
    try {
      await client.create(eventOf(first.object, first.notice, { controllerName, instance }, clock.now()))
      if (refusal !== '') log('events: they are accepted again')
      refusal = ''
      observe('sent')
    } catch (error) {
      pauseMs = failed(error)
    }
    sending = false
    if (started === epoch && pauseMs === 0) {
      queue.shift()
      tries = 0
    }
    if (started === epoch && pauseMs > 0) later(pauseMs)
    else void send()
    idle.check()
  }

  /** @returns milliseconds until it is tried again; 0: it is not */
  const failed = (error: unknown): number => {
    const failure = judge(error)
    // A name that is taken is the same Event, told before.
    if (failure.kind === 'conflict') {
      observe('known')
      return 0
    }
    if (failure.kind === 'passing' && ++tries < mostTries) {
      if (failure.unauthorized) client.refresh()
      return Math.max(failure.afterMs, backoffMs(tries, { baseMs: 1_000, maxMs: 30_000, random }), 1)
    }
    observe('failed')
    if (failure.kind !== 'gone') {
      const line = `events: ${printable(failure.message)}${failure.kind === 'refused' ? `; ${failure.advice}` : ''}`
      const sort = failure.kind === 'refused' && !failure.aboutContent ? 'permission' : line
      if (sort !== refusal) log(line)
      refusal = sort
    }
    return 0
  }

  return {
    record: (object, notices) => {
      if (!active) return
      for (const notice of notices) {
        if (queue.length >= mostWaiting || !bucketOf(object).take(clock.now())) observe('dropped')
        else queue.push({ object, notice })
      }
      void send()
    },
    setActive: (on) => {
      active = on
      if (on) return
      epoch++
      timer?.()
      timer = undefined
      queue.length = 0
      tries = 0
      idle.check()
    },
    idle: idle.wait,
  }
}
