import { isDeepStrictEqual } from 'node:util'
import type { ResourceSet } from '../api/resources.ts'
import { backoffMs } from '../kit/backoff.ts'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { KubeClient } from '../kube/client.ts'
import { isStatus, KubeError } from '../kube/errors.ts'
import type { WaypointInfra } from '../model/infra.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { WatchObserver } from '../sources/kube/observer.ts'
import type { Installation } from './installation.ts'
import { createReconciler, type Outcome } from './reconcile.ts'
import { watchMade } from './watches.ts'

export interface InfraWriterOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Numbers from 0 up to, not including, 1. */
  readonly random?: () => number
  readonly installation: Installation
  /** One line for a person. */
  readonly log: (line: string) => void
  readonly observer?: WatchObserver
}

/** Keeps in the cluster what must run for waypoints: makes it, repairs it, deletes it. Writes only while it is active. */
export interface InfraWriter {
  /** Takes what must run now in place of what was said before; costs next to nothing if nothing changed. */
  readonly update: (infra: readonly WaypointInfra[], resources: ResourceSet) => void
  /** Whether this process may write. No write is begun after `false`; the first thing after `true` is to look at everything. */
  readonly setActive: (active: boolean) => void
  /** What keeps waypoints from being made or changed, by `namespace/name` of their Gateway, with what to do. Empty while not active. */
  readonly problems: () => ReadonlyMap<NamespacedName, string>
  /** Calls `listener` after each change of `problems`; the answer stops that. */
  readonly onProblemsChange: (listener: () => void) => () => void
  /** Resolves as soon as nothing is left to do but to wait: for the cluster, or until a failed write is tried again. */
  readonly idle: () => Promise<void>
  readonly close: () => void
}

/** Gateways that are worked on at once: a slow answer for one must not hold up the others, nor all of them the API server. */
const most = 8
const backoff = { baseMs: 1_000, maxMs: 300_000 }

/** Starts watching what was made for waypoints; writes nothing before `setActive(true)` and the first `update`. */
export function createInfraWriter({ client, clock, random = Math.random, installation, log, observer }: InfraWriterOptions): InfraWriter {
  let active = false
  let closed = false
  let resources: ResourceSet | undefined
  let wanted: ReadonlyMap<NamespacedName, WaypointInfra> = new Map()
  const dirty = new Set<NamespacedName>()
  const running = new Set<NamespacedName>()
  const failures = new Map<NamespacedName, number>()
  const retries = new Map<NamespacedName, Cancel>()
  const listeners = new Set<() => void>()
  let problems: ReadonlyMap<NamespacedName, string> = new Map()
  let waiting: (() => void)[] = []

  const made = watchMade({ client, clock, random, observer, onChange: (gateway) => (gateway === undefined ? markAll() : mark([gateway])) })
  const reconcile = createReconciler({ client, made, installation, log, mayWrite: () => active && !closed })

  const setProblem = (gateway: NamespacedName, problem: string | undefined): void => {
    if (problems.get(gateway) === problem) return
    const next = new Map(problems)
    if (problem === undefined) next.delete(gateway)
    else {
      next.set(gateway, problem)
      log(`waypoint ${gateway}: ${problem}`)
    }
    problems = next
    for (const listener of listeners) listener()
  }

  const mark = (gateways: Iterable<NamespacedName>): void => {
    for (const gateway of gateways) dirty.add(gateway)
    pump()
  }
  const markAll = (): void => mark(new Set([...wanted.keys(), ...made.gateways()]))

  const pump = (): void => {
    if (active && !closed && resources !== undefined) {
      if (made.synced()) {
        for (const gateway of dirty) {
          if (running.size >= most) break
          if (running.has(gateway)) continue
          dirty.delete(gateway)
          void work(gateway)
        }
      } else if (made.problem() !== undefined) {
        for (const gateway of wanted.keys()) setProblem(gateway, `it can not be seen what runs: ${made.problem() ?? ''}`)
      }
    } else dirty.clear()
    if (running.size > 0 || (dirty.size > 0 && made.problem() === undefined)) return
    const now = waiting
    waiting = []
    for (const resolve of now) resolve()
  }

  const work = async (gateway: NamespacedName): Promise<void> => {
    running.add(gateway)
    retries.get(gateway)?.()
    retries.delete(gateway)
    let outcome: Outcome
    try {
      outcome = await reconcile(gateway, wanted.get(gateway), isEnding(resources, gateway))
    } catch (error) {
      outcome = { problem: `a defect: ${messageOf(error)}`, again: 'failed' }
    }
    running.delete(gateway)
    if (active && !closed) settle(gateway, outcome)
    pump()
  }

  const settle = (gateway: NamespacedName, { problem, again, error }: Outcome): void => {
    setProblem(gateway, problem)
    if (again !== 'failed') failures.delete(gateway)
    if (again === undefined) return
    const count = (failures.get(gateway) ?? 0) + (again === 'failed' ? 1 : 0)
    if (again === 'failed') failures.set(gateway, count)
    if (isStatus(error, 401)) refresh()
    const leastMs = error instanceof KubeError ? (error.retryAfterMs ?? (isStatus(error, 400, 403, 422) ? 5_000 : 100)) : 100
    const delayMs = again === 'failed' ? leastMs + backoffMs(count, { ...backoff, random }) : 30_000
    retries.set(gateway, clock.after(delayMs, () => mark([gateway])))
  }

  const refresh = (): void => {
    try {
      client.refresh()
    } catch (error) {
      log(`the credentials can not be read anew: ${messageOf(error)}`)
    }
  }

  const forget = (): void => {
    for (const cancel of retries.values()) cancel()
    retries.clear()
    failures.clear()
    dirty.clear()
    if (problems.size === 0) return
    problems = new Map()
    for (const listener of listeners) listener()
  }

  return {
    update: (infra, next) => {
      const before = wanted
      const first = resources === undefined
      resources = next
      wanted = new Map(infra.map((each) => [namespacedName(each.namespace, each.name), each]))
      if (first) {
        markAll()
        return
      }
      const changed = [...wanted].filter(([gateway, each]) => before.get(gateway) !== each && !isDeepStrictEqual(before.get(gateway), each))
      const gone = [...before.keys()].filter((gateway) => !wanted.has(gateway))
      // A change of what is wanted is no repetition of what failed.
      for (const [gateway] of changed) failures.delete(gateway)
      if (changed.length > 0 || gone.length > 0) mark([...changed.map(([gateway]) => gateway), ...gone])
    },
    setActive: (next) => {
      if (active === next) return
      active = next
      if (active) markAll()
      else {
        forget()
        pump()
      }
    },
    problems: () => problems,
    onProblemsChange: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    idle: () =>
      new Promise((resolve) => {
        waiting.push(resolve)
        pump()
      }),
    close: () => {
      closed = true
      made.close()
      listeners.clear()
      forget()
      pump()
    },
  }
}

function isEnding(resources: ResourceSet | undefined, gateway: NamespacedName): boolean {
  const namespace = gateway.slice(0, gateway.indexOf('/'))
  return resources?.Namespace.get(namespacedName('', namespace))?.metadata.deletionTimestamp !== undefined
}
