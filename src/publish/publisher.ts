import { isDeepStrictEqual } from 'node:util'
import { editedKeys } from '../model/edited.ts'
import type { Entry, EntryKey } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Subscriber } from './slice.ts'
import { createView, type EntryChange, type Update, type View } from './view.ts'

export type { Update } from './view.ts'

export interface SubscribeOptions {
  /** Hash of the slice that the subscriber has already: it gets what leads on from there, or, if that is not remembered, everything. */
  readonly have?: string | undefined
  /** Whether it can take an update now; if not, it gets one later, by `flush`, that leads to what is present then. Default: always. */
  readonly ready?: () => boolean
}

export interface Subscription {
  /** Says that the subscriber now runs the update of that version. @returns its hash; undefined if no such update waits for it */
  readonly acknowledge: (version: number) => string | undefined
  /** The newest version that it acknowledged; 0: none yet. */
  readonly acknowledged: () => number
  /** Sends what it could not take before. */
  readonly flush: () => void
  readonly close: () => void
}

/** Hands each subscriber its slice of the newest Snapshot; only what changed travels. */
export interface Publisher {
  /** @returns the version that this Snapshot became; the same as before if nothing changed */
  readonly publish: (snapshot: Snapshot) => number
  /** The first update comes at once if there is a Snapshot; it holds the whole slice, or what is missing to what the subscriber has. */
  readonly subscribe: (subscriber: Subscriber, onUpdate: (update: Update) => void, options?: SubscribeOptions) => Subscription
  readonly version: () => number
  /** What was published last; it changes in place. */
  readonly snapshot: () => Snapshot
  /** Hash of what that subscriber should run now; undefined before the first Snapshot. */
  readonly hash: (subscriber: Subscriber) => string | undefined
  /** Bytes of the slices of waypoints that are too large to be sent, by namespace: their subscribers keep what they have. */
  readonly tooLarge: () => ReadonlyMap<string, number>
}

/**
 * Most bytes of a slice. A waypoint keeps its slice in a volume of 64 MiB, for a moment twice, and a controller puts it into one
 * message: one namespace must not cost all others their controller. Others see the whole cluster, which no namespace makes so large.
 */
export const mostBytes = { waypoint: 24 * 1024 * 1024, others: 60 * 1024 * 1024 } as const

/**
 * Slices without a subscriber that are kept up to date for those who come back. Those of waypoints are kept as long as there is anything
 * in them: together they are no larger than the Snapshot, and their hashes are asked for at every turn, wherever their subscribers are.
 */
const idleViews = 256
/** Updates of one subscriber that may wait to be acknowledged. */
const maxWaiting = 32

interface Receiver {
  readonly view: View
  readonly receive: () => void
}

