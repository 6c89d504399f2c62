import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { ServerExchange } from '../exchange.ts'
import { ask, closeAll, echo, eventually, readBody, say, serve, talk } from './testing/harness.ts'

const unexpected = (): never => {
  throw new Error('this must not be called')
}
const get = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`
const close = 'Connection: close\r\n'
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`
const chunkedPost = (body: string): string => post('Transfer-Encoding: chunked\r\n', body)

describe('an HTTP/1.1 server connection', () => {
  afterEach(closeAll)

  it('answers pipelined requests in order, one at a time', async () => {
    let open = 0
    const server = await serve((exchange) => {
      assert.equal(++open, 1)
      setImmediate(() => {
        open--
        const text = Buffer.from(exchange.head.target)
        exchange.sendHead(200, [], text.length)
        exchange.sendData(text)
        exchange.sendEnd()
      })
    })
    const text = await ask(server.port, get('/1') + get('/2') + post('Content-Length: 3\r\n', 'abc') + get('/3', close))
    assert.deepEqual(text.match(/\r\n\r\n\/\d?/g), ['\r\n\r\n/1', '\r\n\r\n/2', '\r\n\r\n/', '\r\n\r\n/3'])
  })

  it('takes one empty line before each request, and no second one', async () => {
    const server = await serve(say())
    const text = await ask(server.port, `\r\n${get('/1')}\r\n${get('/2')}\r\n\r\n${get('/3')}`)
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  it('reads no further than a bounded buffer while a request is in progress', async () => {
    const server = await serve(() => {})
    const client = talk(server.port, get('/first'))
    await eventually(() => server.exchanges.length === 1)
    const stream = server.streams[0] as Duplex
    let written = true
    for (let i = 0; i < 400; i++) written = client.socket.write(get('/x', `A: ${'b'.repeat(60_000 / 400)}\r\n`.repeat(400)))
    assert.equal(written, false)
    await eventually(() => stream.isPaused())
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(stream.readableLength <= 256 * 1024, `${stream.readableLength} bytes held`)
    assert.equal(server.exchanges.length, 1)
  })

  it('answers no further pipelined requests while the client does not read the answers', async () => {
    const big = Buffer.alloc(256 * 1024, 'x')
    const server = await serve((exchange) => {
      exchange.sendHead(200, [], big.length)
      exchange.sendData(big)
      exchange.sendEnd()
    })
    const client = talk(server.port)
    client.socket.pause()
    client.socket.write(get('/').repeat(500))
    await eventually(() => server.streams[0]?.writableNeedDrain === true)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.ok((server.streams[0]?.writableLength ?? 0) <= 2 * big.length)
    assert.ok(server.exchanges.length < 100, `${server.exchanges.length} answered`)
    const before = server.exchanges.length
    client.socket.resume()
    await eventually(() => server.exchanges.length > before)
  })

  it('tells the handler to pause at a full buffer and to go on after it: a huge answer to a slow reader', async () => {
    const piece = Buffer.alloc(64 * 1024, 'x')
    const pieces = 400
    let most = 0
    const server = await serve((exchange) => {
      let left = pieces
      exchange.sendHead(200, [], piece.length * pieces)
      const more = (): void => {
        while (left > 0) {
          left--
          const go = exchange.sendData(piece)
          most = Math.max(most, server.streams[0]?.writableLength ?? 0)
          if (!go) return
        }
        exchange.sendEnd()
      }
      exchange.onDrain = more
      more()
    })
    const client = talk(server.port)
    client.socket.removeAllListeners('data')
    let got = 0
    client.socket.on('data', (chunk: Buffer) => {
      got += chunk.length
      client.socket.pause()
      setImmediate(() => client.socket.resume())
    })
    client.socket.write(get('/', close))
    await client.closed
    assert.ok(got > piece.length * pieces)
    assert.ok(most <= 4 * piece.length, `${most} bytes were buffered`)
  })

  it('stops reading a body whose taker paused: a huge upload to a slow handler', async () => {
    const total = 20 * 1024 * 1024
    let got = 0
    let most = 0
    const server = await serve((exchange) => {
      exchange.body.start({
        onData: (chunk) => {
          got += chunk.length
          exchange.body.pause()
          setImmediate(() => {
            most = Math.max(most, server.streams[0]?.readableLength ?? 0)
            exchange.body.resume()
          })
        },
        onEnd: () => say(String(got))(exchange),
        onAbort: () => {},
      })
    })
    const client = talk(server.port, post(`${close}Content-Length: ${total}\r\n`, ''))
    const piece = Buffer.alloc(1024 * 1024, 'u')
    for (let i = 0; i < 20; i++) if (!client.socket.write(piece)) await once(client.socket, 'drain')
    assert.ok((await client.until(/\r\n\r\n\d+$/)).endsWith(`\r\n\r\n${total}`))
    assert.ok(most <= 256 * 1024, `${most} bytes were buffered`)
  })

  it('gives a chunked body and its trailers, without the fields that may not trail', async () => {
    const seen: unknown[] = []
    const server = await serve((exchange) => {
      readBody(exchange).then(({ body, trailers }) => {
        seen.push(exchange.body.length, body.toString(), trailers)
        say()(exchange)
      }, unexpected)
    })
    await talk(server.port, chunkedPost('5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\nHost: evil\r\nAuthorization: b\r\nx-forwarded-for: 1\r\n\r\n')).until(/ok$/)
    assert.deepEqual(seen, [undefined, 'hello!', ['x-t', '1']])
  })

  it('ends a body of length 0 at once', async () => {
    const server = await serve((exchange) => {
      let ended = false
      exchange.body.start({ onData: unexpected, onEnd: () => (ended = true), onAbort: unexpected })
      say(String(ended))(exchange)
    })
    await talk(server.port, get('/')).until(/true$/)
  })

  describe('frames its answer', () => {
    const cases: readonly (readonly [rule: string, request: string, status: number, length: number | undefined, expected: RegExp])[] = [
      ['with a length', get('/', close), 200, 5, /^HTTP\/1\.1 200 OK\r\na: b\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello$/],
      ['in chunks without one', get('/', close), 200, undefined, /\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n$/],
      ['by closing for HTTP/1.0', 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', 200, undefined, /^HTTP\/1\.1 200 OK\r\na: b\r\nconnection: close\r\n\r\nhello$/],
      ['without a body for HEAD', get('/', close).replace('GET', 'HEAD'), 200, 5, /\r\ncontent-length: 5\r\nconnection: close\r\n\r\n$/],
      ['without length or body for HEAD of unknown length', get('/', close).replace('GET', 'HEAD'), 200, undefined, /^HTTP\/1\.1 200 OK\r\na: b\r\nconnection: close\r\n\r\n$/],
      ['without anything for 204', get('/', close), 204, 5, /^HTTP\/1\.1 204 No Content\r\na: b\r\nconnection: close\r\n\r\n$/],
      ['without a body for 304', get('/', close), 304, 5, /^HTTP\/1\.1 304 Not Modified\r\na: b\r\ncontent-length: 5\r\nconnection: close\r\n\r\n$/],
    ]
    for (const [rule, bytes, status, length, expected] of cases) {
      it(rule, async () => {
        const server = await serve((exchange) => {
          exchange.sendHead(status, ['a', 'b'], length)
          exchange.sendData(Buffer.from('hello'))
          exchange.sendEnd(['x-t', '1', 'content-length', '9'])
        })
        assert.match(await ask(server.port, bytes), expected)
      })
    }

    it('and keeps an HTTP/1.0 connection that asks for it', async () => {
      const server = await serve(say())
      const one = 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'
      const client = talk(server.port, one)
      assert.match(await client.until(/ok$/), /\r\nconnection: keep-alive\r\n/)
      client.socket.write(one)
      await client.until(/ok.*ok$/s)
    })

    it('and writes a small one at once, head and body together', async () => {
      const server = await serve(say())
      const client = talk(server.port)
      const chunks: Buffer[] = []
      client.socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      client.socket.write(get('/'))
      await client.until(/ok$/)
      assert.equal(chunks.length, 1)
    })

    it('and sends a head that no body follows yet', async () => {
      const server = await serve((exchange) => exchange.sendHead(200, [], undefined))
      await talk(server.port, get('/')).until(/chunked\r\n\r\n$/)
    })

    it('and cuts the connection when it does not keep to its own length', async () => {
      const short = await serve((exchange) => {
        exchange.sendHead(200, [], 5)
        exchange.sendData(Buffer.from('hell'))
        exchange.sendEnd()
      })
      assert.equal(await talk(short.port, get('/')).closed, 'reset')
      const long = await serve((exchange) => {
        exchange.sendHead(200, [], 5)
        exchange.sendData(Buffer.from('hello!'))
      })
      assert.equal(await talk(long.port, get('/')).closed, 'reset')
    })

    for (const value of ['x\r\nSet-Cookie: a', 'x\ny', 'x\ry', 'x\0y', 'x\u010ay', 'x\u010d\u010aA: b']) {
      it(`and never writes a header value ${JSON.stringify(value)}`, async () => {
        const server = await serve((exchange) => {
          exchange.sendHead(200, ['a', value], 0)
          exchange.sendEnd()
        })
        const client = talk(server.port, get('/'))
        assert.equal(await client.closed, 'reset')
        assert.equal(client.text(), '')
      })
    }
  })

  describe('with Expect: 100-continue', () => {
    const request = post('Expect: 100-continue\r\nContent-Length: 5\r\n', '')

    it('forwards the header and relays a 100 once', async () => {
      const server = await serve((exchange) => {
        exchange.sendInformational(100, [])
        exchange.sendInformational(100, [])
        echo(exchange)
      })
      const client = talk(server.port, request)
      await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/)
      client.socket.write('hello')
      assert.equal((await client.until(/hello$/)).match(/100 Continue/g)?.length, 1)
      assert.deepEqual(server.exchanges[0]?.head.headers, ['expect', '100-continue'])
    })

    it('sends a 100 of its own if the body is wanted and nobody else does', async () => {
      const clock = fakeClock()
      const server = await serve(echo, { clock })
      const client = talk(server.port, request)
      await eventually(() => server.exchanges.length === 1)
      assert.equal(client.text(), '')
      clock.advance(1000)
      await client.until(/100 Continue/)
      client.socket.write('hello')
      await client.until(/hello$/)
    })

    it('closes after a final answer, for the next bytes could be a body or a request', async () => {
      const server = await serve(say('no'))
      const client = talk(server.port, request)
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /connection: close/)
    })

    it('needs no 100 for a client that does not wait', async () => {
      const clock = fakeClock()
      const server = await serve(echo, { clock })
      const client = talk(server.port, `${request}hello`)
      assert.doesNotMatch(await client.until(/hello$/), /100/)
      clock.advance(2000)
      client.socket.write(get('/'))
      assert.doesNotMatch(await client.until(/hello.*200 OK/s), /100/)
    })
  })

  it('passes other interim answers on, but not to HTTP/1.0', async () => {
    const server = await serve((exchange) => {
      exchange.sendInformational(103, ['link', '</a>'])
      say()(exchange)
    })
    await talk(server.port, get('/')).until(/^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1\.1 200/)
    assert.doesNotMatch(await ask(server.port, 'GET / HTTP/1.0\r\n\r\n'), /103/)
  })

  describe('answered before the body was read', () => {
    it('drains a short body and goes on', async () => {
      const server = await serve(say())
      const client = talk(server.port, post('Content-Length: 10\r\n', '01234'))
      await client.until(/ok$/)
      client.socket.write(`56789${get('/next')}`)
      await client.until(/ok.*ok$/s)
      assert.equal(server.exchanges[1]?.head.target, '/next')
    })

    it('closes before a long body', async () => {
      const server = await serve(say())
      const client = talk(server.port, post('Content-Length: 100000\r\n', 'x'))
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /ok$/)
    })

    it('closes when a chunked body turns out to be long', async () => {
      const server = await serve(say())
      const client = talk(server.port, chunkedPost(''))
      await client.until(/ok$/)
      client.socket.write(`20000\r\n${'x'.repeat(0x20000)}\r\n0\r\n\r\n${get('/next')}`)
      assert.equal(await client.closed, 'end')
      assert.equal(server.exchanges.length, 1)
    })

    it('does not wait for ever for the rest of a short body', async () => {
      const clock = fakeClock()
      const server = await serve(say(), { clock, limits: { idleTimeoutMs: 1000 } })
      const client = talk(server.port, post('Content-Length: 10\r\n', '01234'))
      await client.until(/ok$/)
      clock.advance(1000)
      assert.equal(await client.closed, 'end')
    })

    it('tells a reader that its body will not come', async () => {
      let aborted = 0
      const server = await serve((exchange) => {
        exchange.body.start({ onData: () => {}, onEnd: unexpected, onAbort: () => aborted++ })
        say()(exchange)
      })
      await talk(server.port, post('Content-Length: 10\r\n', '01234')).until(/ok$/)
      assert.equal(aborted, 1)
    })
  })

  describe('whose client goes away', () => {
    const watch = (notes: string[]) => (exchange: ServerExchange): void => {
      exchange.onClientGone = () => notes.push('gone')
      exchange.body.start({ onData: () => {}, onEnd: () => notes.push('end'), onAbort: () => notes.push('abort') })
    }

    it('still answers one that only ended its half', async () => {
      let exchange: ServerExchange | undefined
      const server = await serve((each) => (exchange = each))
      const client = talk(server.port)
      client.socket.end(get('/'))
      await eventually(() => server.streams[0]?.readableEnded === true)
      assert.ok(exchange)
      say()(exchange)
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /ok$/)
    })

    it('says so when the connection is reset', async () => {
      const notes: string[] = []
      const server = await serve(watch(notes))
      const client = talk(server.port, get('/'))
      await eventually(() => server.exchanges.length === 1)
      client.socket.resetAndDestroy()
      await eventually(() => notes.length === 2)
      assert.deepEqual(notes, ['end', 'gone'])
    })

    it('says so when the connection is reset inside the body', async () => {
      const notes: string[] = []
      const server = await serve(watch(notes))
      const client = talk(server.port, post('Content-Length: 10\r\n', '12345'))
      await eventually(() => server.exchanges.length === 1)
      client.socket.resetAndDestroy()
      await eventually(() => notes.length === 2)
      assert.deepEqual(notes, ['abort', 'gone'])
    })

    it('refuses a body that ends too early', async () => {
      const notes: string[] = []
      const server = await serve(watch(notes))
      const client = talk(server.port)
      client.socket.end(post('Content-Length: 10\r\n', '12345'))
      await client.until(/^HTTP\/1\.1 400 /)
      assert.deepEqual(notes, ['abort', 'gone'])
    })

    it('sees nothing of it after the answer was complete', async () => {
      const notes: string[] = []
      const server = await serve((exchange) => {
        watch(notes)(exchange)
        say()(exchange)
      })
      const client = talk(server.port, get('/'))
      await client.until(/ok$/)
      client.socket.resetAndDestroy()
      await eventually(() => server.streams[0]?.closed === true)
      assert.deepEqual(notes, ['end'])
    })
  })

  it('shows an aborted answer as a reset, never as a clean end, whatever its framing', async () => {
    for (const [length, request] of [[10, get('/')], [undefined, get('/')], [undefined, 'GET / HTTP/1.0\r\n\r\n']] as const) {
      let exchange: ServerExchange | undefined
      const server = await serve((each) => {
        exchange = each
        each.sendHead(200, [], length)
        each.sendData(Buffer.from('part'))
      })
      const client = talk(server.port, request)
      await client.until(/part/)
      exchange?.abort()
      exchange?.abort()
      assert.equal(await client.closed, 'reset')
    }
  })

  it('hands the raw connection over after 101, with the bytes that were already there', async () => {
    const server = await serve((exchange) => {
      setImmediate(() => {
        const raw = exchange.switchProtocols(['sec-websocket-accept', 'x'])
        raw.on('data', (chunk: Buffer) => raw.write(chunk.toString().toUpperCase()))
        raw.on('end', () => raw.end())
      })
    })
    const client = talk(server.port, `${get('/', 'Connection: Upgrade\r\nUpgrade: WebSocket\r\n')}early`)
    const text = await client.until(/EARLY$/)
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nEARLY$/)
    client.socket.write('late')
    await client.until(/EARLYLATE$/)
    client.socket.end()
    assert.equal(await client.closed, 'end')
  })

  describe('in time', () => {
    it('closes a connection that stays idle, but not one that works', async () => {
      const clock = fakeClock()
      const server = await serve(say(), { clock, limits: { idleTimeoutMs: 1000 } })
      const client = talk(server.port, get('/'))
      await client.until(/ok$/)
      clock.advance(900)
      client.socket.write(get('/'))
      await client.until(/ok.*ok$/s)
      clock.advance(900)
      assert.equal(client.socket.readableEnded, false)
      clock.advance(100)
      assert.equal(await client.closed, 'end')
    })

    it('never cuts a request that is in progress', async () => {
      const clock = fakeClock()
      let exchange: ServerExchange | undefined
      const server = await serve((each) => (exchange = each), { clock, limits: { idleTimeoutMs: 1000, headTimeoutMs: 100 } })
      const client = talk(server.port, get('/'))
      await eventually(() => exchange !== undefined)
      clock.advance(100_000)
      if (exchange !== undefined) say()(exchange)
      await client.until(/ok$/)
    })

    it('refuses a head that comes too slowly', async () => {
      const clock = fakeClock()
      const server = await serve(say(), { clock, limits: { idleTimeoutMs: 10_000, headTimeoutMs: 1000 } })
      const client = talk(server.port, 'GET / HTTP/1.1\r\nA: b\r\n')
      await eventually(() => (server.streams[0] as { bytesRead?: number } | undefined)?.bytesRead === 22)
      clock.advance(600)
      client.socket.write('C: d\r\n')
      await eventually(() => (server.streams[0] as { bytesRead?: number } | undefined)?.bytesRead === 28)
      clock.advance(400)
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /did not arrive in time/)
    })

    it('destroys a connection whose client does not end it', async () => {
      const clock = fakeClock()
      const server = await serve(say(), { clock })
      const client = talk(server.port)
      client.socket.removeAllListeners('end')
      client.socket.write(get('/', close))
      await client.until(/ok$/)
      await eventually(() => server.streams[0]?.writableFinished === true)
      clock.advance(1000)
      await eventually(() => server.streams[0]?.destroyed === true)
    })
  })

  describe('that drains', () => {
    it('closes at once when idle', async () => {
      const server = await serve(say())
      const client = talk(server.port, get('/'))
      await client.until(/ok$/)
      server.connections[0]?.drain()
      assert.equal(await client.closed, 'end')
    })

    it('answers what is in flight with connection: close, and nothing behind it', async () => {
      let exchange: ServerExchange | undefined
      const server = await serve((each) => (exchange = each))
      const client = talk(server.port, get('/1') + get('/2'))
      await eventually(() => exchange !== undefined)
      server.connections[0]?.drain()
      if (exchange !== undefined) say()(exchange)
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /connection: close\r\n\r\nok$/)
      assert.equal(server.exchanges.length, 1)
    })

    it('lets a head that has begun become an answer', async () => {
      const server = await serve(say())
      const client = talk(server.port, 'GET / HTTP/1.1\r\n')
      await eventually(() => (server.streams[0] as { bytesRead?: number } | undefined)?.bytesRead === 16)
      server.connections[0]?.drain()
      client.socket.write('Host: a\r\n\r\n')
      assert.equal(await client.closed, 'end')
      assert.match(client.text(), /connection: close\r\n\r\nok$/)
    })
  })

  it('that is destroyed resets the client and tells the handler', async () => {
    let gone = 0
    const server = await serve((exchange) => (exchange.onClientGone = () => gone++))
    const client = talk(server.port, get('/'))
    await eventually(() => server.exchanges.length === 1)
    server.connections[0]?.destroy()
    assert.equal(gone, 1)
    assert.equal(await client.closed, 'reset')
  })
})
