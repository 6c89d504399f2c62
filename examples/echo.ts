import { createServer, type Server } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { ResourceSet } from '../src/api/resources.ts'

/** Annotation of an EndpointSlice: the status that the demo's backends on its addresses answer with. */
const answerAnnotation = 'example.waymark.dev/answer'

/** Longest delay that a caller may ask for, milliseconds. */
const maxDelayMs = 10_000

/** Small backends that say who they are and what they were asked. */
export interface Echoes {
  /** `name address:port`, one for each. */
  readonly listening: readonly string[]
  readonly close: () => Promise<void>
}

/**
 * Starts a backend on every loopback address of the EndpointSlices.
 * `?delay=MS` in a request makes its answer wait.
 */
export async function startEchoes(resources: ResourceSet): Promise<Echoes> {
  const servers = new Map<string, Server>()
  const listening: string[] = []
  for (const slice of resources.EndpointSlice.values()) {
    const status = Number(slice.metadata.annotations?.[answerAnnotation] ?? 200)
    for (const endpoint of slice.endpoints ?? []) {
      for (const [address, port] of endpoint.addresses.flatMap((each) => (slice.ports ?? []).map((known) => [each, known.port ?? 0] as const))) {
        if (!address.startsWith('127.') || servers.has(`${address}:${port}`)) continue
        const name = endpoint.hostname ?? address
        const server = echo(name, status)
        servers.set(`${address}:${port}`, server)
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen(port, address, resolve)
        })
        listening.push(`${name} ${address}:${port}`)
      }
    }
  }
  return {
    listening,
    close: async () => {
      await Promise.all([...servers.values()].map((server) => new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })))
    },
  }
}

function echo(backend: string, status: number): Server {
  return createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://echo')
      const delayMs = Math.min(maxDelayMs, Number(url.searchParams.get('delay') ?? 0))
      if (delayMs > 0) await wait(delayMs)
      const body = JSON.stringify({ backend, method: request.method, path: request.url, headers: request.headers })
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) + 1 })
      response.end(`${body}\n`)
    })()
  })
}
