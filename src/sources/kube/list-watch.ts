import type { IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Cancel, Clock } from '../../kit/clock.ts'
import type { KubeClient, Query } from '../../kube/client.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { faultOf, nextStep, WatchFault, type Fault } from './decide.ts'
import { createHeld, type ObjectChange, type Prepared } from './held.ts'
import { lineSplitter } from './lines.ts'
import type { RelistReason, RestartReason, WatchObserver } from './observer.ts'
import { asObject, deepFreeze, type Trim } from './trim.ts'
import { readEvent, readPage, type Page, type RawItem } from './wire.ts'

export interface ListWatchOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Numbers from 0 up to, not including, 1. */
  readonly random: () => number
  /** What the objects are called, and what is filled in, since items of lists lack it. */
  readonly kind: string
  readonly apiVersion: string
  /** The path of the collection; as a function it is asked again before each list, and what it throws is treated as the server's answer. */
  readonly path: string | (() => Promise<string>)
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  /** Makes of an object what is to be kept of it; default: all but `managedFields`. An object for which it throws is left out. */
  readonly trim?: Trim | undefined
  /** Called with what changed, in order; the first time with the whole list. Must not throw. */
  readonly onChanges: (changes: readonly ObjectChange[]) => void
  /** Called when `synced` or `problem` may have changed, after `onChanges`. Must not throw. */
  readonly onState?: (() => void) | undefined
  readonly observer?: WatchObserver | undefined
}

/** Why a list-watch is out of touch with the server. */
export interface WatchProblem {
  readonly reason: RestartReason
  readonly message: string
  /** Tries in a row that made no progress. */
  readonly failures: number
}

/** Follows one collection until it is closed. */
export interface ListWatch {
  /** As last seen. Changes in place; the objects in it are frozen. */
  readonly objects: ReadonlyMap<NamespacedName, KubeObject>
  /** Whether everything was listed once; what is held stays in force whatever happens then. */
  readonly synced: () => boolean
  /** Undefined while all is well, and after the ordinary end of a watch. */
  readonly problem: () => WatchProblem | undefined
  /** Ends it: neither callback is called any more. */
  readonly close: () => void
}

const pageSize = 500
const listTimeoutMs = 60_000
/** Servers send a bookmark each minute: three in a row do not get lost on a connection that lives. */
const silenceMs = 180_000
/** The greatest object that etcd takes has 1.5 MiB; written as JSON with escapes it may be some times as long. */
const maxLineBytes = 32 * 1024 * 1024
/** A kind that is not served may be one whose server just starts; after so long what is held of it is gone. */
const goneAfterMs = 60_000

