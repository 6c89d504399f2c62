import { accessLogLine, type LineWriter } from './access-log.ts'
import type { Metrics } from './metrics.ts'
import type { Telemetry } from './telemetry.ts'
import type { Tracing } from './tracing.ts'

/** What a process has of telemetry; what is missing is off. */
export interface TelemetryParts {
  readonly metrics?: Metrics | undefined
  readonly tracing?: Tracing | undefined
  readonly accessLog?: LineWriter | undefined
}

/** Telemetry of the waypoint `namespace/name`. */
export function createTelemetry(waypoint: string, { metrics, tracing, accessLog }: TelemetryParts): Telemetry {
  const counters = metrics?.forWaypoint(waypoint)
  return {
    startTrace: tracing?.forWaypoint(waypoint) ?? (() => undefined),
    exchangeDone: (record, durationMs) => {
      counters?.exchangeDone(record, durationMs)
      if (accessLog?.(accessLogLine(waypoint, record, durationMs)) === false) counters?.count('access-log-dropped')
    },
    count: (event) => counters?.count(event),
    observe: (state) => counters?.observe(state),
  }
}
