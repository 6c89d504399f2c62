import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../src/kit/clock.ts'
import type { ExchangeHandler, ServerExchange } from '../exchange.ts'
import type { Dial } from '../upstream.ts'
import { createHttp1Pool } from './pool.ts'
import { serveHttp1 } from './server.ts'
import { closeAll, eventually, forward, later, limits, poolLimits, readBody, send } from './testing/harness.ts'

interface Tunnels {
  readonly dial: Dial
  /** The streams at the accepting end. */
  readonly accepted: http2.ServerHttp2Stream[]
  readonly sessions: http2.ServerHttp2Session[]
}

/** A peer that takes CONNECT streams, over real sockets, and a dial that opens them on one session. */
async function tunnels(onTunnel: (stream: Duplex) => void): Promise<Tunnels> {
  const accepted: http2.ServerHttp2Stream[] = []
  const sessions: http2.ServerHttp2Session[] = []
  const server = http2.createServer({ settings: { initialWindowSize: 256 * 1024 } })
  server.on('session', (session) => sessions.push(session))
  server.on('stream', (stream) => {
    accepted.push(stream)
    stream.on('error', () => {})
    stream.respond({ ':status': 200 })
    onTunnel(stream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { settings: { initialWindowSize: 256 * 1024 } })
  session.on('error', () => {})
  await once(session, 'connect')
  later(() => {
    session.destroy()
    for (const each of sessions) each.destroy()
    server.close()
  })
  const dial: Dial = async () => {
    const stream = session.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    await once(stream, 'response')
    return stream
  }
  return { dial, accepted, sessions }
}

/** Tunnels into a server of ours, and a pool that goes through them. */
async function serveTunnels(handler: ExchangeHandler): Promise<Tunnels & { pool: ReturnType<typeof createHttp1Pool> }> {
  const ends = await tunnels((stream) => serveHttp1(stream, handler, { limits, clock: systemClock }))
  const pool = createHttp1Pool(ends.dial, poolLimits, systemClock)
  later(() => pool.destroy())
  return { ...ends, pool }
}

const echo: ExchangeHandler = (exchange) => {
  readBody(exchange).then(
    ({ body, trailers }) => {
      exchange.sendHead(200, ['x-target', exchange.head.target], undefined)
      exchange.sendData(body)
      exchange.sendEnd(trailers)
    },
    () => {},
  )
}

describe('HTTP/1.1 in an HTTP/2 CONNECT tunnel', () => {
  afterEach(closeAll)

  it('serves many requests on one stream', async () => {
    const { pool, accepted } = await serveTunnels(echo)
    for (let i = 0; i < 20; i++) {
      const { stream, outcome } = send(pool, { method: 'POST', target: `/${i}`, length: i % 2 === 0 ? 5 : undefined })
      stream.write(Buffer.from('hello'))
      stream.end(['x-t', String(i)])
      const got = await outcome
      assert.deepEqual([got.status, got.headers, got.body, got.trailers], [200, ['x-target', `/${i}`], 'hello', i % 2 === 0 ? [] : ['x-t', String(i)]])
    }
    assert.equal(accepted.length, 1)
  })

  it('goes through a proxy that is a tunnel on both sides', async () => {
    const origin = await serveTunnels(echo)
    const { pool } = await serveTunnels(forward(origin.pool))
    const asked = Array.from({ length: 8 }, (_, i) => {
      const one = send(pool, { method: 'POST', target: `/${i}`, length: undefined })
      one.stream.write(Buffer.alloc(50_000, 97 + i))
      one.stream.end(['x-t', 'y'])
      return one.outcome
    })
    for (const [i, got] of (await Promise.all(asked)).entries()) {
      assert.equal(got.body, String.fromCharCode(97 + i).repeat(50_000))
      assert.deepEqual(got.trailers, ['x-t', 'y'])
    }
  })

  it('takes a clean end of the stream as the end of a body without a length', async () => {
    const { dial } = await tunnels((stream) => {
      stream.once('data', () => stream.end('HTTP/1.1 200 OK\r\n\r\nwhole'))
    })
    const pool = createHttp1Pool(dial, poolLimits, systemClock)
    const got = await send(pool).outcome
    assert.deepEqual([got.body, got.failure], ['whole', undefined])
  })

  it('takes a reset of the stream as upstream-reset, never as that end', async () => {
    const { dial, accepted } = await tunnels((stream) => {
      stream.once('data', () => stream.write('HTTP/1.1 200 OK\r\n\r\npart'))
    })
    const pool = createHttp1Pool(dial, poolLimits, systemClock)
    const { outcome, seen } = send(pool)
    await eventually(() => seen().body === 'part')
    accepted[0]?.destroy(new Error('reset'))
    assert.equal((await outcome).failure?.reason, 'upstream-reset')
  })

  it('takes a reset as one although the taker paused with bytes still unread', async () => {
    const { dial, accepted } = await tunnels((stream) => {
      stream.once('data', () => stream.write('HTTP/1.1 200 OK\r\n\r\npart'))
    })
    const pool = createHttp1Pool(dial, poolLimits, systemClock)
    const asked = send(pool, {}, { onData: () => asked.stream.pause() })
    await eventually(() => asked.seen().status === 200)
    accepted[0]?.write('more')
    await new Promise((resolve) => setImmediate(resolve))
    accepted[0]?.destroy(new Error('reset'))
    setImmediate(() => asked.stream.resume())
    assert.equal((await asked.outcome).failure?.reason, 'upstream-reset')
  })

  it('takes the death of the whole session as upstream-reset', async () => {
    for (const how of ['end', 'reset'] as const) {
      const { dial, sessions } = await tunnels((stream) => {
        stream.once('data', () => stream.write('HTTP/1.1 200 OK\r\n\r\npart'))
      })
      const pool = createHttp1Pool(dial, poolLimits, systemClock)
      const { outcome, seen } = send(pool)
      await eventually(() => seen().body === 'part')
      const session = sessions[0]
      assert.ok(session)
      if (how === 'reset') session.destroy(new Error('gone'), http2.constants.NGHTTP2_INTERNAL_ERROR)
      else session.destroy()
      assert.equal((await outcome).failure?.reason, 'upstream-reset', how)
    }
  })

  it('shows an aborted answer as a reset of the stream', async () => {
    for (const length of [undefined, 100]) {
      let exchange: ServerExchange | undefined
      const { pool } = await serveTunnels((each) => {
        exchange = each
        each.sendHead(200, [], length)
        each.sendData(Buffer.from('part'))
      })
      const { outcome, seen } = send(pool)
      await eventually(() => seen().body === 'part')
      exchange?.abort()
      const { failure } = await outcome
      assert.deepEqual([failure?.reason, failure?.detail.includes('reset') || failure?.detail.includes('failed')], ['upstream-reset', true])
    }
  })

  it('tells the handler that the client is gone when the request is given up', async () => {
    const notes: string[] = []
    const { pool } = await serveTunnels((exchange) => {
      exchange.onClientGone = () => notes.push('gone')
      exchange.body.start({ onData: () => notes.push('data'), onEnd: () => notes.push('end'), onAbort: () => notes.push('abort') })
    })
    const waiting = send(pool)
    await eventually(() => notes.length === 1)
    waiting.stream.abort()
    await eventually(() => notes.length === 2)
    assert.deepEqual(notes.splice(0), ['end', 'gone'])
    const sending = send(pool, { method: 'POST', length: 10 })
    sending.stream.write(Buffer.from('12345'))
    await eventually(() => notes.length === 1)
    sending.stream.abort()
    await eventually(() => notes.length === 3)
    assert.deepEqual(notes, ['data', 'abort', 'gone'])
  })

  it('tells the handler so even if its body stands still and unread bytes are there', async () => {
    const notes: string[] = []
    const { pool, accepted } = await serveTunnels((exchange) => (exchange.onClientGone = () => notes.push('gone')))
    const { stream } = send(pool, { method: 'POST', length: undefined })
    stream.write(Buffer.alloc(4000))
    await eventually(() => accepted[0]?.isPaused() === true)
    stream.abort()
    await eventually(() => notes.length === 1)
  })

  it('answers a client that ended its half of the stream', async () => {
    const { dial } = await serveTunnels((exchange) => setTimeout(() => echo(exchange), 5))
    const stream = await dial()
    stream.end('GET /half HTTP/1.1\r\nHost: a\r\n\r\n')
    let text = ''
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await once(stream, 'end')
    assert.match(text, /^HTTP\/1\.1 200 OK\r\nx-target: \/half\r\n/)
    assert.match(text, /0\r\n\r\n$/)
  })

  it('hands the stream over for an upgrade, both ways', async () => {
    const { pool } = await serveTunnels((exchange) => {
      const raw = exchange.switchProtocols([])
      raw.pipe(raw)
    })
    const { upgraded } = await send(pool, { upgrade: 'echo' }).outcome
    assert.ok(upgraded)
    upgraded.write('ping')
    const [chunk] = (await once(upgraded, 'data')) as [Buffer]
    assert.equal(chunk.toString(), 'ping')
    upgraded.end()
    await once(upgraded, 'end')
  })

  it('keeps a bounded buffer for a slow reader behind a proxy of tunnels', async () => {
    const total = 32 * 1024 * 1024
    const piece = Buffer.alloc(128 * 1024, 'z')
    let sent = 0
    const origin = await serveTunnels((exchange) => {
      exchange.sendHead(200, [], total)
      const more = (): void => {
        while (sent < total) {
          sent += piece.length
          if (!exchange.sendData(piece)) return
        }
        exchange.sendEnd()
      }
      exchange.onDrain = more
      more()
    })
    const { pool, accepted } = await serveTunnels(forward(origin.pool))
    let got = 0
    let pause = true
    const asked = send(pool, {}, { onData: (chunk) => {
      got += chunk.length
      if (pause) asked.stream.pause()
    } })
    await eventually(() => got > 0)
    let before = -1
    while (before !== sent) {
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.ok(sent < 8 * 1024 * 1024, `${sent} bytes left the origin for a reader that stands`)
    assert.ok((accepted[0]?.writableLength ?? 0) < 2 * 1024 * 1024)
    pause = false
    asked.stream.resume()
    assert.equal((await asked.outcome).failure, undefined)
    assert.equal(got, total)
  })
})
