import { Agent, createServer, request as httpRequest, STATUS_CODES, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createProxyServer } from 'http-proxy-3'
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { CredentialSource } from '../model/credentials.ts'
import { decide, indexDestinations } from '../model/destination.ts'
import { reason, type ReasonCode } from '../model/reasons.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { parseAuthority } from '../transport/authority.ts'
import { createHboneClient } from '../transport/hbone-client.ts'
import { splice } from '../transport/tunnel.ts'
import { claimsIdentity, endToEndHeaders } from './headers.ts'
import { createOpener, EntryError } from './open.ts'

export interface EntryOptions {
  /** The workload that enters: its identity decides what it sees. */
  readonly credentials: CredentialSource
  /** Loopback, unless whoever reaches the port may act as this identity. */
  readonly host: string
  /** 0 = any. */
  readonly port: number
  readonly clock: Clock
}

/** A local forward proxy into the mesh for a workload that is not captured. HTTP absolute-form, `Upgrade` and CONNECT. */
export interface Entry {
  readonly address: { readonly host: string; readonly port: number }
  /** Replaces the configuration; exchanges on their way are not touched. */
  readonly configure: (snapshot: Snapshot) => void
  /** Takes nothing new, waits for what is on its way, cuts what is left after `deadlineMs`. */
  readonly drain: (deadlineMs: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** Bytes of a request's head. More than waypoints accept, for theirs is the word on it. */
const maxHeaderBytes = 128 * 1024

type Open = (host: string, port: number, client: Socket) => Promise<Duplex>

/** @throws the listen error (`EADDRINUSE`, …) */
export async function startEntry(options: EntryOptions): Promise<Entry> {
  const { credentials, clock } = options
  const hbone = createHboneClient({ credentials, clock })
  const opener = createOpener(hbone)
  const { identity } = credentials
  let index: ReturnType<typeof indexDestinations> | undefined

  const open: Open = async (host, port, client) => {
    if (index === undefined) return Promise.reject(new EntryError('no-configuration', 'the first configuration has not arrived'))
    const from = client.remoteAddress?.includes(':') === true ? `"[${client.remoteAddress}]:${client.remotePort ?? 0}"` : `"${client.remoteAddress ?? 'unknown'}:${client.remotePort ?? 0}"`
    const headers = { forwarded: `for=${from}`, baggage: `k8s.namespace.name=${identity.namespace}` }
    const judgedBy = index
    return opener.open(decide(index, identity, host, port), headers).catch((error: unknown) => {
      // A waypoint that went while it was dialled: nothing was sent, and the present configuration may need another one or none.
      if (judgedBy === index || index === undefined || !(error instanceof EntryError) || error.reason !== 'no-waypoint') throw error
      return opener.open(decide(index, identity, host, port), headers)
    })
  }

  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000, noDelay: true, maxHeaderSize: maxHeaderBytes })
  const answering = new WeakSet<Duplex>()
  server.on('request', (request, response) => {
    const { socket } = request
    answering.add(socket)
    response.once('close', () => answering.delete(socket))
    void forward(request, response, open)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // In the middle of an answer, or before one that is on its way, ours would be taken for that one.
    if (error.code === 'ECONNRESET' || answering.has(socket)) socket.destroy()
    else refuseRaw(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 'header-too-large' : 'malformed-request', error.message)
  })
  server.on('connect', (request: IncomingMessage, client: Socket, head: Buffer) => {
    void tunnel(request, client, head, open)
  })
  server.on('upgrade', (request: IncomingMessage, client: Socket, head: Buffer) => {
    void upgrade(request, client, head, open)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', reject)
      resolve()
    })
  })

  const raw = new Set<Socket>()
  server.on('connection', (socket) => {
    raw.add(socket)
    socket.once('close', () => raw.delete(socket))
  })
  const { address, port } = server.address() as AddressInfo

  const stop = async (deadlineMs: number): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    const cancel = clock.after(deadlineMs, () => {
      for (const socket of raw) socket.destroy()
    })
    await closed
    cancel()
    hbone.close()
  }
  return {
    address: { host: address, port },
    configure: (snapshot) => {
      index = indexDestinations(snapshot)
    },
    drain: stop,
    close: () => {
      for (const socket of raw) socket.destroy()
      return stop(0)
    },
  }
}

