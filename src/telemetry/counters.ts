import { routeLabel } from './route-label.ts'
import type { CountedEvent, ExchangeRecord, Telemetry, WaypointState } from './telemetry.ts'

/** Upper bounds, seconds. */
export const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

/** Most label sets that one thread counts for one waypoint; what comes beyond them counts under `other`, so that no caller can fill the memory. */
const maxSeries = 2_000

export const events: readonly CountedEvent[] = ['retry', 'mirror', 'mirror-dropped', 'mirror-failed', 'connection', 'connection-refused', 'access-log-dropped', 'upstream-plain', 'upstream-hbone']

/** The part of `Telemetry` that counts. */
export type WaypointMetrics = Pick<Telemetry, 'exchangeDone' | 'count' | 'observe'>

export type Labels = Readonly<Record<string, string>>

/** The slots of one label set. */
export interface Series {
  readonly labels: Labels
  readonly slots: Float64Array
}

/** Everything that was counted for one waypoint; plain data, which may travel between threads. */
export interface Counts {
  /** `namespace/name`. */
  readonly waypoint: string
  /** Slots: requests, bytes in, bytes out. */
  readonly series: ReadonlyMap<string, Series>
  /** What policies made of requests and connections; one slot. */
  readonly verdicts: ReadonlyMap<string, Series>
  /** Slots: one a bucket, then +Inf, then the sum in seconds. */
  readonly timings: ReadonlyMap<string, Series>
  /** In the order of `events`. */
  readonly events: Float64Array
  /** Undefined: nobody said. */
  readonly state: WaypointState | undefined
}

/** Counts in slots of typed arrays, so that the request path neither allocates nor hashes label objects. */
export class Counters implements WaypointMetrics {
  readonly waypoint: string
  private readonly series = new Map<string, Series>()
  private readonly timings = new Map<string, Series>()
  private readonly verdicts = new Map<string, Series>()
  private readonly events = new Float64Array(events.length)
  private state: (() => WaypointState) | undefined

  constructor(waypoint: string) {
    this.waypoint = waypoint
  }

  readonly exchangeDone = (record: ExchangeRecord, durationMs: number): void => {
    const key = `${record.namespace}/${record.service}|${record.level}|${routeLabel(record.rule)}|${record.status}|${record.reason ?? ''}|${record.protocol}`
    const { slots: counts } = this.series.get(key) ?? this.addSeries(key, record)
    counts[0] = (counts[0] ?? 0) + 1
    counts[1] = (counts[1] ?? 0) + record.bytesIn
    counts[2] = (counts[2] ?? 0) + record.bytesOut
    if (record.verdict !== undefined) {
      this.addVerdict(record.verdict, record.policy ?? '', record.namespace)
      for (const policy of record.audit ?? []) this.addVerdict('audited', policy, record.namespace)
    }
    const { slots } = this.timings.get(record.namespace + '/' + record.service) ?? this.addTimings(record)
    const seconds = durationMs / 1000
    let at = 0
    while (at < buckets.length && seconds > (buckets[at] ?? Infinity)) at++
    slots[at] = (slots[at] ?? 0) + 1
    slots[buckets.length + 1] = (slots[buckets.length + 1] ?? 0) + seconds
  }

  readonly count = (event: CountedEvent): void => {
    const at = events.indexOf(event)
    this.events[at] = (this.events[at] ?? 0) + 1
  }

  readonly observe = (state: () => WaypointState): void => {
    this.state = state
  }

  /** What there is now; the arrays are the live ones. */
  readonly counts = (): Counts => ({ waypoint: this.waypoint, series: this.series, verdicts: this.verdicts, timings: this.timings, events: this.events, state: this.state?.() })

