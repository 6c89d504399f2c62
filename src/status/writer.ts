import type { Resource, ResourceSet } from '../api/resources.ts'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import { describeRef } from '../model/refs.ts'
import type { ObjectStatus, Warning } from '../model/status.ts'
import { createBucket } from './bucket.ts'
import { statusNotices, warningNotice } from './events.ts'
import { judge } from './failures.ts'
import { createIdle } from './idle.ts'
import { sameStatus } from './same.ts'
import { mergeStatus } from './merge.ts'
import { keyOf, objectOf, refIn, sameKind, sameRef, withStatus } from './objects.ts'
import { createEntry, isStill, planFor, seenOf, type Entry, type Plan } from './plan.ts'
import { createFairQueue } from './queue.ts'
import { createRecorder } from './recorder.ts'

export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, 'read' | 'replace' | 'create' | 'refresh'>
  readonly clock: Clock
  /** A number from 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number
  /** `domain/name`: whose entries and conditions are ours. */
  readonly controllerName: string
  /** Who reports Events, the pod's name; default the controller's name. */
  readonly instance?: string
  /** What a reader of an Event can do about a condition with that reason; undefined: the message says it. */
  readonly advice?: (reason: string) => string | undefined
  /** The `apiVersion` under which the cluster serves a kind; undefined: that of the object. */
  readonly apiVersion?: (kind: Resource['kind']) => string | undefined
  readonly log: (line: string) => void
  readonly observer?: StatusObserver
  /** Writes under way at once; default 8. */
  readonly concurrency?: number
  /** Bound of all writes; default a burst of 200, then 100 a second. */
  readonly rate?: { readonly burst: number; readonly perSecond: number }
  /** For how long a condition that held may be `Pending` before its status says so; default 5000. */
  readonly settleMs?: number
}

/** Counts what happens. */
export interface StatusObserver {
  readonly write?: (kind: string, outcome: 'written' | 'conflict' | 'gone' | 'refused' | 'failed') => void
  readonly event?: (outcome: 'sent' | 'known' | 'dropped' | 'failed') => void
}

/** What should stand in the cluster: statuses and warnings as translated from `resources`. */
export interface WantedState {
  readonly statuses: readonly ObjectStatus[]
  readonly warnings: readonly Warning[]
  readonly resources: ResourceSet
}

/** Brings the cluster's statuses to what is wanted. */
export interface StatusWriter {
  /** The newest wanted state; it takes the place of the one before. */
  readonly update: (state: WantedState) => void
  /** Only while active it writes. Inactive at once: a retry that was due is not made; of a write under way only the answer is awaited. */
  readonly setActive: (active: boolean) => void
  /** Resolves when all is written that can be: what waits for a person to act is not waited for. */
  readonly idle: () => Promise<void>
  /** Inactive for good. */
  readonly close: () => void
}

type Phase = 'idle' | 'queued' | 'writing' | 'waiting' | 'refused'

interface Item extends Entry {
  phase: Phase
  /** Something changed while it was being written. */
  again: boolean
  failures: number
  /** The object must be read before it is written. */
  reread: boolean
  /** With phase `refused`: a changed status may be taken. */
  aboutContent: boolean
  /** With phase `waiting` and `refused`. */
  retry: Cancel | undefined
  /** Runs while something that only passes is held back. */
  settle: Cancel | undefined
  /** Of what the log was told. */
  told: string
  /** Number of the last update that wanted it. */
  round: number
}

/** Pauses, upper limits in milliseconds: after a conflict, after a failure, and while somebody must act. */
const conflictPause = { baseMs: 20, maxMs: 5_000 }
const failurePause = { baseMs: 250, maxMs: 30_000 }
const refusedPause = { baseMs: 30_000, maxMs: 300_000 }

