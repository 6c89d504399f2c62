import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2'
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Echo } from './protocol.ts'
import { startGrpc } from './grpc.ts'
import { memory, type Memory } from './memory.ts'
import { acceptWebSocket } from './websocket.ts'
import { who } from './config.ts'

export interface Ports {
  /** HTTP/1.1, HTTP/2 without TLS, WebSocket. */
  readonly http: number
  readonly grpc: number
  /** Speaks first, then echoes. */
  readonly tcp: number
  /** Sends each datagram's sender its own address back. */
  readonly udp: number
}

export interface Application {
  readonly ports: Ports
  /** Goes on serving until nothing but probes has come for `quietMs`, at most `deadlineMs`; closes kept-alive connections with their next answer. */
  readonly end: (quietMs: number, deadlineMs: number) => Promise<void>
}

/** Starts the test application; 0 in `ports` takes any. @param usual the status of answers that nothing else asks for */
export async function startApplication(ports: Ports, usual = 200): Promise<Application> {
  const seen = memory()
  const state = { ending: false, last: Date.now(), busy: 0 }
  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<Socket>()

  const handle = (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void => {
    // The kubelet goes on asking a pod that ends whether it is ready: that is no traffic.
    if (request.headers['user-agent']?.startsWith('kube-probe/') !== true) {
      state.last = Date.now()
      state.busy++
      response.once('close', () => {
        state.busy--
        state.last = Date.now()
      })
    }
    answer(request, response, seen, { ending: state.ending, usual }).catch(() => response.destroy())
  }

  const http1 = createHttp({ keepAliveTimeout: 120_000, maxHeaderSize: 128 * 1024 }, handle as (request: IncomingMessage, response: ServerResponse) => void)
  http1.on('upgrade', (request, socket) => acceptWebSocket(request, socket))
  const http2 = createHttp2({}, handle as (request: Http2ServerRequest, response: Http2ServerResponse) => void)
  http2.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  // Both versions on one port: an HTTP/2 client's first bytes are its preface.
  const front = createTcp({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.unshift(first)
      ;(first.toString('latin1', 0, 3) === 'PRI' ? http2 : http1).emit('connection', socket)
      process.nextTick(() => socket.resume())
    })
  })

  const tcp = createTcp({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.write(`${JSON.stringify({ pod: who.pod, version: who.version })}\n`)
    socket.pipe(socket)
  })
  const grpc = await startGrpc(ports.grpc, (busy) => {
    state.busy += busy
    state.last = Date.now()
  })
  const datagrams = createSocket('udp4', (_message, { address, port }) => datagrams.send(JSON.stringify({ version: who.version, from: `${address}:${port}` }), port, address))
  datagrams.on('error', () => {})
  datagrams.bind(ports.udp)
  await once(datagrams, 'listening')
  const bound = { http: await listen(front, ports.http), grpc: grpc.port, tcp: await listen(tcp, ports.tcp), udp: datagrams.address().port }

  return {
    ports: bound,
    end: async (quietMs, deadlineMs) => {
      state.ending = true
      const start = Date.now()
      state.last = start
      await wait(Math.min(quietMs, deadlineMs))
      // Whoever keeps HTTP/2 connections learns of the end by GOAWAY; open streams finish.
      for (const session of sessions) session.close()
      while (Date.now() - start < deadlineMs && (state.busy > 0 || Date.now() - state.last < quietMs)) await wait(50)
      front.close()
      for (const socket of sockets) socket.destroy()
      tcp.close()
      datagrams.close()
      await grpc.end(Math.max(0, deadlineMs - (Date.now() - start)))
    },
  }
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return (server.address() as AddressInfo).port
}

/**
 * Says what arrived. The query asks for more: `status=503`, `delay=MS`, `header=name:value` (repeated), `failon=VERSION` (only that version fails),
 * `fails=N&key=K` (the first N requests with that key fail), `stream=N&every=MS`, `reset`, `size=BYTES`.
 * `/status/NNN` and `/delay/MS` are short for the first two; `/seen?key=K` says what came with `x-key: K`.
 */
async function answer(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse, seen: Memory, { ending, usual }: { readonly ending: boolean; readonly usual: number }): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://application')
  const query = url.searchParams
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const echo = echoOf(request, Buffer.concat(chunks).toString())
  const key = echo.headers['x-key']?.[0]
  if (key !== undefined) seen.remember(key, echo)

  const [, word, value] = url.pathname.split('/')
  const delayMs = Number(word === 'delay' ? value : (query.get('delay') ?? 0))
  if (delayMs > 0) await wait(Math.min(delayMs, 60_000))
  if (query.has('reset') && fails(query, seen)) {
    request.socket.destroy()
    return
  }
  for (const header of query.getAll('header')) {
    const colon = header.indexOf(':')
    response.appendHeader(header.slice(0, colon), header.slice(colon + 1))
  }
  if (ending && request.httpVersion === '1.1') response.setHeader('connection', 'close')
  response.statusCode = fails(query, seen) ? Number(word === 'status' ? value : (query.get('status') ?? usual)) : 200
  const streams = Number(query.get('stream') ?? 0)
  for (let at = 0; at < streams; at++) {
    ;(response as ServerResponse).write(`${at}\n`)
    await wait(Number(query.get('every') ?? 10))
  }
  if (streams > 0) {
    response.end()
    return
  }
  const size = Number(query.get('size') ?? 0)
  response.setHeader('content-type', size > 0 ? 'text/plain' : 'application/json')
  response.end(size > 0 ? 'x'.repeat(Math.min(size, 64 << 20)) : JSON.stringify(url.pathname === '/seen' ? seen.of(query.get('key') ?? '') : echo))
}

/** Whether the status that was asked for is given, or a plain 200. */
function fails(query: URLSearchParams, seen: Memory): boolean {
  const on = query.get('failon')
  if (on !== null && on !== who.version) return false
  const times = query.get('fails')
  return times === null || seen.count(`fails ${query.get('key') ?? ''}`) <= Number(times)
}

function echoOf(request: IncomingMessage | Http2ServerRequest, body: string): Echo {
  const headers: Record<string, string[]> = {}
  const { rawHeaders } = request
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) (headers[(rawHeaders[at] ?? '').toLowerCase()] ??= []).push(rawHeaders[at + 1] ?? '')
  const { localAddress, localPort, remoteAddress = '' } = request.socket
  return { ...who, method: request.method ?? '', path: request.url ?? '', headers, body, http: request.httpVersion, local: `${localAddress ?? ''}:${localPort ?? 0}`, peer: remoteAddress.replace(/^::ffff:/, '') }
}
