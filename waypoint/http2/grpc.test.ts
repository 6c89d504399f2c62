import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { EventEmitter } from 'node:events'
import http2 from 'node:http2'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import type { Client, Server } from '@grpc/grpc-js'
import { systemClock } from '../../src/kit/clock.ts'
import type { ExchangeHandler, ServerConnection } from '../exchange.ts'
import type { Dial, UpstreamFailure, UpstreamPool } from '../upstream.ts'
import { createHttp2Pool } from './pool.ts'
import { serveHttp2 } from './server.ts'
import { callUnary, echoClient, echoService, Metadata, startEcho, status } from './testing/grpc-services.ts'
import type { EchoHandlers } from './testing/grpc-services.ts'
import { relay } from './testing/relay.ts'

const limits = { maxHeaderBytes: 65536, maxHeaders: 128, maxTargetBytes: 8192, headTimeoutMs: 10_000, idleTimeoutMs: 60_000 }
const poolLimits = { maxConnections: 8, maxPending: 1024, idleTimeoutMs: 60_000, maxAgeMs: 3_600_000 }
const asIs = (value: Buffer): Buffer => value

/** The status of a call. Not by `once`, which fails at an 'error' that comes before. */
const statusOf = (call: EventEmitter): Promise<{ readonly code: number; readonly details: string; readonly metadata: Metadata }> =>
  new Promise((resolve) => call.on('error', () => {}).on('status', resolve))

