import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../../src/kit/clock.ts'
import type { Clock } from '../../../src/kit/clock.ts'
import type { ExchangeHandler, HeaderList, ServerConnection, ServerExchange, ServerLimits } from '../../exchange.ts'
import type { BodyLength } from '../../exchange.ts'
import type { PoolLimits, UpstreamFailure, UpstreamHandler, UpstreamHead, UpstreamPool, UpstreamStream } from '../../upstream.ts'
import { serveHttp1 } from '../server.ts'

export const limits: ServerLimits = { maxHeaderBytes: 16 * 1024, maxHeaders: 100, maxTargetBytes: 4096, headTimeoutMs: 10_000, idleTimeoutMs: 60_000 }
export const poolLimits: PoolLimits = { maxConnections: 8, maxPending: 8, idleTimeoutMs: 30_000, maxAgeMs: 300_000 }

/** What a test opened, closed after each of its cases. */
const opened: (() => void)[] = []

/** Closes everything that the harness opened since the last call. */
export function closeAll(): void {
  for (const close of opened.splice(0)) close()
}

/** Runs `close` at the end of the test. */
export function later(close: () => void): void {
  opened.push(close)
}

/** Listens on loopback and gives the port. */
export async function listen(onSocket: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    onSocket(socket)
  })
  later(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

export interface Served {
  readonly port: number
  readonly exchanges: ServerExchange[]
  readonly connections: ServerConnection[]
  readonly streams: Duplex[]
  /** Reasons and details of what was refused. */
  readonly errors: [string, string][]
}

/** A server of ours on loopback. */
export async function serve(handler: ExchangeHandler, options: { clock?: Clock; limits?: Partial<ServerLimits> } = {}): Promise<Served> {
  const served: Omit<Served, 'port'> = { exchanges: [], connections: [], streams: [], errors: [] }
  const port = await listen((socket) => {
    served.streams.push(socket)
    served.connections.push(
      serveHttp1(
        socket,
        (exchange) => {
          served.exchanges.push(exchange)
          handler(exchange)
        },
        {
          limits: { ...limits, ...options.limits },
          clock: options.clock ?? systemClock,
          onProtocolError: (reason, detail) => {
            served.errors.push([reason, detail])
            return ['x-waypoint-reason', reason]
          },
        },
      ),
    )
  })
  return { port, ...served }
}

/** Reads a body to its end. */
export function readBody(exchange: ServerExchange): Promise<{ body: Buffer; trailers: HeaderList }> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    exchange.body.start({
      onData: (chunk) => parts.push(chunk),
      onEnd: (trailers) => resolve({ body: Buffer.concat(parts), trailers }),
      onAbort: reject,
    })
  })
}

/** Answers each request with its own body. */
export const echo: ExchangeHandler = (exchange) => {
  readBody(exchange).then(
    ({ body }) => {
      exchange.sendHead(200, [], body.length)
      exchange.sendData(body)
      exchange.sendEnd()
    },
    () => {},
  )
}

/** Answers each request with `text`, its body unread. */
export function say(text = 'ok'): ExchangeHandler {
  return (exchange) => {
    exchange.sendHead(200, [], text.length)
    exchange.sendData(Buffer.from(text))
    exchange.sendEnd()
  }
}

export interface Talk {
  readonly socket: net.Socket
  /** All that came so far, as latin1. */
  readonly text: () => string
  /** Resolves when `text` fits `pattern`. */
  readonly until: (pattern: RegExp) => Promise<string>
  /** Resolves with how the connection ended. */
  readonly closed: Promise<'end' | 'reset'>
}

/** A raw client. */
export function talk(port: number, bytes?: string | Buffer): Talk {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  later(() => socket.destroy())
  let text = ''
  let check = (): void => {}
  let ended = false
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    check()
  })
  const closed = new Promise<'end' | 'reset'>((resolve) => {
    socket.on('end', () => {
      ended = true
      socket.end()
      resolve('end')
      check()
    })
    socket.on('error', () => resolve('reset'))
    socket.on('close', () => {
      resolve(ended ? 'end' : 'reset')
      check()
    })
  })
  if (bytes !== undefined) socket.write(bytes, 'latin1')
  return {
    socket,
    text: () => text,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        check = () => {
          if (pattern.test(text)) resolve(text)
          else if (ended || socket.destroyed) reject(new Error(`the connection ended before ${pattern.source}: ${text}`))
        }
        check()
      }),
    closed,
  }
}