/** A publisher within the process. One changed entry costs one pass over the Snapshot by identity, and work for those whom it concerns. */
export function createPublisher(limits: Readonly<Record<keyof typeof mostBytes, number>> = mostBytes): Publisher {
  let given: Snapshot | undefined
  const current = new Map<EntryKey, Entry>()
  const perNamespace = new Map<string, Map<EntryKey, Entry>>()
  let version = 0
  const views = new Map<string, View>()
  const referring = new Map<EntryKey, Set<View>>()
  const receivers = new Map<View, Set<Receiver>>()
  /** Subscribers that came before the first Snapshot. */
  let early: (() => void)[] = []

  const index = {
    add: (key: EntryKey, view: View): void => {
      const found = referring.get(key)
      if (found === undefined) referring.set(key, new Set([view]))
      else found.add(view)
    },
    remove: (key: EntryKey, view: View): void => {
      const found = referring.get(key)
      found?.delete(view)
      if (found?.size === 0) referring.delete(key)
    },
  }

  const viewOf = (subscriber: Subscriber): View => {
    const id = `${subscriber.kind}/${subscriber.namespace}`
    const known = views.get(id)
    const { kind, namespace } = subscriber
    const candidates = kind === 'waypoint' ? (perNamespace.get(namespace) ?? new Map<EntryKey, Entry>()) : current
    const found = known ?? createView({ kind, namespace }, current, version, index, candidates)
    // At the end: the first ones are those that nobody asked for the longest time.
    views.delete(id)
    views.set(id, found)
    if (known === undefined && views.size > idleViews) {
      let idle = [...views].filter(([, view]) => view !== found && !receivers.has(view) && (view.subscriber.kind !== 'waypoint' || view.bytes() === 0))
      idle = idle.slice(0, Math.max(0, idle.length - idleViews))
      for (const [key, view] of idle) {
        views.delete(key)
        view.close()
      }
    }
    return found
  }

  /** Which views a change may concern. */
  const route = (changes: readonly EntryChange[]): ReadonlyMap<View, readonly EntryChange[]> => {
    const perView = new Map<View, EntryChange[]>()
    const add = (view: View | undefined, change: EntryChange): void => {
      if (view === undefined) return
      const list = perView.get(view)
      if (list === undefined) perView.set(view, [change])
      else list.push(change)
    }
    for (const change of changes) {
      const own = views.get(`waypoint/${(change.after ?? change.before)?.namespace ?? ''}`)
      add(own, change)
      for (const view of referring.get(change.key) ?? []) if (view !== own) add(view, change)
    }
    const entries = [...views.values()].filter(({ subscriber }) => subscriber.kind !== 'waypoint')
    return new Map<View, readonly EntryChange[]>([...perView, ...entries.map((view) => [view, changes] as const)])
  }

  const publish = (snapshot: Snapshot): number => {
    if (given === snapshot) return version
    const changes = changesTo(snapshot, given, current)
    const first = given === undefined
    given = snapshot
    if (changes.length === 0 && !first) return version
    version++
    for (const change of changes) {
      put(current, change)
      const namespace = (change.after ?? change.before)?.namespace ?? ''
      const own = perNamespace.get(namespace) ?? new Map<EntryKey, Entry>()
      perNamespace.set(namespace, own)
      put(own, change)
      if (own.size === 0) perNamespace.delete(namespace)
    }
    const changed: View[] = []
    for (const [view, own] of route(changes)) if (view.take(own, version)) changed.push(view)
    const now = early
    early = []
    // All slices are whole before anybody is told, and whoever can not be told does not keep it from the others.
    const failures: unknown[] = []
    for (const start of now) attempt(start, failures)
    for (const view of changed) for (const { receive } of [...(receivers.get(view) ?? [])]) attempt(receive, failures)
    if (failures.length > 0) throw failures[0]
    return version
  }

  const subscribe = (subscriber: Subscriber, onUpdate: (update: Update) => void, { have, ready = () => true }: SubscribeOptions = {}): Subscription => {
    let receiver: Receiver | undefined
    /** Position of what it was sent last; undefined: nothing that is remembered. */
    let position: number | undefined
    let began = false
    let acknowledged = 0
    let closed = false
    const waiting = new Map<number, string>()

    const receive = (view: View): void => {
      if (closed || (began && position === view.position()) || view.bytes() > limits[subscriber.kind === 'waypoint' ? 'waypoint' : 'others'] || !ready()) return
      const update = view.updateFrom(position)
      began = true
      position = view.position()
      waiting.set(update.version, update.hash)
      // One that never acknowledges costs no more than one that is late.
      for (const old of waiting.keys()) if (waiting.size > maxWaiting) waiting.delete(old)
      onUpdate(update)
    }
    const start = (): void => {
      if (closed) return
      const view = viewOf(subscriber)
      position = have === undefined ? undefined : view.find(have)
      receiver = { view, receive: () => receive(view) }
      const all = receivers.get(view)
      if (all === undefined) receivers.set(view, new Set([receiver]))
      else all.add(receiver)
      receive(view)
    }
    if (given === undefined) early.push(start)
    else start()
    return {
      acknowledge: (upTo) => {
        const hash = waiting.get(upTo)
        if (hash === undefined) return undefined
        acknowledged = Math.max(acknowledged, upTo)
        for (const each of waiting.keys()) if (each <= upTo) waiting.delete(each)
        return hash
      },
      acknowledged: () => acknowledged,
      flush: () => receiver?.receive(),
      close: () => {
        closed = true
        if (receiver === undefined) return
        const all = receivers.get(receiver.view)
        all?.delete(receiver)
        if (all?.size === 0) receivers.delete(receiver.view)
      },
    }
  }

  return {
    publish,
    subscribe,
    version: () => version,
    snapshot: () => current,
    hash: (subscriber) => (given === undefined ? undefined : viewOf(subscriber).hash()),
    tooLarge: () => new Map([...views.values()].flatMap((view) => {
      const { kind, namespace } = view.subscriber
      return kind === 'waypoint' && view.bytes() > limits.waypoint ? [[namespace, view.bytes()] as const] : []
    })),
  }
}

function put(entries: Map<EntryKey, Entry>, { key, after }: EntryChange): void {
  if (after === undefined) entries.delete(key)
  else entries.set(key, after)
}

function attempt(work: () => void, failures: unknown[]): void {
  try {
    work()
  } catch (error) {
    failures.push(error)
  }
}

/** What `snapshot` changes of `current`, which equals `given`. Entries that are deeply equal stay the objects that they were. */
function changesTo(snapshot: Snapshot, given: Snapshot | undefined, current: Snapshot): readonly EntryChange[] {
  const changes: EntryChange[] = []
  const edits = given === undefined ? undefined : editedKeys(given, snapshot)
  if (edits !== undefined) {
    for (const key of edits) {
      const [before, after] = [current.get(key), snapshot.get(key)]
      if (before !== after && !isDeepStrictEqual(before, after)) changes.push({ key, before, after })
    }
    return changes
  }
  let kept = 0
  // Both are mostly in the same order: going along saves looking most keys up.
  const along = (given ?? current).entries()
  let step = along.next()
  for (const [key, after] of snapshot) {
    if (step.done !== true && step.value[0] !== key && given?.has(key) === true) while (step.done !== true && step.value[0] !== key) step = along.next()
    const [expected, same] = step.done === true ? [] : step.value
    if (expected === key) step = along.next()
    if (expected === key ? same === after : given?.get(key) === after) {
      kept++
      continue
    }
    const before = current.get(key)
    if (before !== undefined) kept++
    if (before !== after && (before === undefined || !isDeepStrictEqual(before, after))) changes.push({ key, before, after })
  }
  if (kept < current.size) for (const [key, before] of current) if (!snapshot.has(key)) changes.push({ key, before, after: undefined })
  return changes
}
