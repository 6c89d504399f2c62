import { collectDefaultMetrics, Registry, type Metric } from 'prom-client'
import { routeLabel } from './route-label.ts'
import type { CountedEvent, ExchangeRecord, Telemetry, WaypointState } from './telemetry.ts'

/** Upper bounds, seconds. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

/** Most label sets of one waypoint; what comes beyond them counts under `other`, so that no caller can fill the memory. */
const maxSeries = 2_000

const events: readonly CountedEvent[] = ['retry', 'mirror', 'mirror-dropped', 'mirror-failed', 'connection', 'connection-refused', 'access-log-dropped']

/** The part of `Telemetry` that counts. */
export type WaypointMetrics = Pick<Telemetry, 'exchangeDone' | 'count' | 'observe'>

/** A metric that is read, not fed. */
export interface ScrapedMetric {
  /** As the Prometheus naming rules have it. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly values: () => readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
}

/** All metrics of a process. */
export interface Metrics {
  /** Metrics of the waypoint `namespace/name`; the same object for the same waypoint. */
  readonly forWaypoint: (waypoint: string) => WaypointMetrics
  /** Adds a metric whose values are asked for at scrape time. */
  readonly register: (metric: ScrapedMetric) => void
  readonly contentType: string
  /** The Prometheus text format. */
  readonly render: () => Promise<string>
}

type Labels = Readonly<Record<string, string>>

/** The counters of one label set: slots of typed arrays, so that the request path neither allocates nor hashes label objects. */
interface Series {
  readonly labels: Labels
  /** Requests by status class (0 = none), bytes in, bytes out. */
  readonly counts: Float64Array
}

interface Timings {
  readonly labels: Labels
  /** One slot a bucket, then +Inf, then the sum in seconds. */
  readonly slots: Float64Array
}

class Counters implements WaypointMetrics {
  readonly waypoint: string
  readonly series = new Map<string, Series>()
  readonly timings = new Map<string, Timings>()
  readonly events = new Float64Array(events.length)
  state: (() => WaypointState) | undefined

  constructor(waypoint: string) {
    this.waypoint = waypoint
  }

  readonly exchangeDone = (record: ExchangeRecord, durationMs: number): void => {
    const key = `${record.namespace}/${record.service}|${record.level}|${routeLabel(record.rule)}|${record.status}|${record.reason ?? ''}|${record.protocol}`
    const { counts } = this.series.get(key) ?? this.addSeries(key, record)
    counts[0] = (counts[0] ?? 0) + 1
    counts[1] = (counts[1] ?? 0) + record.bytesIn
    counts[2] = (counts[2] ?? 0) + record.bytesOut
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
      counts: new Float64Array(3),
    }
    this.series.set(full ? 'other' : key, made)
    return made
  }

  private addTimings(record: ExchangeRecord): Timings {
    const full = this.timings.size >= maxSeries
    const kept = full ? this.timings.get('other') : undefined
    if (kept !== undefined) return kept
    const [namespace, service] = full ? ['other', 'other'] : [record.namespace, record.service]
    const made = { labels: { waypoint: this.waypoint, namespace, service }, slots: new Float64Array(buckets.length + 2) }
    this.timings.set(full ? 'other' : `${namespace}/${service}`, made)
    return made
  }
}

interface Value {
  readonly value: number
  readonly labels: Labels
  readonly metricName?: string
}

/**
 * @param nowMs present time, milliseconds since the epoch
 * @param options `process`: also the metrics of the process itself (CPU, memory, event loop)
 */
export function createMetrics(nowMs: () => number, options: { readonly process?: boolean } = {}): Metrics {
  const registry = new Registry()
  const waypoints = new Map<string, Counters>()
  const each = (values: (counters: Counters) => readonly Value[]) => (): Value[] => [...waypoints.values()].flatMap(values)
  const fromSeries = (slot: number) => each(({ series }) => [...series.values()].map(({ labels, counts }) => ({ labels, value: counts[slot] ?? 0 })))
  const fromState = (value: (state: WaypointState) => number | undefined) =>
    each(({ waypoint, state }) => {
      const found = state === undefined ? undefined : value(state())
      return found === undefined ? [] : [{ labels: { waypoint }, value: found }]
    })

  const metrics: readonly [name: string, help: string, type: 'counter' | 'gauge' | 'histogram', values: () => Value[]][] = [
    ['waymark_requests_total', 'Requests and opaque connections that ended, by destination, route, status and reason (code 0: no answer).', 'counter', fromSeries(0)],
    ['waymark_request_bytes_total', 'Bytes of request bodies and opaque connections, from clients.', 'counter', fromSeries(1)],
    ['waymark_response_bytes_total', 'Bytes of response bodies and opaque connections, to clients.', 'counter', fromSeries(2)],
    ['waymark_request_duration_seconds', 'From the head of the request to the end of the answer.', 'histogram', each(({ timings }) => [...timings.values()].flatMap(histogram))],
    ['waymark_events_total', 'Retries, mirrored copies, connections and what was dropped.', 'counter',
      each(({ waypoint, events: counts }) => events.map((event, at) => ({ labels: { waypoint, event }, value: counts[at] ?? 0 })))],
    ['waymark_requests_in_flight', 'Requests being served now.', 'gauge', fromState((state) => state.requestsInFlight)],
    ['waymark_connections', 'Client connections (tunnels) open now.', 'gauge', fromState((state) => state.connections)],
    ['waymark_upstream_pools', 'Endpoints to which connections are kept.', 'gauge', fromState((state) => state.pools)],
    ['waymark_config_version', 'Configurations taken over since the start.', 'gauge', fromState((state) => state.configVersion)],
    ['waymark_config_age_seconds', 'Time since the present configuration was taken over.', 'gauge',
      fromState((state) => (state.configuredAtMs === 0 ? undefined : (nowMs() - state.configuredAtMs) / 1000))],
    ['waymark_certificate_expiry_seconds', 'Time until the present certificate ends.', 'gauge',
      fromState((state) => (state.certificateNotAfterMs === 0 ? undefined : (state.certificateNotAfterMs - nowMs()) / 1000))],
  ]
  const register = (name: string, help: string, type: string, values: () => readonly object[]): void => {
    // prom-client asks a metric for nothing else when it renders; its own classes would keep a second copy of every count.
    const metric = { name, get: () => Promise.resolve({ name, help, type, values: values(), aggregator: 'sum' }), reset: () => {} }
    registry.registerMetric(metric as unknown as Metric)
  }
  for (const metric of metrics) register(...metric)
  if (options.process === true) collectDefaultMetrics({ register: registry })

  return {
    forWaypoint: (waypoint) => {
      const found = waypoints.get(waypoint) ?? new Counters(waypoint)
      waypoints.set(waypoint, found)
      return found
    },
    register: ({ name, help, type, values }) => register(name, help, type, values),
    contentType: registry.contentType,
    render: () => registry.metrics(),
  }
}

/** Cumulative buckets, as the text format wants them. */
function histogram({ labels, slots }: Timings): Value[] {
  const name = 'waymark_request_duration_seconds'
  let sum = 0
  const values: Value[] = []
  for (let at = 0; at <= buckets.length; at++) {
    sum += slots[at] ?? 0
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: at === buckets.length ? '+Inf' : String(buckets[at]) }, value: sum })
  }
  values.push({ metricName: `${name}_sum`, labels, value: slots[buckets.length + 1] ?? 0 }, { metricName: `${name}_count`, labels, value: sum })
  return values
}
