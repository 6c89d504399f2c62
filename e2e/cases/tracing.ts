import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Span } from '../app/collector.ts'
import { defineCases } from '../lib/case.ts'
import { backend, parent, route, service } from '../lib/manifests.ts'

const attribute = (span: Span, key: string): string | undefined => {
  const found = span.attributes?.find((each) => each.key === key)?.value
  return found?.stringValue ?? (found?.intValue === undefined ? undefined : String(found.intValue))
}

/** One request's spans, seen where an operator would see them. */
export const cases = defineCases([
  {
    name: 'a trace: the server\'s span and each try\'s, below the caller\'s own, in a collector',
    features: ['tracing', 'OTLP', 'traceparent', 'HTTPRouteRetry'],
    place: { traced: { client: true, collector: true, waypoint: { otlpEndpoint: 'http://collector:4318' }, apps: { echo: { version: 'v1' } } } },
    manifests: [
      service('traced', 'echo', { app: 'echo' }),
      route('HTTPRoute', 'traced', 'echo', [parent('echo', { port: 80 })], [{ retry: { attempts: 2, codes: [503], backoff: '10ms' }, backendRefs: [backend('echo')] }]),
    ],
    run: async ({ client, url, until, namespace }) => {
      const from = await client('traced')
      const traceId = randomBytes(16).toString('hex')
      const parentId = randomBytes(8).toString('hex')
      const reply = await from.request(url('traced', 'echo', '/?status=503&fails=1&key=traced'), { headers: { traceparent: `00-${traceId}-${parentId}-01` } })
      assert.equal(reply.status, 200)
      const spans = await until('three spans of the trace', async () => {
        const { body = '[]' } = await from.request(`http://collector.${namespace('traced')}:4318/traces/${traceId}`, { via: 'direct' })
        const found = JSON.parse(body) as readonly Span[]
        return found.length >= 3 ? found : undefined
      }, 20_000)
      const servers = spans.filter(({ kind }) => kind === 2)
      const tries = spans.filter(({ kind }) => kind === 3).sort((a, b) => (BigInt(a.startTimeUnixNano) < BigInt(b.startTimeUnixNano) ? -1 : 1))
      assert.deepEqual([servers.length, tries.length, spans.length], [1, 2, 3])
      const [server] = servers
      assert.ok(server !== undefined)
      assert.ok(spans.every((span) => span.traceId === traceId))
      assert.equal(server.parentSpanId, parentId)
      assert.equal(attribute(server, 'waymark.route'), `HTTPRoute ${namespace('traced')}/echo`)
      assert.equal(attribute(server, 'waymark.tries'), '2')
      assert.match(attribute(server, 'waymark.source') ?? '', /\/sa\/client$/)
      assert.deepEqual(tries.map(({ parentSpanId }) => parentSpanId), [server.spanId, server.spanId])
      assert.deepEqual(tries.map((span) => attribute(span, 'http.response.status_code')), ['503', '200'])
      assert.deepEqual(tries.map((span) => attribute(span, 'http.request.resend_count')), [undefined, '1'])
      // The application goes on from the try that reached it.
      assert.equal(reply.echo?.headers['traceparent']?.[0], `00-${traceId}-${tries[1]?.spanId ?? ''}-01`)
      return `${server.name}: ${spans.length} spans under one trace id`
    },
  },
])
