import type { ResourceSet } from '../api/resources.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import { printable } from '../kit/printable.ts'
import { editedKeys } from '../model/edited.ts'
import type { WaypointEntry } from '../model/entries.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Translation } from '../translate/options.ts'
import { programmed, type Holding } from './programmed.ts'

export interface ProgrammingOptions {
  readonly clock: Clock
  /** @param ready waypoints that run the present configuration */
  readonly translate: (resources: ResourceSet, ready: ReadonlySet<NamespacedName>) => Translation
  readonly publish: (snapshot: Snapshot) => void
  /** What every connected waypoint pod runs, wherever it is connected. */
  readonly holdings: () => Iterable<Holding>
  /** Content hash of what the waypoint of a namespace should run. */
  readonly expected: (namespace: string) => string | undefined
  /** Told of each translation at once: what must run. */
  readonly onTranslation: (translation: Translation, resources: ResourceSet) => void
  /** Told of statuses when they are true: after the waypoints had the time to acknowledge. */
  readonly onStatuses: (translation: Translation, resources: ResourceSet) => void
  /** One line for a person: about a defect in one of the above, which costs only itself. */
  readonly log: (line: string) => void
}

/** From objects to configuration at once, to statuses as soon as waypoints run it. */
export interface Programming {
  readonly update: (resources: ResourceSet) => void
  /** Translates the same objects again in a moment, because something else that translation depends on has changed. */
  readonly again: () => void
  /** To be called when an acknowledgement came or a subscriber went. */
  readonly acknowledged: () => void
  /** The last good one. */
  readonly translation: () => Translation
  /** Defects that show now, a line each. */
  readonly defects: () => readonly string[]
  readonly close: () => void
}

/**
 * How long waypoints have to acknowledge before statuses say that they did not. Without it every edit would write every status twice:
 * not programmed, then programmed.
 */
const graceMs = 1_000
/** Acknowledgements of many pods, and problems of many waypoints, come within a moment. */
const gatherMs = 10

export function createProgramming(options: ProgrammingOptions): Programming {
  const { clock } = options
  let newest: ResourceSet | undefined
  /** What was translated last. */
  let resources: ResourceSet | undefined
  let translation: Translation = { snapshot: new Map(), statuses: [], warnings: [], infra: [] }
  let ready: ReadonlySet<NamespacedName> = new Set()
  /** When each waypoint that is behind was first seen so. */
  const behindSince = new Map<NamespacedName, number>()
  /** When the oldest translation came whose statuses are not told; undefined: all are. */
  let untoldSince: number | undefined
  let told: Translation | undefined
  let waypoints: { readonly of: Snapshot; readonly entries: readonly WaypointEntry[] } | undefined
  let cancelGrace: Cancel = () => {}
  let cancelGather: Cancel | undefined
  let cancelAgain: Cancel | undefined
  const defects = new Map<string, string>()

  /** A defect must not end the process, which a throw out of a timer would, nor keep the other parts from their work. */
  const guarded = (what: string, work: () => void): boolean => {
    try {
      work()
    } catch (error) {
      const line = `a defect in ${what}: ${printable(messageOf(error))}; what was before stays in force`
      if (defects.get(what) !== line) options.log(line)
      defects.set(what, line)
      return false
    }
    if (defects.delete(what)) options.log(`${what}: it works again`)
    return true
  }

  const translateNow = (from: ResourceSet, running: ReadonlySet<NamespacedName>): boolean =>
    guarded('translation', () => {
      translation = options.translate(from, running)
      ready = running
      resources = from
    })

  /** What runs the present configuration, where one that did and is behind for a moment only counts as before. */
  const judge = (from: ResourceSet): { readonly ready: ReadonlySet<NamespacedName>; readonly waitMs: number } => {
    const { snapshot } = translation
    if (waypoints === undefined || editedKeys(waypoints.of, snapshot)?.some((key) => key.startsWith('waypoint/')) !== false) {
      waypoints = { of: snapshot, entries: [...snapshot.values()].filter((entry) => entry.kind === 'waypoint') }
    } else waypoints = { of: snapshot, entries: waypoints.entries }
    const found = programmed(waypoints.entries, from, options.holdings(), options.expected)
    const result = new Set(found.ready)
    let waitMs = 0
    for (const key of behindSince.keys()) if (!found.behind.has(key)) behindSince.delete(key)
    for (const key of found.behind) {
      // A clock that was set back must not make it wait until it has caught up.
      const since = Math.min(behindSince.get(key) ?? clock.now(), clock.now())
      behindSince.set(key, since)
      const leftMs = since + graceMs - clock.now()
      if (leftMs <= 0) continue
      waitMs = Math.max(waitMs, leftMs)
      if (ready.has(key)) result.add(key)
    }
    return { ready: result, waitMs }
  }

  const settle = (): void => void guarded('statuses', tell)
  const tell = (): void => {
    if (resources === undefined) return
    cancelGrace()
    const judged = judge(resources)
    if (judged.waitMs > 0) cancelGrace = clock.after(judged.waitMs, settle)
    if (untoldSince !== undefined) untoldSince = Math.min(untoldSince, clock.now())
    if (judged.waitMs > 0 && clock.now() - (untoldSince ?? clock.now()) < graceMs) return
    if (!sameSet(ready, judged.ready) && !translateNow(resources, judged.ready)) return
    untoldSince = undefined
    if (told === translation) return
    told = translation
    options.onStatuses(translation, resources)
  }

  const update = (next: ResourceSet): void => {
    newest = next
    if (!translateNow(next, ready)) return
    untoldSince ??= clock.now()
    guarded('publishing', () => options.publish(translation.snapshot))
    guarded('what follows from a translation', () => options.onTranslation(translation, next))
    settle()
  }

  return {
    update,
    again: () => {
      cancelAgain ??= clock.after(gatherMs, () => {
        cancelAgain = undefined
        if (newest !== undefined) update(newest)
      })
    },
    acknowledged: () => {
      cancelGather ??= clock.after(gatherMs, () => {
        cancelGather = undefined
        settle()
      })
    },
    translation: () => translation,
    defects: () => [...defects.values()],
    close: () => {
      cancelGrace()
      cancelAgain?.()
      cancelGather?.()
    },
  }
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each))
}
