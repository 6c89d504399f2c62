import { Bag } from '../kit/bag.ts'
import { connectionLogLine, type ConnectionRecord, type ConnectionTelemetry, type OpenCount } from './connections.ts'
import type { LineWriter } from './access-log.ts'
import { sumSeries, type Labels, type Series } from './counters.ts'
import type { Metrics, ScrapedMetric } from './metrics.ts'
import type { TapPoint } from './tap.ts'

/** Upper bounds, seconds: connections live longer than requests. */
export const connectionBuckets = [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600] as const

/** Most label sets that one thread counts; what comes beyond them counts under `other`, so that no peer can fill the memory. */
const maxSeries = 2_000

/** Everything that one thread counted of connections; plain data, which may travel between threads. */
export interface ConnectionCounts {
  /** Slots: connections, bytes in, bytes out. */
  readonly series: ReadonlyMap<string, Series>
  /** Slots: one a bucket, then +Inf, then the sum in seconds. */
  readonly timings: ReadonlyMap<string, Series>
  /** One slot for each Audit policy: connections that it matched. */
  readonly audits: ReadonlyMap<string, Series>
}

/** What decides under which labels a connection counts. */
type Counted = Pick<ConnectionRecord, 'direction' | 'transport' | 'outcome' | 'reason' | 'service' | 'source' | 'destination'>

function countsAs(a: Counted, b: Counted): boolean {
  return a.direction === b.direction && a.transport === b.transport && a.outcome === b.outcome && a.reason === b.reason && a.service === b.service &&
    a.source.workload === b.source.workload && a.source.namespace === b.source.namespace &&
    a.destination.workload === b.destination.workload && a.destination.namespace === b.destination.namespace
}

/** Counts connections in slots of typed arrays: their bytes while they live, the rest when they end. */
export class ConnectionCounters implements ConnectionTelemetry {
  private readonly open = new Bag<OpenCount>()
  private readonly series = new Map<string, Series>()
  private readonly timings = new Map<string, Series>()
  private readonly audits = new Map<string, Series>()
  /** What was counted last: the next connection often counts the same way. */
  private last: { readonly record: Counted; readonly slots: Float64Array } | undefined

  readonly connectionOpened = (record: ConnectionRecord, refresh: () => void): void => {
    const count: OpenCount = { record, refresh, close: () => {}, bytesIn: 0, bytesOut: 0 }
    count.close = this.open.add(count)
    record.counted = count
  }

  readonly connectionDone = (record: ConnectionRecord, durationMs: number): void => {
    const { destination } = record
    const counts = this.countBytes(record, record.counted)
    record.counted?.close()
    record.counted = undefined
    counts[0] = (counts[0] ?? 0) + 1
    for (const policy of record.audit) {
      const { slots } = this.audits.get(policy) ?? addSeries(this.audits, policy, 1, () => ({ direction: record.direction, policy }), record)
      slots[0] = (slots[0] ?? 0) + 1
    }
    // How long a connection lived that never came to be tells nothing.
    if (record.ended === '') return
    const timing = `${record.direction}|${destination.namespace}/${destination.workload}|${record.service}`
    const { slots } = this.timings.get(timing) ?? addSeries(this.timings, timing, connectionBuckets.length + 2, timingLabels, record)
    const seconds = durationMs / 1000
    let at = 0
    while (at < connectionBuckets.length && seconds > (connectionBuckets[at] ?? Infinity)) at++
    slots[at] = (slots[at] ?? 0) + 1
    slots[connectionBuckets.length + 1] = (slots[connectionBuckets.length + 1] ?? 0) + seconds
  }

  /** What there is now, open connections included; the arrays are the live ones. */
  readonly counts = (): ConnectionCounts => {
    for (const open of this.open) {
      open.refresh()
      this.countBytes(open.record, open)
    }
    return { series: this.series, timings: this.timings, audits: this.audits }
  }

  /** Adds the bytes that are not counted yet. One that is cut later is another series from then on. */
  private countBytes(record: ConnectionRecord, open: OpenCount | undefined): Float64Array {
    const { bytesIn, bytesOut } = record
    const slots = this.last !== undefined && countsAs(this.last.record, record) ? this.last.slots : this.slotsOf(record)
    slots[1] = (slots[1] ?? 0) + bytesIn - (open?.bytesIn ?? 0)
    slots[2] = (slots[2] ?? 0) + bytesOut - (open?.bytesOut ?? 0)
    if (open !== undefined) {
      open.bytesIn = bytesIn
      open.bytesOut = bytesOut
    }
    return slots
  }

  private slotsOf(record: ConnectionRecord): Float64Array {
    const { source, destination } = record
    const ends = `${source.namespace}/${source.workload}|${destination.namespace}/${destination.workload}|${record.service}`
    const key = `${record.direction}|${record.transport}|${record.outcome}|${record.reason ?? ''}|${ends}`
    const { slots } = this.series.get(key) ?? addSeries(this.series, key, 3, connectionLabels, record)
    const { direction, transport, outcome, reason, service } = record
    this.last = { record: { direction, transport, outcome, reason, service, source, destination }, slots }
    return slots
  }
}