describe('gRPC through the HTTP/2 server and pool', () => {
  const closers: (() => void)[] = []
  const failures: UpstreamFailure[] = []
  let connections: ServerConnection[] = []

  afterEach(() => {
    for (const close of closers.splice(0)) close()
    failures.length = 0
    connections = []
  })

  const dialPort = (port: number): Dial => async () => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  const poolTo = (port: number): UpstreamPool => {
    const pool = createHttp2Pool(dialPort(port), poolLimits, systemClock)
    closers.push(() => pool.destroy())
    return pool
  }
  const proxy = async (handler: ExchangeHandler): Promise<number> => {
    const server: NetServer = createServer({ noDelay: true }, (socket: Socket) => {
      socket.on('error', () => {})
      connections.push(serveHttp2(socket, handler, { limits, clock: systemClock, onProtocolError: () => {} }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => {
      for (const each of connections) each.destroy()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
  const echo = async (handlers: Partial<EchoHandlers>): Promise<{ readonly port: number; readonly server: Server }> => {
    const started = await startEcho(handlers)
    closers.push(() => started.server.forceShutdown())
    return started
  }
  const client = (port: number, options = {}): Client => {
    const made = echoClient(port, options)
    closers.push(() => made.close())
    return made
  }
  /** Server, proxy and client in a row. */
  const chain = async (handlers: Partial<EchoHandlers>): Promise<Client> => {
    const pool = poolTo((await echo(handlers)).port)
    return client(await proxy(relay(() => pool, (failure) => failures.push(failure))))
  }

  it('passes unary calls with metadata, binary metadata and trailers', async () => {
    const made = await chain({
      Unary: (call, callback) => {
        const trailer = new Metadata()
        trailer.set('x-trailer', 'last')
        trailer.set('x-trailer-bin', Buffer.from([0, 255, 10, 13]))
        const header = new Metadata()
        header.set('x-echo', String(call.metadata.get('x-in')[0]))
        header.set('x-echo-bin', call.metadata.get('x-in-bin')[0] as Buffer)
        call.sendMetadata(header)
        callback(null, Buffer.concat([call.request, Buffer.from('!')]), trailer)
      },
    })
    const metadata = new Metadata()
    metadata.set('x-in', 'hello')
    metadata.set('x-in-bin', Buffer.from([0, 1, 2, 253, 254, 255]))
    const result = await callUnary(made, Buffer.from('ping'), metadata)
    assert.equal(result.code, status.OK, result.details)
    assert.equal(result.message?.toString(), 'ping!')
    assert.deepEqual(result.header?.get('x-echo'), ['hello'])
    assert.deepEqual(result.header.get('x-echo-bin'), [Buffer.from([0, 1, 2, 253, 254, 255])])
    assert.deepEqual(result.trailer.get('x-trailer'), ['last'])
    assert.deepEqual(result.trailer.get('x-trailer-bin'), [Buffer.from([0, 255, 10, 13])])
  })

  it('passes client streaming, server streaming and bidirectional streaming', async () => {
    const made = await chain({
      Collect: (call, callback) => {
        const parts: Buffer[] = []
        call.on('data', (part: Buffer) => parts.push(part))
        call.on('end', () => callback(null, Buffer.concat(parts)))
      },
      Repeat: (call) => {
        for (let i = 0; i < 5; i++) call.write(Buffer.from(`${call.request.toString()}${i}`))
        call.end()
      },
      Chat: (call) => {
        call.on('data', (part: Buffer) => call.write(Buffer.from(part.toString().toUpperCase())))
        call.on('end', () => call.end())
      },
    })
    const collected = await new Promise<Buffer | undefined>((resolve, reject) => {
      const call = made.makeClientStreamRequest(echoService.Collect.path, asIs, asIs, (error, value) => (error === null ? resolve(value) : reject(error)))
      for (const part of ['a', 'b', 'c']) call.write(Buffer.from(part))
      call.end()
    })
    assert.equal(collected?.toString(), 'abc')

    const repeated: string[] = []
    const repeat = made.makeServerStreamRequest(echoService.Repeat.path, asIs, asIs, Buffer.from('n'))
    repeat.on('data', (part: Buffer) => repeated.push(part.toString()))
    await once(repeat, 'end')
    assert.deepEqual(repeated, ['n0', 'n1', 'n2', 'n3', 'n4'])

    // Ping-pong: each message waits for the answer to the one before, so nothing may be held back anywhere.
    const chat = made.makeBidiStreamRequest(echoService.Chat.path, asIs, asIs)
    for (const word of ['one', 'two', 'three']) {
      chat.write(Buffer.from(word))
      const [answer] = (await once(chat, 'data')) as [Buffer]
      assert.equal(answer.toString(), word.toUpperCase())
    }
    chat.end()
    const last = await statusOf(chat)
    assert.equal(last.code, status.OK)
  })

  it('passes errors in trailers-only answers and after messages, with their details', async () => {
    const details = new Metadata()
    details.set('grpc-status-details-bin', Buffer.from([8, 5, 18, 3]))
    const made = await chain({
      Unary: (_call, callback) => callback({ code: status.NOT_FOUND, details: 'no such book: 100 % gone, ü', metadata: details }),
      Repeat: (call) => {
        call.write(Buffer.from('first'))
        call.emit('error', { code: status.DATA_LOSS, details: 'shelf fell over', metadata: details })
      },
    })
    const result = await callUnary(made, Buffer.from('x'))
    assert.equal(result.code, status.NOT_FOUND)
    assert.equal(result.details, 'no such book: 100 % gone, ü')
    assert.deepEqual(result.trailer.get('grpc-status-details-bin'), [Buffer.from([8, 5, 18, 3])])
    const call = made.makeServerStreamRequest(echoService.Repeat.path, asIs, asIs, Buffer.alloc(0))
    let received = 0
    call.on('data', () => received++)
    const last = await statusOf(call)
    assert.deepEqual([received, last.code, last.details], [1, status.DATA_LOSS, 'shelf fell over'])
    assert.deepEqual(last.metadata.get('grpc-status-details-bin'), [Buffer.from([8, 5, 18, 3])])
  })

  it('tells a method that the server lacks as the server does', async () => {
    const result = await callUnary(await chain({}), Buffer.alloc(0))
    assert.equal(result.code, status.UNIMPLEMENTED)
  })

  it('passes the deadline on and cancels the call at the server when it passes', async () => {
    let remainingMs = 0
    const cancelled = Promise.withResolvers<undefined>()
    const made = await chain({
      Unary: (call) => {
        remainingMs = Number(call.getDeadline()) - Date.now()
        call.on('cancelled', () => cancelled.resolve(undefined))
      },
    })
    const result = await callUnary(made, Buffer.from('x'), new Metadata(), { deadline: Date.now() + 400 })
    assert.equal(result.code, status.DEADLINE_EXCEEDED)
    assert.ok(remainingMs <= 400, `the server saw ${remainingMs} ms`)
    await cancelled.promise
  })

  it('passes a client\'s cancellation to the server', async () => {
    const started = Promise.withResolvers<undefined>()
    const cancelled = Promise.withResolvers<undefined>()
    const made = await chain({
      Chat: (call) => {
        call.on('data', () => started.resolve(undefined))
        call.on('cancelled', () => cancelled.resolve(undefined))
      },
    })
    const chat = made.makeBidiStreamRequest(echoService.Chat.path, asIs, asIs)
    chat.write(Buffer.from('x'))
    await started.promise
    chat.cancel()
    const last = await statusOf(chat)
    assert.equal(last.code, status.CANCELLED)
    await cancelled.promise
  })

  it('ends a call whose server dies with an error, never as complete', async () => {
    const started = await echo({ Repeat: (call) => void call.write(Buffer.from('half')) })
    const pool = poolTo(started.port)
    const made = client(await proxy(relay(() => pool)))
    const call = made.makeServerStreamRequest(echoService.Repeat.path, asIs, asIs, Buffer.alloc(0))
    await once(call, 'data')
    started.server.forceShutdown()
    const last = await statusOf(call)
    assert.notEqual(last.code, status.OK)
  })

  it('passes an answer that comes before the request is complete, and frees the stream', async () => {
    const pool = poolTo((await echo({ Collect: (_call, callback) => callback({ code: status.INVALID_ARGUMENT, details: 'enough' }) })).port)
    const made = client(await proxy(relay(() => pool)))
    const result = await new Promise<{ code: number }>((resolve) => {
      const call = made.makeClientStreamRequest(echoService.Collect.path, asIs, asIs, () => {})
      call.on('status', resolve)
      call.write(Buffer.from('a'))
    })
    assert.equal(result.code, status.INVALID_ARGUMENT)
    assert.equal(pool.inFlight(), 0)
  })

  it('passes large messages both ways while neither end nor the proxy holds them whole', async () => {
    const made = await chain({ Unary: (call, callback) => callback(null, call.request) })
    const big = Buffer.alloc(24 * 1024 * 1024, 'x')
    big.write('start')
    big.write('end', big.length - 3)
    const result = await callUnary(made, big)
    assert.equal(result.code, status.OK, result.details)
    assert.ok(result.message !== undefined && result.message.equals(big))
  })

  it('holds a fast server back when the client does not read', async () => {
    let written = 0
    let drains = 0
    const part = Buffer.alloc(64 * 1024)
    const pool = poolTo((await echo({
      Repeat: (call) => {
        const pump = (): void => {
          while (written < 1000) {
            written++
            if (!call.write(part)) {
              call.once('drain', () => {
                drains++
                pump()
              })
              return
            }
          }
          call.end()
        }
        pump()
      },
    })).port)
    // Not grpc-js: its client takes whatever comes, read or not.
    const session = http2.connect(`http://127.0.0.1:${await proxy(relay(() => pool))}`)
    closers.push(() => session.destroy())
    const stream = session.request({ ':method': 'POST', ':path': echoService.Repeat.path, 'content-type': 'application/grpc', 'te': 'trailers' })
    stream.end(Buffer.alloc(5))
    await once(stream, 'response')
    // It stands still once nothing moves any more between two looks.
    for (let before = -1; before !== drains; ) {
      before = drains
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    assert.ok(written < 200, `${written} of 1000 parts were written`)
    let received = 0
    stream.on('data', (got: Buffer) => (received += got.length))
    await once(stream, 'end')
    assert.equal(received, 1000 * (part.length + 5))
  })

  it('carries 200 concurrent calls of one client connection', async () => {
    let open = 0
    const all = Promise.withResolvers<undefined>()
    const made = await chain({
      Chat: (call) => {
        if (++open === 200) all.resolve(undefined)
        call.on('data', (part: Buffer) => call.write(part))
        call.on('end', () => call.end())
      },
    })
    const chats = Array.from({ length: 200 }, () => made.makeBidiStreamRequest(echoService.Chat.path, asIs, asIs))
    chats.forEach((chat, i) => chat.write(Buffer.from(`hello ${i}`)))
    await all.promise
    assert.equal(connections.length, 1)
    const answers = await Promise.all(chats.map(async (chat) => String(((await once(chat, 'data')) as [Buffer])[0])))
    assert.deepEqual(answers, chats.map((_chat, i) => `hello ${i}`))
    const codes = chats.map(async (chat) => (await statusOf(chat)).code)
    for (const chat of chats) chat.end()
    assert.deepEqual(new Set(await Promise.all(codes)), new Set([status.OK]))
  })

  it('balances single calls inside one client connection', async () => {
    const named = (name: string): Partial<EchoHandlers> => ({ Unary: (_call, callback) => callback(null, Buffer.from(name)) })
    const pools = [poolTo((await echo(named('a'))).port), poolTo((await echo(named('b'))).port)]
    let turn = 0
    const made = client(await proxy(relay(() => pools[turn++ % 2]!)))
    const seen: string[] = []
    for (let i = 0; i < 6; i++) seen.push(String((await callUnary(made, Buffer.alloc(0))).message))
    assert.deepEqual(seen, ['a', 'b', 'a', 'b', 'a', 'b'])
    assert.equal(connections.length, 1)
  })

  it('loses no call when an endpoint drains in the middle', async () => {
    const handlers: Partial<EchoHandlers> = { Unary: (call, callback) => setTimeout(() => callback(null, call.request), 5) }
    const first = await echo(handlers)
    const second = await echo(handlers)
    let dials = 0
    const pool = createHttp2Pool(() => dialPort(dials++ === 0 ? first.port : second.port)(), { ...poolLimits, maxConnections: 1 }, systemClock)
    closers.push(() => pool.destroy())
    const made = client(await proxy(relay(() => pool, (failure) => failures.push(failure))))
    const codes: number[] = []
    let drained: Promise<unknown> | undefined
    for (let round = 0; round < 10; round++) {
      const calls = Array.from({ length: 20 }, () => callUnary(made, Buffer.from('x')))
      if (round === 4) drained = new Promise((resolve) => first.server.tryShutdown(resolve))
      for (const result of await Promise.all(calls)) codes.push(result.code)
    }
    await drained
    assert.deepEqual(failures.filter((failure) => failure.maybeProcessed), [])
    assert.deepEqual(codes.filter((code) => code !== 0), [])
    assert.equal(dials, 2)
  })

  it('loses no call when the proxy\'s own connection drains in the middle', async () => {
    const made = await chain({ Unary: (call, callback) => setTimeout(() => callback(null, call.request), 5) })
    const codes: number[] = []
    for (let round = 0; round < 6; round++) {
      const calls = Array.from({ length: 20 }, () => callUnary(made, Buffer.from('x')))
      if (round === 3) connections[0]?.drain()
      for (const result of await Promise.all(calls)) codes.push(result.code)
    }
    assert.deepEqual(codes.filter((code) => code !== 0), [])
    assert.ok(connections.length > 1, 'the client made a new connection')
  })

  it('passes compressed messages as they are', async () => {
    const seen: unknown[] = []
    const pool = poolTo((await echo({
      Unary: (call, callback) => {
        seen.push(call.metadata.get('x-mark')[0])
        callback(null, call.request)
      },
    })).port)
    const encodings: string[] = []
    const made = client(
      await proxy((exchange) => {
        const at = exchange.head.headers.indexOf('grpc-encoding')
        encodings.push(at < 0 ? 'none' : String(exchange.head.headers[at + 1]))
        relay(() => pool)(exchange)
      }),
      { 'grpc.default_compression_algorithm': 2 },
    )
    const metadata = new Metadata()
    metadata.set('x-mark', '1')
    const text = Buffer.from('compress me '.repeat(1000))
    const result = await callUnary(made, text, metadata)
    assert.equal(result.code, status.OK, result.details)
    assert.ok(result.message?.equals(text))
    assert.deepEqual([encodings, seen], [['gzip'], ['1']])
  })
})
