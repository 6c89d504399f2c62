import type * as Api from '@opentelemetry/api'
import type { Context, Span, SpanContext, Tracer } from '@opentelemetry/api'
import { routeLabel } from './route-label.ts'
import type { TracingConfig } from './config.ts'
import type { ExchangeRecord, RequestTrace, Telemetry, TrySpan } from './telemetry.ts'
import { readTraceContext, writeTraceContext, type TraceContext } from './trace-context.ts'

/** Traces of a process, sent over OTLP/HTTP. */
export interface Tracing {
  /** Spans of the waypoint `namespace/name`. */
  readonly forWaypoint: (waypoint: string) => Telemetry['startTrace']
  /** Sends what waits. */
  readonly close: () => Promise<void>
}

/** Loads the OpenTelemetry SDK, which a process without tracing never does. */
export async function startTracing(config: TracingConfig): Promise<Tracing> {
  const [api, sdk, exporter, resources] = await Promise.all([
    import('@opentelemetry/api'), import('@opentelemetry/sdk-trace'), import('@opentelemetry/exporter-trace-otlp-http'), import('@opentelemetry/resources'),
  ])
  const url = config.endpoint.endsWith('/v1/traces') ? config.endpoint : `${config.endpoint.replace(/\/$/, '')}/v1/traces`
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': config.serviceName }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOnSampler() }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new exporter.OTLPTraceExporter({ url }), scheduledDelayMillis: 1_000 })],
  })
  const tracer = provider.getTracer('waymark')
  return {
    forWaypoint: (waypoint) => (headers, record) => startRequest(api, tracer, waypoint, headers, record),
    close: () => provider.shutdown(),
  }
}


function startRequest(api: typeof Api, tracer: Tracer, waypoint: string, headers: readonly string[], record: ExchangeRecord): RequestTrace {
  const caller = readTraceContext(headers)
  const server = tracer.startSpan(
    record.method === '' ? 'connection' : record.method,
    { kind: api.SpanKind.SERVER, startTime: record.startMs, attributes: requestAttributes(waypoint, record) },
    caller === undefined ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, remote(caller)),
  )
  const own = server.spanContext()
  const state = caller?.state ?? ''
  const context = api.trace.setSpan(api.ROOT_CONTEXT, server)
  record.traceId = own.traceId
  return {
    traceId: own.traceId,
    startTry: (into, endpoint, tryNumber) => startTry(api, tracer, context, { into, endpoint, tryNumber, method: record.method, state }),
    end: (done) => {
      server.setAttributes(answerAttributes(done))
      if (done.status >= 500 || done.status === 0) server.setStatus({ code: api.SpanStatusCode.ERROR, message: done.reason ?? '' })
      if (done.rule !== undefined) server.updateName(`${done.method} ${routeLabel(done.rule)}`.trim())
      server.end()
    },
  }
}

interface TryDetails {
  readonly into: string[]
  readonly endpoint: string
  readonly tryNumber: number
  readonly method: string
  readonly state: string
}

function startTry(api: typeof Api, tracer: Tracer, context: Context, { into, endpoint, tryNumber, method, state }: TryDetails): TrySpan {
  const span: Span = tracer.startSpan(
    method === '' ? 'connection' : method,
    { kind: api.SpanKind.CLIENT, attributes: { 'http.request.method': method, 'network.peer.address': endpoint, ...(tryNumber > 1 ? { 'http.request.resend_count': tryNumber - 1 } : {}) } },
    context,
  )
  const { traceId, spanId, traceFlags } = span.spanContext()
  writeTraceContext(into, { traceId, spanId, flags: traceFlags, state })
  return {
    end: (status, error) => {
      if (status > 0) span.setAttribute('http.response.status_code', status)
      if (error !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error })
      span.end()
    },
  }
}

function remote(caller: TraceContext): SpanContext {
  // The caller's trace state travels beside the SDK, as it came.
  return { traceId: caller.traceId, spanId: caller.spanId, traceFlags: caller.flags, isRemote: true }
}

/** Names as in the semantic conventions for HTTP spans; our own under `waymark.`. */
function requestAttributes(waypoint: string, record: ExchangeRecord): Record<string, string> {
  const [path = '', query] = record.path.split(/\?(.*)/s)
  return {
    'waymark.waypoint': waypoint,
    'waymark.source': record.source,
    'http.request.method': record.method,
    'server.address': record.authority,
    'url.path': path,
    ...(query === undefined ? {} : { 'url.query': query }),
    'network.protocol.name': record.protocol,
  }
}

function answerAttributes(record: ExchangeRecord): Record<string, string | number> {
  return {
    'http.response.status_code': record.status,
    'waymark.destination': `${record.namespace}/${record.service}:${record.port}`,
    'waymark.level': record.level,
    'waymark.tries': record.tries,
    ...(record.rule === undefined ? {} : { 'waymark.route': routeLabel(record.rule), 'waymark.rule': record.rule.rule }),
    ...(record.grpcStatus === undefined ? {} : { 'rpc.grpc.status_code': record.grpcStatus }),
    ...(record.reason === undefined ? {} : { 'error.type': record.reason, 'waymark.reason': record.reason }),
  }
}