/** What an agent has of telemetry beside its counters; what is missing is off. */
export interface ConnectionTelemetryParts {
  readonly log?: LineWriter | undefined
  /** Which connections get a line: all, or those that were not let through; default all. */
  readonly logOf?: 'all' | 'errors'
  readonly tap?: TapPoint | undefined
}

/** Counts connections, writes lines of them, and shows them to whoever looks on. */
export function connectionTelemetry(node: string, counters: ConnectionCounters, { log, logOf = 'all', tap }: ConnectionTelemetryParts): ConnectionTelemetry {
  return {
    connectionOpened: (record, refresh) => {
      counters.connectionOpened(record, refresh)
      if (tap?.listening === true) tap.connection(node, 'opened', record, 0)
    },
    connectionDone: (record, durationMs) => {
      counters.connectionDone(record, durationMs)
      if (log !== undefined && (logOf === 'all' || record.outcome !== 'allowed')) log(connectionLogLine(node, record, durationMs))
      if (tap?.listening === true) tap.connection(node, 'ended', record, durationMs)
    },
  }
}

/** Shows what threads counted among `metrics`. @param all asked at each scrape */
export function registerConnections(metrics: Metrics, all: () => readonly ConnectionCounts[]): void {
  const slot = (at: number) => (): ReturnType<ScrapedMetric['values']> =>
    sum(all().map(({ series }) => series)).map(({ labels, slots }) => ({ labels, value: slots[at] ?? 0 }))
  const counter = (name: string, help: string, at: number): void => metrics.register({ name, help, type: 'counter', values: slot(at) })
  counter('waymark_agent_connections_total', 'Captured connections that ended, by ends, transport, outcome and reason.', 0)
  counter('waymark_agent_received_bytes_total', 'Bytes from whoever opened captured connections, those that live included.', 1)
  counter('waymark_agent_sent_bytes_total', 'Bytes to whoever opened captured connections, those that live included.', 2)
  metrics.register({
    name: 'waymark_agent_audited_connections_total', help: 'Connections that Audit policies match.', type: 'counter',
    values: () => sum(all().map(({ audits }) => audits)).map(({ labels, slots }) => ({ labels, value: slots[0] ?? 0 })),
  })
  metrics.register({
    name: durationMetric, help: 'How long captured connections lived.', type: 'histogram',
    values: () => sum(all().map(({ timings }) => timings)).flatMap(histogram),
  })
}

const durationMetric = 'waymark_agent_connection_duration_seconds'

function addSeries(kept: Map<string, Series>, key: string, size: number, labelsOf: (record: ConnectionRecord) => Labels, record: ConnectionRecord): Series {
  const full = kept.size >= maxSeries
  const known = full ? kept.get(`other|${record.direction}`) : undefined
  if (known !== undefined) return known
  const labels = labelsOf(record)
  // The direction keeps its meaning; everything that a peer can choose is given up.
  const shown = full ? Object.fromEntries(Object.keys(labels).map((name) => [name, name === 'direction' ? record.direction : 'other'])) : labels
  const made = { labels: shown, slots: new Float64Array(size) }
  kept.set(full ? `other|${record.direction}` : key, made)
  return made
}

function timingLabels({ direction, destination, service }: ConnectionRecord): Labels {
  return { direction, destination_namespace: destination.namespace, destination_workload: destination.workload, service }
}

function connectionLabels(record: ConnectionRecord): Labels {
  return {
    ...timingLabels(record), transport: record.transport, outcome: record.outcome, reason: record.reason ?? '',
    source_namespace: record.source.namespace, source_workload: record.source.workload,
  }
}

/** What several threads counted, as one. */
export function sumConnections(all: readonly ConnectionCounts[]): ConnectionCounts {
  return { series: sumSeries(all.map(({ series }) => series)), timings: sumSeries(all.map(({ timings }) => timings)), audits: sumSeries(all.map(({ audits }) => audits)) }
}

function sum(all: readonly ReadonlyMap<string, Series>[]): readonly Series[] {
  const [first] = all
  return [...(first !== undefined && all.length === 1 ? first : sumSeries(all)).values()]
}

/** Cumulative buckets, as the text format wants them. */
function histogram({ labels, slots }: Series): ReturnType<ScrapedMetric['values']> {
  let count = 0
  const values: { metricName: string; labels: Labels; value: number }[] = []
  for (let at = 0; at <= connectionBuckets.length; at++) {
    count += slots[at] ?? 0
    const le = at === connectionBuckets.length ? '+Inf' : String(connectionBuckets[at])
    values.push({ metricName: `${durationMetric}_bucket`, labels: { ...labels, le }, value: count })
  }
  values.push({ metricName: `${durationMetric}_sum`, labels, value: slots[connectionBuckets.length + 1] ?? 0 })
  values.push({ metricName: `${durationMetric}_count`, labels, value: count })
  return values
}
