import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { routeManifest, serviceManifest, startBackend, startWorld, until, waypointManifest } from './testing/world.ts'

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string; readonly intValue?: number } }[]
}

const server = 2
const client = 3

describe('traces of the mesh', () => {
  it("continue the caller's trace: a server span, a client span under it, and the client span's id for the backend", async () => {
    const spans: Span[] = []
    const collector = createServer((request, response) => {
      void request.toArray().then((chunks) => {
        const sent = JSON.parse(Buffer.concat(chunks as Buffer[]).toString()) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }
        spans.push(...sent.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans)))
        response.setHeader('content-type', 'application/json').end('{}')
      })
    })
    await once(collector.listen(0, '127.0.0.1'), 'listening')
    process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
    const backend = await startBackend('v1')
    const world = await startWorld({
      'all.yaml': waypointManifest('books') + serviceManifest('books', 'reviews', [backend]) + routeManifest('books', { namespace: 'books', name: 'reviews' }, { reviews: 1 }),
    }, ['shop'])
    try {
      const traceId = '0af7651916cd43dd8448eb211c80319c'
      const answer = await world.ask('shop', 'http://reviews.books/headers', { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: 'vendor=1' })
      const seen = JSON.parse(answer.body) as Record<string, string>
      await until('both spans arrive', () => spans.length >= 2)
      const ours = spans.find((span) => span.kind === server)
      const theirs = spans.find((span) => span.kind === client)
      assert.equal(spans.length, 2)
      assert.equal(ours?.traceId, traceId)
      assert.equal(ours.parentSpanId, 'b7ad6b7169203331')
      assert.equal(theirs?.parentSpanId, ours.spanId)
      assert.equal(seen['traceparent'], `00-${traceId}-${theirs.spanId}-01`)
      assert.equal(seen['tracestate'], 'vendor=1')
      assert.equal(ours.attributes.find(({ key }) => key === 'waymark.route')?.value.stringValue, 'HTTPRoute books/reviews')
      assert.equal(ours.attributes.find(({ key }) => key === 'http.response.status_code')?.value.intValue, 200)
    } finally {
      delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
      await world.close()
      for (const each of [collector, backend]) {
        each.close()
        each.closeAllConnections()
      }
    }
  })
})
