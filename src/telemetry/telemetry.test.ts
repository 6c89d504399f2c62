import assert from 'node:assert/strict'
import { createServer, get as httpGet, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { accessLogLine, streamSink } from './access-log.ts'
import { tracingConfig } from './config.ts'
import { createTelemetry } from './create.ts'
import { createMetrics } from './metrics.ts'
import { json, serveStatus, text } from './server.ts'
import type { ExchangeRecord } from './telemetry.ts'
import { readTraceContext, writeTraceContext } from './trace-context.ts'
import { startTracing } from './tracing.ts'

const record = (changes: Partial<ExchangeRecord> = {}): ExchangeRecord => ({
  startMs: 0, protocol: 'http1', method: 'GET', authority: 'reviews:9080', path: '/a?b=c', source: 'spiffe://td/ns/shop/sa/till', service: 'reviews', namespace: 'books',
  port: 9080, level: 'producer', rule: { routeKind: 'HTTPRoute', namespace: 'books', name: 'reviews', rule: 1 }, endpoint: '10.0.0.1:9080', tries: 1, status: 200,
  grpcStatus: undefined, reason: undefined, detail: '', bytesIn: 10, bytesOut: 20, traceId: '', ...changes,
})
const line = (text: string, name: string, ...labels: string[]): number | undefined => {
  const found = text.split('\n').find((each) => each.startsWith(`${name}{`) && labels.every((label) => each.includes(label)))
  return found === undefined ? undefined : Number(found.split(' ').at(-1))
}

describe('access log', () => {
  it('writes one JSON object with the route, the rule and the reason, and leaves out what has no meaning', () => {
    const parsed = JSON.parse(accessLogLine('books/waypoint', record({ status: 504, reason: 'request-timeout' }), 12.3456)) as Record<string, unknown>
    assert.deepEqual(parsed, {
      time: '1970-01-01T00:00:00.000Z', waypoint: 'books/waypoint', protocol: 'http1', method: 'GET', authority: 'reviews:9080', path: '/a?b=c', status: 504, reason: 'request-timeout',
      duration_ms: 12.346, bytes_in: 10, bytes_out: 20, source: 'spiffe://td/ns/shop/sa/till', destination: 'books/reviews:9080', level: 'producer', route: 'HTTPRoute books/reviews',
      rule: 1, endpoint: '10.0.0.1:9080', tries: 1,
    })
  })

  it('can not be broken out of by what a caller sends', () => {
    assert.ok(!accessLogLine('w', record({ path: '/\n{"status":200}' }), 1).includes('\n'))
  })

  it('tells only of what failed, if asked to', () => {
    const lines: string[] = []
    const telemetry = createTelemetry('books/waypoint', { accessLog: (text) => lines.push(text) > 0, accessLogOf: 'errors' })
    for (const changes of [{}, { status: 404 }, { status: 404, reason: 'no-route' }, { status: 0, protocol: 'tcp' }, { status: 0, reason: 'no-endpoint' }, { status: 502 }] as const) {
      telemetry.exchangeDone(record(changes), 1)
    }
    assert.deepEqual(lines.map((each) => (JSON.parse(each) as ExchangeRecord).status), [404, 0, 502])
  })

  it('counts what was dropped', async () => {
    const metrics = createMetrics(() => 0)
    createTelemetry('books/waypoint', { metrics, accessLog: () => false }).exchangeDone(record(), 1)
    assert.equal(line(await metrics.render(), 'waymark_events_total', 'event="access-log-dropped"'), 1)
  })

  it('drops and counts lines when the reader of the log stands still, with bounded memory', async () => {
    const stuck = new Writable({ write: () => {} })
    const sink = streamSink(stuck)
    for (let time = 0; time < 6; time++) {
      sink.write('x'.repeat(1024 * 1024))
      await new Promise(setImmediate)
    }
    assert.equal(sink.dropped(), 2)
  })
})

describe('metrics', () => {
  it('count requests, bytes and durations by destination, route, status and reason', async () => {
    const metrics = createMetrics(() => 10_000)
    const telemetry = createTelemetry('books/waypoint', { metrics })
    for (let time = 0; time < 3; time++) telemetry.exchangeDone(record(), 30)
    telemetry.exchangeDone(record({ status: 404, reason: 'no-route', rule: undefined }), 0.5)
    for (const event of ['retry', 'upstream-plain', 'upstream-plain', 'upstream-hbone'] as const) telemetry.count(event)
    telemetry.observe(() => ({ configVersion: 7, configuredAtMs: 4_000, certificateNotAfterMs: 70_000, requestsInFlight: 2, connections: 3, pools: 4 }))
    const text = await metrics.render()
    assert.equal(line(text, 'waymark_requests_total', 'code="200"', 'route="HTTPRoute books/reviews"', 'service="reviews"', 'waypoint="books/waypoint"'), 3)
    assert.equal(line(text, 'waymark_requests_total', 'code="404"', 'reason="no-route"'), 1)
    assert.equal(line(text, 'waymark_request_bytes_total', 'code="200"'), 30)
    assert.equal(line(text, 'waymark_request_duration_seconds_bucket', 'le="0.025"'), 1)
    assert.equal(line(text, 'waymark_request_duration_seconds_bucket', 'le="0.05"'), 4)
    assert.equal(line(text, 'waymark_request_duration_seconds_bucket', 'le="+Inf"'), 4)
    assert.equal(line(text, 'waymark_request_duration_seconds_count'), 4)
    assert.equal(line(text, 'waymark_events_total', 'event="retry"'), 1)
    assert.equal(line(text, 'waymark_upstream_connections_total', 'transport="plain"'), 2)
    assert.equal(line(text, 'waymark_upstream_connections_total', 'transport="hbone"'), 1)
    assert.doesNotMatch(text, /event="upstream/)
    assert.equal(line(text, 'waymark_config_age_seconds'), 6)
    assert.equal(line(text, 'waymark_certificate_expiry_seconds'), 60)
    assert.match(text, /^# TYPE waymark_request_duration_seconds histogram$/m)
  })

  it('of several threads are shown as if there were one, whatever the threads count later', async () => {
    const [a, b] = [createMetrics(() => 0), createMetrics(() => 0)]
    const all = createMetrics(() => 10_000, { others: () => Promise.resolve(structuredClone([...a.counts(), ...b.counts()])) })
    const state = { configVersion: 7, configuredAtMs: 4_000, certificateNotAfterMs: 70_000, requestsInFlight: 2, connections: 3, pools: 4 }
    for (const [{ forWaypoint }, statuses, changes] of [[a, [200, 200, 404], {}], [b, [200, 503], { configVersion: 1, configuredAtMs: 8_000, certificateNotAfterMs: 60_000 }]] as const) {
      const metrics = forWaypoint('books/waypoint')
      for (const status of statuses) metrics.exchangeDone(record({ status }), 30)
      metrics.count('retry')
      metrics.observe(() => ({ ...state, ...changes }))
    }
    for (let time = 0; time < 2; time++) {
      const text = await all.render()
      const found = ['waymark_requests_total code="200"', 'waymark_requests_total code="404"', 'waymark_requests_total code="503"', 'waymark_request_bytes_total code="200"',
        'waymark_request_duration_seconds_count service', 'waymark_request_duration_seconds_bucket le="0.05"', 'waymark_events_total event="retry"', 'waymark_requests_in_flight waypoint',
        'waymark_config_version waypoint', 'waymark_config_age_seconds waypoint', 'waymark_certificate_expiry_seconds waypoint'].map((each) => line(text, ...each.split(' ') as [string, string]))
      assert.deepEqual(found, [3, 1, 1, 30, 5, 5, 2, 4, 7, 6, 50])
    }
  })

  it('count what policies make of requests, and what Audit policies would', async () => {
    const metrics = createMetrics(() => 0)
    const telemetry = createTelemetry('books/waypoint', { metrics })
    telemetry.exchangeDone(record(), 1)
    for (let time = 0; time < 2; time++) telemetry.exchangeDone(record({ status: 403, reason: 'denied', verdict: 'denied', policy: 'books/no-put', audit: ['books/watch'] }), 1)
    telemetry.exchangeDone(record({ verdict: 'allowed', policy: '' }), 1)
    const text = await metrics.render()
    assert.equal(line(text, 'waymark_policy_verdicts_total', 'verdict="denied"', 'policy="books/no-put"', 'namespace="books"'), 2)
    assert.equal(line(text, 'waymark_policy_verdicts_total', 'verdict="audited"', 'policy="books/watch"'), 2)
    assert.equal(line(text, 'waymark_policy_verdicts_total', 'verdict="allowed"', 'policy=""'), 1)
  })

  it('keep their number bounded, whatever callers do', async () => {
    const metrics = createMetrics(() => 0)
    const telemetry = createTelemetry('books/waypoint', { metrics })
    for (let port = 0; port < 5_000; port++) telemetry.exchangeDone(record({ service: `s${port}` }), 1)
    const text = await metrics.render()
    assert.ok(text.split('\n').filter((each) => each.startsWith('waymark_requests_total{')).length <= 2_001)
    assert.equal(line(text, 'waymark_requests_total', 'service="other"'), 3_000)
  })
})

describe('trace context', () => {
  const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  it('is read and written as W3C says', () => {
    const headers = ['traceparent', good, 'x', '1', 'tracestate', 'a=1', 'tracestate', 'b=2']
    const context = readTraceContext(headers)
    assert.deepEqual(context, { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', flags: 1, state: 'a=1,b=2' })
    writeTraceContext(headers, { ...context, spanId: '00f067aa0ba902b7' })
    assert.deepEqual(headers, ['x', '1', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01', 'tracestate', 'a=1,b=2'])
  })
  for (const bad of ['', 'x', good.toUpperCase(), `${good}-more`, good.replace('00-', 'ff-'), good.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)), good.replace('b7ad6b7169203331', '0'.repeat(16))]) {
    it(`begins a new trace after ${JSON.stringify(bad)}`, () => assert.equal(readTraceContext(['traceparent', bad]), undefined))
  }
  it('reads a higher version as far as version 00 goes', () => assert.ok(readTraceContext(['traceparent', `01${good.slice(2)}-more`])))
  it('begins a new trace if there are two parents', () => assert.equal(readTraceContext(['traceparent', good, 'traceparent', good]), undefined))
})

describe('tracing', () => {
  it('is on only if an endpoint is set', () => {
    assert.equal(tracingConfig({}), undefined)
    assert.equal(tracingConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_SDK_DISABLED: 'true' }), undefined)
    assert.deepEqual(tracingConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }), { endpoint: 'http://c:4318', serviceName: 'waymark' })
  })

  it("sends a server span and a client span a try over OTLP/HTTP, continues the caller's trace and passes it on", async () => {
    const received: { path: string; body: Buffer }[] = []
    const collector = createServer((request: IncomingMessage, response) => {
      void request.toArray().then((chunks) => {
        received.push({ path: request.url ?? '', body: Buffer.concat(chunks as Buffer[]) })
        response.setHeader('content-type', 'application/json').end('{}')
      })
    })
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
    const tracing = await startTracing({ endpoint: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`, serviceName: 'test' })
    const telemetry = createTelemetry('books/waypoint', { tracing })
    const headers = ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'tracestate', 'a=1']
    const told = record({ status: 503, reason: 'no-endpoint' })
    const trace = telemetry.startTrace(headers, told)
    assert.ok(trace)
    assert.equal(told.traceId, '0af7651916cd43dd8448eb211c80319c')
    const first = trace.startTry(headers, '10.0.0.1:9080', 1)
    const passedOn = readTraceContext(headers)
    assert.equal(passedOn?.traceId, '0af7651916cd43dd8448eb211c80319c')
    assert.notEqual(passedOn.spanId, 'b7ad6b7169203331')
    assert.equal(passedOn.state, 'a=1')
    first.end(0, 'reset')
    trace.end(told)
    await tracing.close()
    collector.close()
    assert.equal(received[0]?.path, '/v1/traces')
    const sent = JSON.parse(received[0].body.toString()) as { resourceSpans: { scopeSpans: { spans: { traceId: string; spanId: string; parentSpanId?: string; kind: number; name: string }[] }[] }[] }
    const spans = sent.resourceSpans.flatMap((each) => each.scopeSpans.flatMap((scope) => scope.spans))
    const server = spans.find((span) => span.kind === 2)
    const client = spans.find((span) => span.kind === 3)
    assert.equal(server?.parentSpanId, 'b7ad6b7169203331')
    assert.equal(server.name, 'GET HTTPRoute books/reviews')
    assert.equal(client?.parentSpanId, server.spanId)
    assert.equal(client.spanId, passedOn.spanId)
    assert.equal(client.traceId, told.traceId)
  })
})

describe('status server', () => {
  it('answers its pages to whoever names it by address, names them when asked for another, and reports a page that fails', async () => {
    const server = await serveStatus({ host: '127.0.0.1', port: 0 }, {
      '/metrics': () => text(200, 'all\n'), '/json': () => json({ a: 1 }), '/broken': () => { throw new Error('no') },
    })
    const misled = await new Promise<number | undefined>((resolve, reject) => {
      const { port } = server.address
      httpGet({ host: '127.0.0.1', port, path: '/json', headers: { host: 'evil.example' } }, (answer) => resolve(answer.resume().statusCode)).on('error', reject)
    })
    assert.equal(misled, 421)
    const get = async (path: string, method = 'GET'): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${server.address.port}${path}`, { method })
      return `${answer.status} ${await answer.text()}`
    }
    assert.equal(await get('/metrics?x=1'), '200 all\n')
    assert.equal(await get('/json'), '200 {\n  "a": 1\n}\n')
    assert.equal(await get('/nothing'), '404 try /metrics, /json, /broken\n')
    assert.equal(await get('/__proto__'), '404 try /metrics, /json, /broken\n')
    assert.equal(await get('/broken'), '500 no\n')
    assert.equal(await get('/metrics', 'POST'), '405 only GET\n')
    await server.close()
  })
})