  private addVerdict(verdict: string, policy: string, namespace: string): void {
    const full = this.verdicts.size >= maxSeries && !this.verdicts.has(`${verdict}|${policy}|${namespace}`)
    const [key, of, by] = full ? [`${verdict}|other`, 'other', 'other'] : [`${verdict}|${policy}|${namespace}`, namespace, policy]
    let found = this.verdicts.get(key)
    if (found === undefined) this.verdicts.set(key, (found = { labels: { waypoint: this.waypoint, namespace: of, verdict, policy: by }, slots: new Float64Array(1) }))
    found.slots[0] = (found.slots[0] ?? 0) + 1
  }

  private addSeries(key: string, record: ExchangeRecord): Series {
    const full = this.series.size >= maxSeries
    const kept = full ? this.series.get('other') : undefined
    if (kept !== undefined) return kept
    const service = full ? { service: 'other', namespace: 'other', level: 'none' } : record
    const made: Series = {
      labels: {
        waypoint: this.waypoint, namespace: service.namespace, service: service.service, level: service.level, route: full ? '' : routeLabel(record.rule),
        code: full ? 'other' : String(record.status), reason: full ? '' : (record.reason ?? ''), protocol: record.protocol,
      },
      slots: new Float64Array(3),
    }
    this.series.set(full ? 'other' : key, made)
    return made
  }

  private addTimings(record: ExchangeRecord): Series {
    const full = this.timings.size >= maxSeries
    const kept = full ? this.timings.get('other') : undefined
    if (kept !== undefined) return kept
    const [namespace, service] = full ? ['other', 'other'] : [record.namespace, record.service]
    const made = { labels: { waypoint: this.waypoint, namespace, service }, slots: new Float64Array(buckets.length + 2) }
    this.timings.set(full ? 'other' : `${namespace}/${service}`, made)
    return made
  }
}

/**
 * What several threads of one waypoint counted, as if one had. Counters and histograms are sums; of the gauges, requests, connections and
 * pools are, and the rest tells of the thread that is furthest behind.
 */
export function sumCounts(waypoint: string, all: readonly Counts[]): Counts {
  return {
    waypoint,
    series: sumSeries(all.map(({ series }) => series)),
    verdicts: sumSeries(all.map(({ verdicts }) => verdicts)),
    timings: sumSeries(all.map(({ timings }) => timings)),
    events: all.reduce<Float64Array>((sum, { events: more }) => add(sum, more), new Float64Array(events.length)),
    state: all.map(({ state }) => state).filter((state) => state !== undefined).reduce<WaypointState | undefined>(sumStates, undefined),
  }
}

/** The sums of what was counted by threads that are gone: they hold nothing any more. @param all at least one */
export function withoutState(all: readonly Counts[]): Counts {
  return { ...sumCounts(all[0]?.waypoint ?? '', all), state: undefined }
}

/** What several threads counted, by the same keys. */
export function sumSeries(all: readonly ReadonlyMap<string, Series>[]): ReadonlyMap<string, Series> {
  const sums = new Map<string, Series>()
  for (const [key, { labels, slots }] of all.flatMap((each) => [...each])) {
    const sum = sums.get(key)
    if (sum === undefined) sums.set(key, { labels, slots: slots.slice() })
    else add(sum.slots, slots)
  }
  return sums
}

/** Changes `sum`. */
function add(sum: Float64Array, more: Float64Array): Float64Array {
  for (const [at, value] of more.entries()) sum[at] = (sum[at] ?? 0) + value
  return sum
}

function sumStates(a: WaypointState | undefined, b: WaypointState): WaypointState {
  if (a === undefined) return b
  return {
    // A thread that took another's place has seen fewer.
    configVersion: Math.max(a.configVersion, b.configVersion),
    configuredAtMs: earliest(a.configuredAtMs, b.configuredAtMs),
    certificateNotAfterMs: earliest(a.certificateNotAfterMs, b.certificateNotAfterMs),
    requestsInFlight: a.requestsInFlight + b.requestsInFlight,
    connections: a.connections + b.connections,
    pools: a.pools + b.pools,
  }
}

/** @param a 0: there is none; so `b` */
function earliest(a: number, b: number): number {
  return a === 0 || b === 0 ? Math.max(a, b) : Math.min(a, b)
}
