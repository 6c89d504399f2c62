import type { ReasonCode } from '../model/reasons.ts'
import type { RuleId } from '../model/route.ts'

/** Which routes judged a request: `none` = the Service's own endpoints, no routes attached. */
export type RouteLevel = 'producer' | 'consumer' | 'none'

/** What is told about one request or one connection when it is over. Filled in place while it runs. */
export interface ExchangeRecord {
  /** Milliseconds since the epoch at which the head was read. */
  readonly startMs: number
  readonly protocol: 'http1' | 'http2' | 'grpc' | 'tcp' | 'tls'
  readonly method: string
  readonly authority: string
  /** As it came, with its query. */
  readonly path: string
  /** SPIFFE id of the original client; '' if it is not a mesh member. */
  readonly source: string
  service: string
  namespace: string
  port: number
  level: RouteLevel
  /** The rule that served it; undefined if none did. */
  rule: RuleId | undefined
  /** `address:port` of the last endpoint that was tried, '' if none was. */
  endpoint: string
  /** Tries that were begun. */
  tries: number
  /** HTTP status of the answer; 0: it ended without one. */
  status: number
  grpcStatus: number | undefined
  reason: ReasonCode | undefined
  /** What policies made of it; absent: none guards the destination. */
  verdict?: 'allowed' | 'denied'
  /** `namespace/name` of the policy that decided; absent or '': none did. */
  policy?: string
  /** `namespace/name` of the Audit policies that match. */
  audit?: readonly string[]
  /** In words; '' if there is nothing to add. */
  detail: string
  bytesIn: number
  bytesOut: number
  /** 32 hex digits, '' if there is no trace. */
  traceId: string
}

/** What changes now and then, for gauges; read at scrape time. */
export interface WaypointState {
  /** Counts the configurations that were taken over. */
  readonly configVersion: number
  /** Milliseconds since the epoch at which the present one was taken over; 0: there is none. */
  readonly configuredAtMs: number
  /** Milliseconds since the epoch; 0: there is no certificate. */
  readonly certificateNotAfterMs: number
  readonly requestsInFlight: number
  readonly connections: number
  readonly pools: number
}

/** Things that are counted by themselves. */
export type CountedEvent =
  | 'retry'
  | 'mirror'
  | 'mirror-dropped'
  | 'mirror-failed'
  | 'connection'
  | 'connection-refused'
  | 'access-log-dropped'
  /** A connection to an endpoint was opened, see `waymark_upstream_connections_total`. */
  | 'upstream-plain'
  | 'upstream-hbone'

/** The trace of one request. All of it does nothing if the trace is not sampled. */
export interface RequestTrace {
  readonly traceId: string
  /** Starts the span of one try and puts its context (`traceparent`, `tracestate`) into `headers`. */
  readonly startTry: (headers: string[], endpoint: string, tryNumber: number) => TrySpan
  /** Ends the server span. */
  readonly end: (record: ExchangeRecord) => void
}

/** The client span of one try. */
export interface TrySpan {
  /** @param status 0 if no answer came; @param error in words, undefined if the try was good */
  readonly end: (status: number, error: string | undefined) => void
}

/** Where the data plane tells what it does; cheap when everything is off. */
export interface Telemetry {
  /** Starts or continues a trace; undefined if tracing is off: then the headers pass untouched. */
  readonly startTrace: (headers: readonly string[], record: ExchangeRecord) => RequestTrace | undefined
  /** Told once for each request and each opaque connection, after its end. */
  readonly exchangeDone: (record: ExchangeRecord, durationMs: number) => void
  readonly count: (event: CountedEvent) => void
  /** Gives the source of the gauges; a later one replaces it. */
  readonly observe: (state: () => WaypointState) => void
}

/** Telemetry that tells nobody. */
export const noTelemetry: Telemetry = {
  startTrace: () => undefined,
  exchangeDone: () => {},
  count: () => {},
  observe: () => {},
}
