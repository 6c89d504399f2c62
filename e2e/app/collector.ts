import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'

/** A span as OTLP/HTTP has it in JSON. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 2: server, 3: client. */
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes?: readonly { readonly key: string; readonly value: { readonly stringValue?: string; readonly intValue?: number | string } }[]
  readonly status?: { readonly code?: number; readonly message?: string }
}

/** A batch of spans. Source: OTLP/HTTP, ExportTraceServiceRequest. */
interface Batch {
  readonly resourceSpans?: readonly { readonly scopeSpans?: readonly { readonly spans?: readonly Span[] }[] }[]
}

/** Spans that are kept; the oldest go. */
const kept = 10_000

/** Starts a receiver of spans: `POST /v1/traces` takes a batch, `GET /traces/ID` gives the spans of a trace. 0 takes any port. */
export async function startCollector(port: number): Promise<{ readonly port: number; readonly close: () => void }> {
  const spans: Span[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    if (request.method === 'GET') {
      const [, word, traceId] = path.split('/')
      answer(200, word === 'traces' ? spans.filter((span) => span.traceId === traceId) : { spans: spans.length })
      return
    }
    text(request).then((body) => {
      const { resourceSpans = [] } = JSON.parse(body) as Batch
      spans.push(...resourceSpans.flatMap(({ scopeSpans = [] }) => scopeSpans.flatMap((scope) => scope.spans ?? [])))
      spans.splice(0, spans.length - kept)
      answer(200, {})
    }).catch(() => answer(400, { message: 'not a batch of spans in JSON' }))
  })
  await new Promise<void>((resolve) => server.listen(port, resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

if (import.meta.main) await startCollector(4318)