/** Kinds of objects that have a status of ours. */
const statusKinds = ['GatewayClass', 'Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'AuthorizationPolicy', 'MTLSPolicy'] as const

/** A writer that is not active yet. It reads and writes with optimistic locking: PUT on the status subresource with `resourceVersion`. */
export function createStatusWriter(options: StatusWriterOptions): StatusWriter {
  const { client, clock, random = Math.random, controllerName, instance = controllerName, log, observer = {}, concurrency = 8 } = options
  const { rate = { burst: 200, perSecond: 100 }, settleMs = 5_000, advice = () => undefined, apiVersion = () => undefined } = options
  const items = new Map<string, Item>()
  const queue = createFairQueue()
  const bucket = createBucket(rate)
  const recorder = createRecorder({ client, clock, random, controllerName, instance, log, observe: (outcome) => observer.event?.(outcome) })
  const idle = createIdle(() => running === 0 && queue.size() === 0 && [...items.values()].every(({ phase, settle }) => phase !== 'waiting' && settle === undefined))
  let active = false
  let closed = false
  let running = 0
  let round = 0
  let newest: WantedState | undefined
  /** Items of the last update, in the order of its statuses, and its objects. */
  let order: readonly Item[] = []
  let former: ResourceSet | undefined
  let formerStatuses: readonly ObjectStatus[] | undefined
  let toldWarnings = new Set<string>()
  let pause: Cancel | undefined
  const toldKinds = new Set<string>()

  const plan = (item: Item): Plan => {
    const made = planFor(item, controllerName, settleMs, clock.now())
    if (made.settleMs === undefined) {
      item.settle?.()
      item.settle = undefined
    } else {
      item.settle ??= clock.after(made.settleMs, () => {
        item.settle = undefined
        consider(item)
        idle.check()
      })
    }
    return made
  }

  const enqueue = (item: Item): void => {
    item.phase = 'queued'
    queue.add(item.namespace, item.key)
    pump()
  }

  const consider = (item: Item): void => {
    if (item.phase === 'writing') item.again = true
    else if (item.phase === 'idle' && plan(item).status !== undefined) enqueue(item)
  }

  const pump = (): void => {
    if (!active || pause !== undefined) return
    while (running < concurrency && queue.size() > 0) {
      const waitMs = bucket.waitMs(clock.now())
      if (waitMs > 0) {
        pause = clock.after(waitMs, () => {
          pause = undefined
          pump()
        })
        return
      }
      const key = queue.take()
      const item = key === undefined ? undefined : items.get(key)
      if (item === undefined) continue
      bucket.take(clock.now())
      running++
      item.phase = 'writing'
      item.again = false
      void write(item)
    }
  }

  const write = async (item: Item): Promise<void> => {
    try {
      await attempt(item)
      item.phase = 'idle'
      item.failures = 0
    } catch (error) {
      if (isOurs(item)) failed(item, error)
    }
    running--
    if (isOurs(item) && item.phase === 'idle' && item.again) consider(item)
    pump()
    idle.check()
  }

  /** Still wanted, and we still lead: to be asked after each wait. */
  const isOurs = (item: Item): boolean => items.get(item.key) === item

  const served = (object: Resource): Resource => {
    const version = apiVersion(object.kind)
    return version === undefined ? object : { ...object, apiVersion: version }
  }

  const attempt = async (item: Item): Promise<void> => {
    // A write without a version would overwrite what others wrote meanwhile.
    if (item.reread || (item.seen ?? item.watched.metadata).resourceVersion === undefined) {
      const live = await client.read(refIn(served(item.watched)))
      if (!isOurs(item)) return
      item.reread = false
      // For another object of that name, or a newer spec, the watch will bring what is wanted.
      if (live === undefined || !isStill(item.watched, live)) return
      item.seen = seenOf(live, clock.now())
    }
    const { watched } = item
    const { base, target, status } = plan(item)
    if (status === undefined) return
    const answer = await client.replace(withStatus(served(watched), base.resourceVersion, status), { subresource: 'status' })
    observer.write?.(watched.kind, 'written')
    if (!isOurs(item)) return
    if (item.told !== '') log(`status of ${describeRef(target.ref)}: it is written now`)
    item.told = ''
    item.seen = seenOf(answer, clock.now())
    const dropped = mergeStatus(answer.status, target, { controllerName, nowMs: clock.now() }) !== undefined
    item.curtailed = dropped ? { target, status: answer.status } : undefined
    if (dropped && !toldKinds.has(watched.kind)) {
      toldKinds.add(watched.kind)
      log(`status of ${describeRef(target.ref)}: the API server dropped a part of it; its CRD is of another version than this mesh: waymark check`)
    }
    recorder.record(watched, statusNotices(base.status, status, target, item.unresolved, advice))
  }

  const failed = (item: Item, error: unknown): void => {
    const failure = judge(error)
    const { kind } = item.watched
    item.failures++
    switch (failure.kind) {
      case 'gone':
        observer.write?.(kind, 'gone')
        item.phase = 'idle'
        item.failures = 0
        return
      case 'conflict':
        observer.write?.(kind, 'conflict')
        item.reread = true
        retryLater(item, 'waiting', backoffMs(item.failures, { ...conflictPause, random }))
        return
      case 'passing':
        observer.write?.(kind, 'failed')
        if (failure.unauthorized) client.refresh()
        // The first failures are nothing to wake anybody for.
        if (item.failures === 4) tell(item, failure.message)
        retryLater(item, 'waiting', Math.max(failure.afterMs, backoffMs(item.failures, { ...failurePause, random })))
        return
      case 'refused':
        observer.write?.(kind, 'refused')
        tell(item, `${failure.message}; ${failure.advice}`)
        item.aboutContent = failure.aboutContent
        item.reread = true
        retryLater(item, 'refused', refusedPause.baseMs + backoffMs(item.failures, { ...refusedPause, random }))
    }
  }

  const tell = (item: Item, message: string): void => {
    if (item.told !== message) log(`status of ${describeRef(item.wanted.ref)}: ${printable(message)}`)
    item.told = message
  }

  const retryLater = (item: Item, phase: 'waiting' | 'refused', delayMs: number): void => {
    item.phase = phase
    item.retry = clock.after(delayMs, () => {
      item.retry = undefined
      enqueue(item)
    })
  }

  /** @param known its item, if the caller has it at hand */
  const want = (wanted: ObjectStatus, watched: Resource, known: Item | undefined): Item => {
    const key = known?.key ?? keyOf(wanted.ref)
    const item = known ?? items.get(key)
    if (item === undefined) {
      const fresh: Item = {
        ...createEntry(key, wanted, watched),
        phase: 'idle', again: false, failures: 0, reread: false, aboutContent: false, retry: undefined, settle: undefined, told: '', round,
      }
      items.set(key, fresh)
      consider(fresh)
      return fresh
    }
    item.round = round
    const sameWanted = sameStatus(item.wanted, wanted)
    if (sameWanted && item.watched === watched) return item
    item.wanted = wanted
    item.watched = watched
    if (item.phase === 'refused' && item.aboutContent && !sameWanted) {
      item.retry?.()
      item.retry = undefined
      enqueue(item)
    } else {
      consider(item)
    }
    return item
  }

  const forget = (item: Item): void => {
    item.retry?.()
    item.settle?.()
    queue.remove(item.namespace, item.key)
    items.delete(item.key)
  }

  const refresh = ({ statuses, warnings, resources }: WantedState): void => {
    // Most changes leave all statuses, and all objects that have one, as they are.
    if (statuses !== formerStatuses || former === undefined || statusKinds.some((kind) => former?.[kind] !== resources[kind])) refreshItems(statuses, resources)
    tellWarnings(warnings, resources)
    idle.check()
  }

  const refreshItems = (statuses: readonly ObjectStatus[], resources: ResourceSet): void => {
    round++
    const next: Item[] = []
    for (const status of statuses) {
      // Most changes leave all routes as they are, in the order they had: then nothing needs to be looked up by name.
      const guess = order[next.length]
      const known = guess !== undefined && former !== undefined && sameKind(former, resources, status.ref) && sameRef(guess.wanted.ref, status.ref) ? guess : undefined
      const object = known?.watched ?? objectOf(resources, status.ref)
      if (object !== undefined) next.push(want(status, object, known))
    }
    order = next
    former = resources
    formerStatuses = statuses
    for (const item of items.values()) if (item.round !== round) forget(item)
  }

  const tellWarnings = (warnings: readonly Warning[], resources: ResourceSet): void => {
    const told = new Set<string>()
    for (const warning of warnings) {
      const object = objectOf(resources, warning.ref)
      if (object === undefined) continue
      const key = JSON.stringify([keyOf(warning.ref), object.metadata.uid, warning.field, warning.message])
      if (!toldWarnings.has(key) && !told.has(key)) recorder.record(object, [warningNotice(warning)])
      told.add(key)
    }
    toldWarnings = told
  }

  const setActive = (on: boolean): void => {
    if (active === on || (on && closed)) return
    active = on
    recorder.setActive(on)
    if (on) {
      if (newest !== undefined) refresh(newest)
      return
    }
    for (const item of items.values()) forget(item)
    order = []
    former = undefined
    pause?.()
    pause = undefined
    idle.check()
  }

  return {
    update: (state) => {
      newest = state
      if (active) refresh(state)
    },
    setActive,
    idle: async () => {
      await idle.wait()
      await recorder.idle()
    },
    close: () => {
      closed = true
      setActive(false)
      newest = undefined
    },
  }
}
