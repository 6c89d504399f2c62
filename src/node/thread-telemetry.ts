import type { Clock } from '../kit/clock.ts'
import type { AccessLogLevel } from '../model/infra.ts'
import { streamSink } from '../telemetry/access-log.ts'
import { ConnectionCounters, connectionTelemetry } from '../telemetry/connection-counters.ts'
import type { ConnectionTelemetry } from '../telemetry/connections.ts'
import { TapPoint } from '../telemetry/tap.ts'

/** What one thread tells of the connections that it carries. */
export interface ThreadTelemetry {
  readonly telemetry: ConnectionTelemetry
  readonly counters: ConnectionCounters
  readonly tap: TapPoint
  /** Resolves when every line of the access log is written. */
  readonly flushed: () => Promise<void>
}

export function openThreadTelemetry(node: string, accessLog: AccessLogLevel, clock: Clock): ThreadTelemetry {
  const counters = new ConnectionCounters()
  const tap = new TapPoint(clock)
  const sink = accessLog === 'none' ? undefined : streamSink(process.stdout)
  return {
    counters, tap,
    telemetry: connectionTelemetry(node, counters, { log: sink?.write, logOf: accessLog === 'errors' ? 'errors' : 'all', tap }),
    flushed: () => sink?.flushed() ?? Promise.resolve(),
  }
}