/** Sends `bytes`, gives all that came back when the connection has ended. */
export async function ask(port: number, bytes: string | Buffer): Promise<string> {
  const client = talk(port, bytes)
  await client.closed
  return client.text()
}

/** A dial to a port of loopback. */
export function dialTo(port: number): () => Promise<net.Socket> {
  return async () => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    later(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
}

export interface Outcome {
  readonly informational: number[]
  readonly status: number | undefined
  readonly headers: HeaderList
  readonly length: BodyLength
  readonly body: string
  readonly trailers: HeaderList
  readonly failure: UpstreamFailure | undefined
  readonly upgraded: Duplex | undefined
}

export interface Asked {
  readonly stream: UpstreamStream
  readonly outcome: Promise<Outcome>
  readonly seen: () => Outcome
}

/** A request through `pool`; every call to the handler is noted. */
export function send(pool: UpstreamPool, head: Partial<UpstreamHead> = {}, more: Partial<UpstreamHandler> = {}): Asked {
  let seen: Outcome = { informational: [], status: undefined, headers: [], length: undefined, body: '', trailers: [], failure: undefined, upgraded: undefined }
  let stream: UpstreamStream | undefined
  let over = false
  const outcome = new Promise<Outcome>((resolve, reject) => {
    const note = (change: Partial<Outcome>, last: boolean): void => {
      if (over) reject(new Error('the handler was called after its end'))
      seen = { ...seen, ...change }
      over = last
      if (last) resolve(seen)
    }
    stream = pool.request(
      { method: 'GET', scheme: 'http', authority: 'up.test', target: '/', headers: [], length: 0, ...head },
      {
        onInformational: (status, headers) => {
          note({ informational: [...seen.informational, status] }, false)
          more.onInformational?.(status, headers)
        },
        onHead: (status, headers, length) => {
          note({ status, headers, length }, false)
          more.onHead?.(status, headers, length)
        },
        onData: (chunk) => {
          note(more.onData === undefined ? { body: seen.body + chunk.toString('latin1') } : {}, false)
          more.onData?.(chunk)
        },
        onEnd: (trailers) => {
          note({ trailers }, true)
          more.onEnd?.(trailers)
        },
        onFailure: (failure) => {
          note({ failure }, true)
          more.onFailure?.(failure)
        },
        onDrain: () => more.onDrain?.(),
        onUpgrade: (headers, upgraded) => {
          note({ headers, upgraded }, true)
          more.onUpgrade?.(headers, upgraded)
        },
      },
    )
  })
  if (stream === undefined) throw new Error('unreachable')
  return { stream, outcome, seen: () => seen }
}

/** A proxy: each request goes on through `pool`, with back-pressure both ways. */
export function forward(pool: UpstreamPool, note: (head: ServerExchange['head'], body: Buffer) => void = () => {}): ExchangeHandler {
  return (exchange) => {
    const { head, body } = exchange
    const parts: Buffer[] = []
    const request: UpstreamHead = { method: head.method, scheme: 'http', authority: head.authority, target: head.target, headers: head.headers, length: body.length }
    const stream = pool.request(head.upgrade === undefined ? request : { ...request, upgrade: head.upgrade }, {
      onInformational: (status, headers) => exchange.sendInformational(status, headers),
      onHead: (status, headers, length) => exchange.sendHead(status, headers, length),
      onData: (chunk) => {
        if (!exchange.sendData(chunk)) stream.pause()
      },
      onEnd: (trailers) => exchange.sendEnd(trailers),
      onFailure: () => exchange.abort(),
      onDrain: () => body.resume(),
      onUpgrade: (headers, upgraded) => {
        const client = exchange.switchProtocols(headers)
        client.pipe(upgraded).pipe(client)
        client.on('error', () => upgraded.destroy())
        upgraded.on('error', () => client.destroy())
      },
    })
    exchange.onDrain = () => stream.resume()
    exchange.onClientGone = () => stream.abort()
    body.start({
      onData: (chunk) => {
        parts.push(chunk)
        if (!stream.write(chunk)) body.pause()
      },
      onEnd: (trailers) => {
        note(head, Buffer.concat(parts))
        stream.end(trailers)
      },
      onAbort: () => stream.abort(),
    })
  }
}

/** Waits until `condition` holds, turn by turn of the event loop. */
export async function eventually(condition: () => boolean): Promise<void> {
  const start = performance.now()
  while (!condition()) {
    if (performance.now() - start > 10_000) throw new Error(`it never came to ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
