import { accessLogLine, failed, type LineWriter } from './access-log.ts'
import type { Metrics } from './metrics.ts'
import type { TapPoint } from './tap.ts'
import type { Telemetry } from './telemetry.ts'
import type { Tracing } from './tracing.ts'

/** What a process has of telemetry; what is missing is off. */
export interface TelemetryParts {
  readonly metrics?: Pick<Metrics, 'forWaypoint'> | undefined
  readonly tracing?: Tracing | undefined
  readonly accessLog?: LineWriter | undefined
  /** Which exchanges get a line: all, or those that failed; default all. */
  readonly accessLogOf?: 'all' | 'errors'
  readonly tap?: TapPoint | undefined
}

/** Telemetry of the waypoint `namespace/name`. */
export function createTelemetry(waypoint: string, { metrics, tracing, accessLog, accessLogOf = 'all', tap }: TelemetryParts): Telemetry {
  const counters = metrics?.forWaypoint(waypoint)
  return {
    startTrace: tracing?.forWaypoint(waypoint) ?? (() => undefined),
    exchangeDone: (record, durationMs) => {
      counters?.exchangeDone(record, durationMs)
      if (tap?.listening === true) tap.exchange(waypoint, record, durationMs)
      if (accessLogOf === 'errors' && !failed(record)) return
      if (accessLog?.(accessLogLine(waypoint, record, durationMs)) === false) counters?.count('access-log-dropped')
    },
    count: (event) => counters?.count(event),
    observe: (state) => counters?.observe(state),
  }
}
