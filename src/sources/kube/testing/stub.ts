import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { createKubeClient, type KubeClient } from '../../../kube/client.ts'

/** Answers one request in the place of the server. */
export type Answer = (response: ServerResponse, query: URLSearchParams, request: IncomingMessage) => void

export interface SeenRequest {
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
}

interface Stored {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion: string }
  readonly [field: string]: unknown
}

/** The objects of one path, with the history that watches go on from. */
export interface Collection {
  readonly put: (name: string, fields?: Readonly<Record<string, unknown>>, namespace?: string) => void
  readonly remove: (name: string, namespace?: string) => void
  /** By key, for comparison. */
  readonly objects: () => ReadonlyMap<string, Stored>
  /** Answers in place of the next lists and watches, in order. */
  readonly onList: Answer[]
  readonly onWatch: Answer[]
  /** Writes to every open watch as it is. */
  readonly send: (text: string) => void
  /** Ends every open watch, in order or by cutting the connection. */
  readonly end: () => void
  readonly cut: () => void
  /** Forgets history: versions up to now are gone. */
  readonly compact: () => void
  readonly bookmark: () => void
  readonly watches: () => number
  readonly lists: () => number
  /** Watches opened so far. */
  readonly opened: () => number
}

export interface Stub {
  readonly url: string
  /** Serves a path from now on. */
  readonly serve: (path: string) => Collection
  /** Answers every request of this path; undefined: 404 again. */
  readonly answer: (path: string, answer: Answer | undefined) => void
  readonly requests: readonly SeenRequest[]
  readonly client: KubeClient
  readonly refreshed: () => number
  readonly close: () => Promise<void>
}

/** An API server of a few collections that does what a test tells it. */
export async function startStub(): Promise<Stub> {
  const requests: SeenRequest[] = []
  const paths = new Map<string, Answer>()
  const version = { now: 1000 }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://stub')
    requests.push({ path: url.pathname, query: url.searchParams, headers: request.headers })
    const answer = paths.get(url.pathname) ?? status(404, 'NotFound')
    answer(response, url.searchParams, request)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  let loads = 0
  const client = createKubeClient(() => {
    loads++
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'stub', server: url, skipTLSVerify: true }, { name: 'tester', token: `token-${loads}` })
    return config
  })
  return {
    url,
    requests,
    client,
    refreshed: () => loads - 1,
    serve: (path) => {
      const made = createCollection(version)
      paths.set(path, made.answer)
      return made
    },
    answer: (path, answer) => {
      if (answer === undefined) paths.delete(path)
      else paths.set(path, answer)
    },
    close: async () => {
      client.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** An answer that is a `metav1.Status`. */
export function status(code: number, reason: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return (response) => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message: `${reason} it is` }))
  }
}

/** An answer of 200 with this body. */
export function body(text: string): Answer {
  return (response) => response.end(text)
}

/** Closes the connection without an answer. */
export const hangUp: Answer = (response) => response.destroy()

function createCollection(shared: { now: number }): Collection & { readonly answer: Answer } {
  const objects = new Map<string, Stored>()
  const history: { readonly version: number; readonly line: string }[] = []
  const open = new Set<ServerResponse>()
  const snapshots = new Map<string, { readonly version: number; readonly items: readonly Stored[] }>()
  const onList: Answer[] = []
  const onWatch: Answer[] = []
  let [compacted, lists, opened] = [0, 0, 0]

  const record = (type: string, object: Stored): void => {
    const line = `${JSON.stringify({ type, object })}\n`
    history.push({ version: shared.now, line })
    for (const each of open) each.write(line)
  }
  const list = (response: ServerResponse, query: URLSearchParams): void => {
    const token = query.get('continue')
    const from = token === null ? { version: shared.now, items: [...objects.values()] } : snapshots.get(token)
    if (from === undefined || from.version < compacted) {
      status(410, 'Expired')(response, query, response.req)
      return
    }
    const limit = Number(query.get('limit') ?? Infinity)
    const [items, rest] = [from.items.slice(0, limit), from.items.slice(limit)]
    const next = rest.length === 0 ? undefined : `token-${snapshots.size}`
    if (next !== undefined) snapshots.set(next, { version: from.version, items: rest })
    response.end(JSON.stringify({ kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: String(from.version), continue: next }, items }))
  }
  const watch = (response: ServerResponse, query: URLSearchParams): void => {
    const from = Number(query.get('resourceVersion'))
    if (from < compacted) {
      status(410, 'Expired')(response, query, response.req)
      return
    }
    opened++
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    for (const each of history) if (each.version > from) response.write(each.line)
    open.add(response)
    response.once('close', () => open.delete(response))
  }
  return {
    onList,
    onWatch,
    answer: (response, query, request) => {
      const watching = query.get('watch') === 'true'
      if (!watching) lists++
      const scripted = (watching ? onWatch : onList).shift()
      if (scripted !== undefined) scripted(response, query, request)
      else if (watching) watch(response, query)
      else list(response, query)
    },
    put: (name, fields = {}, namespace = 'shop') => {
      shared.now++
      const metadata = { name, namespace, resourceVersion: String(shared.now), ...(fields['metadata'] as object | undefined) }
      const object = { ...fields, metadata }
      const type = objects.has(`${namespace}/${name}`) ? 'MODIFIED' : 'ADDED'
      objects.set(`${namespace}/${name}`, object)
      record(type, object)
    },
    remove: (name, namespace = 'shop') => {
      const object = objects.get(`${namespace}/${name}`)
      if (object === undefined) return
      shared.now++
      objects.delete(`${namespace}/${name}`)
      record('DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(shared.now) } })
    },
    objects: () => objects,
    send: (text) => {
      for (const each of open) each.write(text)
    },
    end: () => {
      for (const each of open) each.end()
      open.clear()
    },
    cut: () => {
      for (const each of open) each.destroy()
      open.clear()
    },
    compact: () => {
      compacted = ++shared.now
      history.length = 0
    },
    bookmark: () => {
      for (const each of open) each.write(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(shared.now) } } })}\n`)
    },
    watches: () => open.size,
    lists: () => lists,
    opened: () => opened,
  }
}
