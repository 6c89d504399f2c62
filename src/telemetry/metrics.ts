import { collectDefaultMetrics, Registry, type Metric } from 'prom-client'
import { buckets, Counters, events, sumCounts, type Counts, type Labels, type Series, type WaypointMetrics } from './counters.ts'
import type { CountedEvent, WaypointState } from './telemetry.ts'

/** A metric that is read, not fed. */
export interface ScrapedMetric {
  /** As the Prometheus naming rules have it. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** `metricName` stands for `name` in a histogram's parts. */
  readonly values: () => readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number; readonly metricName?: string }[]
}

/** Says which version of the program a process runs. */
export function buildInfo(version: string): ScrapedMetric {
  return { name: 'waymark_build_info', help: 'Always 1; the label tells the version that runs.', type: 'gauge', values: () => [{ labels: { version }, value: 1 }] }
}

/** All metrics of a process. */
export interface Metrics {
  /** Metrics of the waypoint `namespace/name`; the same object for the same waypoint. */
  readonly forWaypoint: (waypoint: string) => WaypointMetrics
  /** Adds a metric whose values are asked for at scrape time. */
  readonly register: (metric: ScrapedMetric) => void
  /** What this thread counted for each waypoint; the arrays are the live ones. */
  readonly counts: () => readonly Counts[]
  readonly contentType: string
  /** The Prometheus text format. */
  readonly render: () => Promise<string>
}

interface Value {
  readonly value: number
  readonly labels: Labels
  readonly metricName?: string
}

export interface MetricsOptions {
  /** Also the metrics of the process itself: CPU, memory, event loop. */
  readonly process?: boolean
  /** Asked at each scrape for what other threads counted; it is added to what this one did. */
  readonly others?: () => Promise<readonly Counts[]>
}

/** Events that have a metric of their own begin so. */
const upstream = 'upstream-'

function isUpstream(event: CountedEvent): boolean {
  return event.startsWith(upstream)
}

/** @param nowMs present time, milliseconds since the epoch */
export function createMetrics(nowMs: () => number, options: MetricsOptions = {}): Metrics {
  const registry = new Registry()
  const waypoints = new Map<string, Counters>()
  const own = (): readonly Counts[] => [...waypoints.values()].map(({ counts }) => counts())
  /** What the present scrape shows. */
  let shown: readonly Counts[] = []
  const each = (values: (counts: Counts) => readonly Value[]) => (): Value[] => shown.flatMap(values)
  const fromSeries = (slot: number) => each(({ series }) => [...series.values()].map(({ labels, slots }) => ({ labels, value: slots[slot] ?? 0 })))
  const fromState = (value: (state: WaypointState) => number | undefined) =>
    each(({ waypoint, state }) => {
      const found = state === undefined ? undefined : value(state)
      return found === undefined ? [] : [{ labels: { waypoint }, value: found }]
    })

  const metrics: readonly [name: string, help: string, type: 'counter' | 'gauge' | 'histogram', values: () => Value[]][] = [
    ['waymark_requests_total', 'Requests and opaque connections that ended, by destination, route, status and reason (code 0: no answer).', 'counter', fromSeries(0)],
    ['waymark_request_bytes_total', 'Bytes of request bodies and opaque connections, from clients.', 'counter', fromSeries(1)],
    ['waymark_response_bytes_total', 'Bytes of response bodies and opaque connections, to clients.', 'counter', fromSeries(2)],
    ['waymark_policy_verdicts_total', 'Requests and connections that policies judged, by the policy that decided (none: no Allow matched) and by the Audit policies that matched.', 'counter',
      each(({ verdicts }) => [...verdicts.values()].map(({ labels, slots }) => ({ labels, value: slots[0] ?? 0 })))],
    ['waymark_request_duration_seconds', 'From the head of the request to the end of the answer.', 'histogram', each(({ timings }) => [...timings.values()].flatMap(histogram))],
    ['waymark_events_total', 'Retries, mirrored copies, connections and what was dropped.', 'counter',
      each(({ waypoint, events: counts }) => events.flatMap((event, at) => (isUpstream(event) ? [] : [{ labels: { waypoint, event }, value: counts[at] ?? 0 }])))],
    ['waymark_upstream_connections_total', 'Connections that were opened to endpoints: in plain, or encrypted by HBONE.', 'counter',
      each(({ waypoint, events: counts }) => events.flatMap((event, at) => (isUpstream(event) ? [{ labels: { waypoint, transport: event.slice(upstream.length) }, value: counts[at] ?? 0 }] : [])))],
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
    counts: own,
    contentType: registry.contentType,
    render: async () => {
      const others = (await options.others?.()) ?? []
      const byWaypoint = Map.groupBy([...own(), ...others], ({ waypoint }) => waypoint)
      shown = [...byWaypoint].map(([waypoint, all]) => sumCounts(waypoint, all))
      return registry.metrics()
    },
  }
}

/** Cumulative buckets, as the text format wants them. */
function histogram({ labels, slots }: Series): Value[] {
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
