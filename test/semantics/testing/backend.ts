import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as a backend got it. */
export interface Seen {
  readonly backend: string
  readonly method: string
  /** The target, byte by byte. */
  readonly url: string
  readonly host: string
  /** Every value of each header, names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: string
  readonly trailers: NodeJS.Dict<string>
}

export type Behaviour = (request: IncomingMessage, response: ServerResponse, seen: Seen) => void

/** An application: it remembers what it saw, and answers with it as JSON unless it has a behaviour of its own. */
export interface Backend {
  readonly name: string
  readonly server: Server
  readonly host: string
  readonly port: number
  readonly seen: Seen[]
  readonly close: () => void
}

export async function backend(name: string, behave?: Behaviour, host = '127.0.0.1'): Promise<Backend> {
  const seen: Seen[] = []
  const server = createServer({ keepAliveTimeout: 60_000, maxHeaderSize: 256 * 1024 }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one = seenOf(name, request, Buffer.concat(chunks).toString('latin1'))
      seen.push(one)
      if (behave !== undefined) behave(request, response, one)
      else response.end(JSON.stringify(one))
    })
  })
  server.listen(0, host)
  await once(server, 'listening')
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { name, server, host, port: (server.address() as AddressInfo).port, seen, close }
}

function seenOf(name: string, request: IncomingMessage, body: string): Seen {
  const headers: Record<string, string[]> = {}
  for (const [header, values] of Object.entries(request.headersDistinct)) headers[header] = values ?? []
  return { backend: name, method: request.method ?? '', url: request.url ?? '', host: request.headers.host ?? '', headers, body, trailers: request.trailers }
}

/** A port on which nothing listens. */
export async function closedPort(): Promise<{ readonly host: string; readonly port: number }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return { host: '127.0.0.1', port }
}
