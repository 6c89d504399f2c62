import type { Server, ServerResponse } from 'node:http'
import { isIP, type AddressInfo } from 'node:net'
import { messageOf } from '../kit/message.ts'

// By `import`, all of its exports would be read, and with `WebSocket` a whole HTTP client that nobody needs here would be loaded: 13 MiB.
const { createServer } = process.getBuiltinModule('node:http')

/** What a path answers with. */
export interface Page {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** A page without an end: it answers as it likes. */
export type StreamedPage = (query: URLSearchParams, response: ServerResponse) => void

export interface StatusServer {
  readonly address: { readonly host: string; readonly port: number }
  readonly close: () => Promise<void>
}

/**
 * A small HTTP server for people and probes: GET (and HEAD) of fixed paths.
 * @param at `anyName`: requests for any host name are served, as scrapes by a Service's name are; only for pages that everybody may read
 * @param pages by path; an unknown path answers 404 and names those that exist
 * @param streams pages that go on until whoever asked goes, or the server closes
 * @throws the listen error
 */
export async function serveStatus(
  { host, port, anyName = false }: { readonly host: string; readonly port: number; readonly anyName?: boolean },
  pages: Readonly<Record<string, () => Page | Promise<Page>>>,
  streams: Readonly<Record<string, StreamedPage>> = {},
): Promise<StatusServer> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      const { pathname: path, searchParams } = new URL(request.url ?? '/', 'http://status')
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined
      const known = text(404, `try ${[...Object.keys(pages), ...Object.keys(streams)].join(', ')}\n`)
      const notAllowed = text(405, 'only GET\n')
      let answer = known
      try {
        if (!anyName && !isOwnName(request.headers.host)) answer = text(421, 'use the address of this port, not a name\n')
        else if (request.method !== 'GET' && request.method !== 'HEAD') answer = notAllowed
        else if (page !== undefined) answer = await page()
        else if (request.method === 'GET' && Object.hasOwn(streams, path)) {
          streams[path]?.(searchParams, response)
          return
        }
      } catch (error) {
        answer = text(500, `${messageOf(error)}\n`)
      }
      response.writeHead(answer.status, { 'content-type': answer.contentType, 'content-length': Buffer.byteLength(answer.body) })
      response.end(request.method === 'HEAD' ? undefined : answer.body)
    })()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, port: bound } = server.address() as AddressInfo
  return {
    address: { host: address, port: bound },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A web page whose name was made to lead here must not read what is shown (DNS rebinding), so only addresses and `localhost` are served. */
function isOwnName(host: string | undefined): boolean {
  const name = (host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return name === 'localhost' || isIP(name) !== 0
}

/** A page of plain text. */
export function text(status: number, body: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}

/** A page of JSON. */
export function json(value: unknown): Page {
  return { status: 200, contentType: 'application/json', body: `${JSON.stringify(value, undefined, 2)}\n` }
}

interface Said {
  readonly name: string
  readonly why: string
}

/** The pages that kubelets and people probe: `/readyz` names what is pending, then what else is to be known; `/livez` answers while the process does. */
export function probePages(pending: () => readonly Said[], notes: () => readonly Said[] = () => []): Readonly<Record<string, () => Page>> {
  return {
    '/readyz': () => {
      const waiting = pending().map(({ name, why }) => `${name}: ${why}\n`)
      const noted = notes().map(({ name, why }) => `note: ${name}: ${why}\n`)
      return text(waiting.length === 0 ? 200 : 503, [...(waiting.length === 0 ? ['ready\n'] : waiting), ...noted].join(''))
    },
    '/livez': () => text(200, 'alive\n'),
  }
}