/** Lists and watches one collection over raw JSON, and never gives up. Source: Kubernetes API concepts, "Efficient detection of changes". */
export function listWatch(options: ListWatchOptions): ListWatch {
  const { client, clock, random, kind, apiVersion, labelSelector, fieldSelector, trim = asObject, onChanges, onState, observer } = options
  const held = createHeld((value) => deepFreeze(trim(value, apiVersion, kind)))
  const closing = new AbortController()
  let path = ''
  let version: string | undefined
  let relist: RelistReason = 'start'
  let synced = false
  let problem: WatchProblem | undefined
  let failures = 0
  let failing: { readonly reason: RestartReason; readonly sinceMs: number } | undefined
  let missingSinceMs: number | undefined
  let wake: (() => void) | undefined

  const isClosed = (): boolean => closing.signal.aborted
  const emit = (changes: readonly (ObjectChange | undefined)[]): void => {
    const real = changes.filter((change) => change !== undefined)
    if (real.length === 0 || isClosed()) return
    observer?.held?.(kind, held.objects.size)
    onChanges(real)
  }
  const settle = (next: WatchProblem | undefined): void => {
    problem = next
    observer?.synced?.(kind, synced && next === undefined)
    if (!isClosed()) onState?.()
  }
  const count = (chunk: Buffer): void => observer?.bytes?.(kind, chunk.length)
  const dropped = (times: number): void => {
    for (let at = 0; at < times; at++) observer?.event?.(kind, 'dropped', clock.now())
  }

  const readPageAt = async (query: Query): Promise<Page> => {
    const guard = guarded(closing.signal, clock, listTimeoutMs)
    try {
      const answer = await client.stream(path, { labelSelector, fieldSelector, ...query }, guard.signal)
      const chunks: Buffer[] = []
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        count(chunk)
        chunks.push(chunk)
      }
      return readPage(Buffer.concat(chunks).toString())
    } finally {
      guard.done()
    }
  }

  const list = async (): Promise<void> => {
    observer?.relist?.(kind, relist)
    path = typeof options.path === 'string' ? options.path : await options.path()
    // When the version of a list in parts is gone, it starts over: in one part, lest a great list never come to its end.
    for (let limit: number | undefined = pageSize; ; limit = undefined) {
      const items: Prepared[] = []
      let first: string | undefined
      let next: string | undefined
      try {
        let coming: Promise<Page> | undefined = readPageAt({ limit })
        while (coming !== undefined && !isClosed()) {
          const page: Page = await coming
          first ??= page.version
          next = page.next
          coming = next === undefined ? undefined : readPageAt({ limit, continue: next })
          // Its failure shows when it is waited for; while it is on its way this one is taken in.
          coming?.catch(() => {})
          await nextTurn()
          dropped(page.dropped)
          for (const item of page.items) keep(items, item)
        }
      } catch (error) {
        if (next !== undefined && limit !== undefined && faultOf(error).reason === 'expired') continue
        throw error
      }
      version = first
      synced = true
      emit(held.replace(items))
      settle(problem)
      return
    }
  }

  const keep = (items: Prepared[], item: RawItem): void => {
    try {
      items.push(held.prepare(item))
    } catch {
      dropped(1)
    }
  }

  /** @returns how it ended, if it was not cut; throws if it was */
  const watch = async (onEvent: () => void): Promise<Fault> => {
    const timeoutSeconds = 290 + Math.floor(random() * 300)
    const query = { watch: true, allowWatchBookmarks: true, resourceVersion: version, timeoutSeconds, labelSelector, fieldSelector }
    const guard = guarded(closing.signal, clock, silenceMs)
    try {
      const answer: IncomingMessage = await client.stream(path, query, guard.signal)
      settle(undefined)
      const lines = lineSplitter(maxLineBytes)
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        guard.heard()
        count(chunk)
        for (const line of split(lines.push, chunk)) {
          take(line)
          onEvent()
        }
        if (isClosed()) break
      }
      return { reason: 'ended', message: 'the watch ended' }
    } catch (error) {
      if (guard.expired()) return { reason: 'silent', message: `nothing came over the watch for ${silenceMs / 1000} s` }
      throw error
    } finally {
      guard.done()
    }
  }

  const take = (line: string): void => {
    const event = readEvent(line)
    observer?.event?.(kind, event.type, clock.now())
    if (event.type === 'bookmark' || event.type === 'dropped') {
      if (event.version !== undefined && event.version !== '') version = event.version
      return
    }
    const { item, type } = event
    if (item.version !== '') version = item.version
    try {
      emit([type === 'deleted' ? held.remove(item) : held.put(item)])
    } catch {
      dropped(1)
      emit([held.remove(item)])
    }
  }

  /** One list if it is needed, and one watch. */
  const attempt = async (): Promise<void> => {
    let events = 0
    let openedMs = clock.now()
    let fault: Fault
    try {
      if (version === undefined) await list()
      missingSinceMs = undefined
      openedMs = clock.now()
      fault = await watch(() => events++)
    } catch (error) {
      fault = faultOf(error)
      if (error instanceof WatchFault && fault.reason !== 'bad-line') observer?.event?.(kind, 'error', clock.now())
    }
    if (isClosed()) return
    failures = events > 0 ? 1 : failures + 1
    if (failures === 1 || failing?.reason !== fault.reason) failing = { reason: fault.reason, sinceMs: clock.now() }
    const step = nextStep(fault, { failures, failingMs: clock.now() - failing.sinceMs, openMs: clock.now() - openedMs, random })
    observer?.restart?.(kind, fault.reason)
    if (fault.reason === 'ended') failures = step.delayMs === 0 ? 0 : failures
    else settle({ ...fault, failures })
    if (fault.reason === 'missing') forget()
    if (step.relist !== undefined) {
      relist = step.relist
      version = undefined
    }
    if (step.refresh) refresh()
    await pause(step.delayMs)
  }

  const forget = (): void => {
    missingSinceMs ??= clock.now()
    if (held.objects.size > 0 && clock.now() - missingSinceMs >= goneAfterMs) emit(held.replace([]))
  }

  const refresh = (): void => {
    try {
      client.refresh()
    } catch (error) {
      settle({ reason: 'unauthorized', message: `the credentials can not be read anew: ${String(error)}`, failures })
    }
  }

  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      const cancel = clock.after(delayMs, resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })

  const run = async (): Promise<void> => {
    while (!isClosed()) await attempt()
  }
  void run()

  return {
    objects: held.objects,
    synced: () => synced,
    problem: () => problem,
    close: () => {
      closing.abort()
      wake?.()
    },
  }
}

function split(push: (chunk: Buffer) => readonly string[], chunk: Buffer): readonly string[] {
  try {
    return push(chunk)
  } catch (error) {
    throw new WatchFault({ reason: 'bad-line', message: String(error) })
  }
}

interface Guard {
  readonly signal: AbortSignal
  readonly heard: () => void
  readonly expired: () => boolean
  readonly done: () => void
}

/** A signal that is aborted with `parent`, and when nothing was heard for `limitMs`. */
function guarded(parent: AbortSignal, clock: Clock, limitMs: number): Guard {
  const own = new AbortController()
  const abort = (): void => own.abort()
  parent.addEventListener('abort', abort)
  if (parent.aborted) abort()
  let heardMs = clock.now()
  let expired = false
  let timer: Cancel
  const check = (): void => {
    // A clock that was set back must not put off the end of what is silent.
    heardMs = Math.min(heardMs, clock.now())
    const leftMs = heardMs + limitMs - clock.now()
    if (leftMs > 0) {
      timer = clock.after(Math.min(leftMs, limitMs), check)
      return
    }
    expired = true
    abort()
  }
  timer = clock.after(limitMs, check)
  return {
    signal: own.signal,
    heard: () => (heardMs = clock.now()),
    expired: () => expired,
    done: () => {
      timer()
      parent.removeEventListener('abort', abort)
    },
  }
}
