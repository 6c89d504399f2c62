import { routeLabel } from './route-label.ts'
import type { ExchangeRecord } from './telemetry.ts'

/** Takes whole lines without their line ends; false: the line was dropped. */
export type LineWriter = (line: string) => boolean

/**
 * One JSON object for an exchange. Field names are stable; fields without a meaning for the exchange are left out.
 * @param waypoint `namespace/name`
 */
export function accessLogLine(waypoint: string, record: ExchangeRecord, durationMs: number): string {
  return JSON.stringify({
    time: new Date(record.startMs).toISOString(),
    waypoint,
    protocol: record.protocol,
    method: orAbsent(record.method),
    authority: orAbsent(record.authority),
    path: orAbsent(record.path),
    status: record.status,
    grpc_status: record.grpcStatus,
    reason: record.reason,
    detail: orAbsent(record.detail),
    verdict: record.verdict,
    policy: orAbsent(record.policy ?? ''),
    audit: record.audit,
    duration_ms: Math.round(durationMs * 1000) / 1000,
    bytes_in: record.bytesIn,
    bytes_out: record.bytesOut,
    source: orAbsent(record.source),
    destination: `${record.namespace}/${record.service}:${record.port}`,
    level: record.level,
    route: orAbsent(routeLabel(record.rule)),
    rule: record.rule?.rule,
    endpoint: orAbsent(record.endpoint),
    tries: record.tries,
    trace_id: orAbsent(record.traceId),
  })
}

/** Whether the mesh answered in place of the destination, or the answer was an error of the destination's. */
export function failed(record: ExchangeRecord): boolean {
  return record.reason !== undefined || record.status >= 500
}

function orAbsent(text: string): string | undefined {
  return text === '' ? undefined : text
}

/** Most bytes that wait for a slow reader of the log; lines beyond them are dropped and counted. */
const maxWaitingBytes = 4 * 1024 * 1024

export interface AccessLogSink {
  readonly write: LineWriter
  /** Lines that were dropped because the reader was too slow. */
  readonly dropped: () => number
  /** Resolves when the stream has taken every line so far. */
  readonly flushed: () => Promise<void>
}

/** Lines on a stream, gathered for each turn of the event loop so that a busy proxy makes one write of many lines. */
export function streamSink(stream: NodeJS.WritableStream & { readonly writableLength: number }): AccessLogSink {
  let waiting: string[] = []
  let dropped = 0
  const flush = (): void => {
    stream.write(waiting.join(''))
    waiting = []
  }
  return {
    write: (line) => {
      if (stream.writableLength > maxWaitingBytes) {
        dropped++
        return false
      }
      if (waiting.push(`${line}\n`) === 1) setImmediate(flush)
      return true
    },
    dropped: () => dropped,
    flushed: () => new Promise((resolve) => {
      flush()
      stream.write('', () => resolve())
    }),
  }
}