/** Host, port and target of a request in absolute form. */
function absoluteForm(request: IncomingMessage): { host: string; port: number; target: string } | undefined {
  if (request.url === undefined || !/^http:\/\//i.test(request.url) || !URL.canParse(request.url)) return undefined
  const url = new URL(request.url)
  const rest = request.url.slice('http://'.length)
  const at = rest.search(/[/?#]/)
  // The target goes on as it was sent: the proxy that judges the path must see the caller's own spelling.
  const target = at === -1 ? '/' : rest.slice(at).replace(/^\?/, '/?')
  return { host: url.hostname, port: url.port === '' ? 80 : Number(url.port), target }
}

const notAProxyRequest =
  'this port is a forward proxy into the mesh; use it as `curl -x http://127.0.0.1:PORT http://SERVICE.NAMESPACE:PORT/`, or by CONNECT'

/** Each request has a tunnel of its own: it is cheap, and no kept-alive connection can be closed under a request. */
async function forward(request: IncomingMessage, response: ServerResponse, open: Open): Promise<void> {
  const destination = absoluteForm(request)
  if (destination === undefined) {
    refuse(response, 'malformed-request', notAProxyRequest)
    return
  }
  let stream: Duplex
  try {
    stream = await open(destination.host, destination.port, request.socket)
  } catch (error) {
    refuse(response, ...failure(error))
    return
  }
  if (response.destroyed) {
    stream.destroy()
    return
  }
  const upstream = sendOn(request, destination.target, stream)
  upstream.on('information', ({ statusCode, rawHeaders }) => {
    if (statusCode === 100) response.writeContinue()
    else if (statusCode === 103) hint(response, rawHeaders)
  })
  upstream.on('response', (answer) => {
    response.sendDate = false
    try {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEndHeaders(answer.rawHeaders))
    } catch (error) {
      // Node reads a status below 100 or a control character in the reason phrase, and throws when it is to write them.
      upstream.destroy()
      refuse(response, 'upstream-protocol', failure(error)[1])
      return
    }
    answer.on('data', (chunk: Buffer) => {
      if (!response.write(chunk)) answer.pause()
    })
    response.on('drain', () => answer.resume())
    answer.on('end', () => {
      if (answer.rawTrailers.length > 0) response.addTrailers(toEntries(answer.rawTrailers))
      response.end()
    })
    // Cut short: the client must not take it for the whole answer.
    answer.on('error', () => response.socket?.resetAndDestroy())
  })
  upstream.on('error', (error) => {
    if (response.headersSent) response.socket?.resetAndDestroy()
    else refuse(response, 'upstream-reset', error.message)
  })
  // Without an error the tunnel would be reset with NO_ERROR: its far end waits until all is read then, and nobody reads any more.
  response.on('close', () => upstream.destroy(response.writableFinished ? undefined : new Error('the client is gone')))
}

/** Passes a 103 on. Node throws at link values that it would not have written; a hint may be dropped, the answer comes all the same. */
function hint(response: ServerResponse, rawHeaders: readonly string[]): void {
  try {
    response.writeEarlyHints(pairs(rawHeaders))
  } catch {
    return
  }
}

function sendOn(request: IncomingMessage, target: string, stream: Duplex): ClientRequest {
  const headers = [...endToEndHeaders(request.rawHeaders), 'connection', 'close']
  if (request.headers['transfer-encoding'] !== undefined) headers.push('transfer-encoding', 'chunked')
  const upstream = httpRequest({ createConnection: () => stream, method: request.method ?? 'GET', path: target, headers, setHost: false })
  request.on('data', (chunk: Buffer) => {
    if (!upstream.write(chunk)) request.pause()
  })
  upstream.on('drain', () => request.resume())
  request.on('end', () => {
    if (request.rawTrailers.length > 0) upstream.addTrailers(toEntries(request.rawTrailers))
    upstream.end()
  })
  return upstream
}

async function tunnel(request: IncomingMessage, client: Socket, head: Buffer, open: Open): Promise<void> {
  client.on('error', () => {})
  const authority = parseAuthority(request.url ?? '')
  if (authority === undefined) {
    refuseRaw(client, 'malformed-request', 'CONNECT needs host:port')
    return
  }
  try {
    const stream = await open(authority.host, authority.port, client)
    if (client.destroyed) {
      stream.destroy()
      return
    }
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    if (head.length > 0) client.unshift(head)
    await splice(client, stream).done
  } catch (error) {
    refuseRaw(client, ...failure(error))
  }
}

/** Upgrades (WebSocket) are http-proxy-3's job: it knows the handshake, and no body of ours passes through it. */
async function upgrade(request: IncomingMessage, client: Socket, head: Buffer, open: Open): Promise<void> {
  client.on('error', () => {})
  const destination = absoluteForm(request)
  if (destination === undefined) {
    refuseRaw(client, 'malformed-request', notAProxyRequest)
    return
  }
  let stream: Duplex | undefined
  try {
    const opened = stream = await open(destination.host, destination.port, client)
    const agent = new Agent()
    agent.createConnection = () => socketLike(opened)
    request.url = destination.target
    for (const name of Object.keys(request.headers)) if (claimsIdentity(name)) Reflect.deleteProperty(request.headers, name)
    const proxy = createProxyServer({ agent, target: `http://${request.headers.host ?? destination.host}`, changeOrigin: false, xfwd: false })
    proxy.on('error', (error: Error) => refuseRaw(client, 'upstream-reset', error.message))
    proxy.ws(request, client, head)
  } catch (error) {
    stream?.destroy()
    refuseRaw(client, ...failure(error))
  }
}

/** http-proxy-3 sets options of TCP sockets; a tunnel has none of its own. */
function socketLike(stream: Duplex): Duplex {
  return 'setNoDelay' in stream ? stream : Object.assign(stream, { setNoDelay: () => stream, setKeepAlive: () => stream })
}

function failure(error: unknown): [ReasonCode, string] {
  if (error instanceof EntryError) return [error.reason, error.message]
  return ['connect-failure', messageOf(error)]
}

function refuse(response: ServerResponse, code: ReasonCode, detail: string): void {
  if (response.headersSent || response.destroyed) return
  const body = text(code, detail)
  const { status } = reason(code)
  // The phrase is named because a refused attempt to pass an answer on has left its own behind.
  response.writeHead(status, STATUS_CODES[status] ?? 'Refused', { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(body), 'x-waypoint-reason': code })
  response.end(body)
}

function refuseRaw(client: Duplex, code: ReasonCode, detail: string): void {
  if (!client.writable) return
  const body = text(code, detail)
  client.end(
    `HTTP/1.1 ${reason(code).status} Refused\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `x-waypoint-reason: ${code}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function text(code: ReasonCode, detail: string): string {
  const { message, advice } = reason(code)
  return `${message}: ${detail}\n${advice}\n`
}

/** Node takes trailers as pairs, not as a flat list. */
function toEntries(raw: readonly string[]): [string, string][] {
  const entries: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2) entries.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return entries
}

function pairs(raw: readonly string[]): Record<string, string | string[]> {
  const found: Record<string, string[]> = {}
  for (const [name, value] of toEntries(raw)) (found[name.toLowerCase()] ??= []).push(value)
  return found
}
