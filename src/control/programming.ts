import type { ResourceSet } from '../api/resources.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
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
}

/** From objects to configuration at once, to statuses as soon as waypoints run it. */
export interface Programming {
  readonly update: (resources: ResourceSet) => void
  /** Translates the same objects again, because something else that translation depends on has changed. */
  readonly again: () => void
  /** To be called when an acknowledgement came or a subscriber went. */
  readonly acknowledged: () => void
  readonly translation: () => Translation
  readonly close: () => void
}

/**
 * How long waypoints have to acknowledge before statuses say that they did not. Without it every edit would write every status twice:
 * not programmed, then programmed.
 */
const graceMs = 1_000
/** Acknowledgements of many pods come within a moment. */
const gatherMs = 10

export function createProgramming(options: ProgrammingOptions): Programming {
  const { clock } = options
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

  const translateNow = (from: ResourceSet): void => {
    translation = options.translate(from, ready)
  }

  /** What runs the present configuration, where one that did and is behind for a moment only counts as before. */
  const judge = (from: ResourceSet): { readonly ready: ReadonlySet<NamespacedName>; readonly waitMs: number } => {
    if (waypoints?.of !== translation.snapshot) {
      waypoints = { of: translation.snapshot, entries: [...translation.snapshot.values()].filter((entry) => entry.kind === 'waypoint') }
    }
    const found = programmed(waypoints.entries, from, options.holdings(), options.expected)
    const result = new Set(found.ready)
    let waitMs = 0
    for (const key of behindSince.keys()) if (!found.behind.has(key)) behindSince.delete(key)
    for (const key of found.behind) {
      const since = behindSince.get(key) ?? clock.now()
      behindSince.set(key, since)
      const leftMs = since + graceMs - clock.now()
      if (leftMs <= 0) continue
      waitMs = Math.max(waitMs, leftMs)
      if (ready.has(key)) result.add(key)
    }
    return { ready: result, waitMs }
  }

  const settle = (): void => {
    if (resources === undefined) return
    cancelGrace()
    const judged = judge(resources)
    if (judged.waitMs > 0) cancelGrace = clock.after(judged.waitMs, settle)
    if (judged.waitMs > 0 && clock.now() - (untoldSince ?? clock.now()) < graceMs) return
    if (!sameSet(ready, judged.ready)) {
      ready = judged.ready
      translateNow(resources)
    }
    untoldSince = undefined
    if (told === translation) return
    told = translation
    options.onStatuses(translation, resources)
  }

  const update = (next: ResourceSet): void => {
    resources = next
    untoldSince ??= clock.now()
    translateNow(next)
    options.publish(translation.snapshot)
    options.onTranslation(translation, next)
    settle()
  }

  return {
    update,
    again: () => {
      if (resources !== undefined) update(resources)
    },
    acknowledged: () => {
      cancelGather ??= clock.after(gatherMs, () => {
        cancelGather = undefined
        settle()
      })
    },
    translation: () => translation,
    close: () => {
      cancelGrace()
      cancelGather?.()
    },
  }
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each))
}
