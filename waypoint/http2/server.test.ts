import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { BodyReader, ExchangeHandler, HeaderList, ServerConnection, ServerExchange } from '../exchange.ts'
import { serveHttp2 } from './server.ts'
import type { Http2ServerOptions } from './server.ts'
import { endHeaders, endStream, fields, frame, frameType, RawPeer } from './testing/frames.ts'

const limits = { maxHeaderBytes: 8192, maxHeaders: 40, maxTargetBytes: 1000, headTimeoutMs: 10_000, idleTimeoutMs: 60_000 }

const answer = (exchange: ServerExchange, status = 200, headers: HeaderList = [], body = ''): void => {
  exchange.sendHead(status, headers, body === '' ? 0 : Buffer.byteLength(body))
  if (body !== '') exchange.sendData(Buffer.from(body))
  exchange.sendEnd()
}

/** Reads a whole body. */
const readBody = (exchange: ServerExchange): Promise<{ readonly text: string; readonly trailers: HeaderList }> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    exchange.body.start({
      onData: (chunk) => chunks.push(chunk),
      onEnd: (trailers) => resolve({ text: Buffer.concat(chunks).toString(), trailers }),
      onAbort: reject,
    })
  })

const ignoring: BodyReader = { onData: () => {}, onEnd: () => {}, onAbort: () => {} }

describe('the HTTP/2 server', () => {
  const closers: (() => void)[] = []
  let connections: ServerConnection[] = []
  let refused: string[] = []

  afterEach(() => {
    for (const close of closers.splice(0).reverse()) close()
    connections = []
    refused = []
  })

  const serve = async (handler: ExchangeHandler, options: Partial<Http2ServerOptions> = {}): Promise<number> => {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      connections.push(serveHttp2(socket, handler, { limits, clock: systemClock, onProtocolError: (reason, detail) => refused.push(`${reason}: ${detail}`), ...options }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => {
      for (const each of connections) each.destroy()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
  const connectTo = (port: number, options: http2.ClientSessionOptions = {}): ClientHttp2Session => {
    const session = http2.connect(`http://127.0.0.1:${port}`, options)
    session.on('error', () => {})
    closers.push(() => session.destroy())
    return session
  }
  const raw = async (port: number, greet = true): Promise<RawPeer> => {
    const client = await RawPeer.open(port, greet)
    closers.push(() => client.destroy())
    return client
  }
  const textOf = async (stream: ClientHttp2Stream): Promise<string> => {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString()
  }
  const responseOf = async (stream: ClientHttp2Stream): Promise<{ status: number; headers: http2.IncomingHttpHeaders; flags: number; raw: string[] }> => {
    const [headers, flags, rawHeaders] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader, number, string[]]
    return { status: Number(headers[':status']), headers, flags, raw: rawHeaders }
  }

  describe('reads a request', () => {
    it('into a head without pseudo-headers, host or framing, names in order and repeated', async () => {
      const heads: ServerExchange[] = []
      const port = await serve((exchange) => {
        heads.push(exchange)
        answer(exchange)
      })
      const client = await raw(port)
      client.send(frame(frameType.headers, endHeaders | endStream, 1, fields([
        [':method', 'GET'], [':scheme', 'http'], [':path', '/a%20b?c=d'], [':authority', 'Shop.Example:8080'],
        ['host', 'shop.example:8080'], ['x-b', '2'], ['te', 'trailers'], ['x-a', '1'], ['x-b', '\u00e9 tab\there'], ['content-length', '0'],
      ])))
      await client.find((each) => each.type === frameType.headers && each.stream === 1)
      assert.deepEqual(heads[0]?.head, {
        version: 'http2', method: 'GET', scheme: 'http', authority: 'shop.example:8080', target: '/a%20b?c=d',
        headers: ['x-b', '2', 'te', 'trailers', 'x-a', '1', 'x-b', '\u00e9 tab\there'],
      })
      assert.equal(heads[0].body.length, 0)
    })

    it('with the crumbs of its cookie joined', async () => {
      const seen = Promise.withResolvers<HeaderList>()
      const client = await raw(await serve((exchange) => seen.resolve(exchange.head.headers)))
      client.send(frame(frameType.headers, endHeaders | endStream, 1, fields([
        [':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', 'a'], ['cookie', 'a=1'], ['x', 'y'], ['cookie', 'b=2'], ['cookie', 'c=3'],
      ])))
      assert.deepEqual(await seen.promise, ['cookie', 'a=1; b=2; c=3', 'x', 'y'])
    })

    it('whose authority is only in Host', async () => {
      const seen = Promise.withResolvers<string>()
      const client = await raw(await serve((exchange) => seen.resolve(exchange.head.authority)))
      client.send(frame(frameType.headers, endHeaders | endStream, 1, fields([[':method', 'GET'], [':scheme', 'http'], [':path', '/'], ['host', 'a:1']])))
      assert.equal(await seen.promise, 'a:1')
    })

    it('with its length, its body and its trailers', async () => {
      const lengths: unknown[] = []
      const port = await serve((exchange) => {
        lengths.push(exchange.body.length)
        void readBody(exchange).then(({ text, trailers }) => answer(exchange, 200, [], `${text}|${trailers.join(',')}`))
      })
      const session = connectTo(port)
      const known = session.request({ ':method': 'POST', 'content-length': 4 })
      known.end('body')
      assert.equal(await textOf(known), 'body|')
      const trailed = session.request({ ':method': 'POST' }, { waitForTrailers: true })
      trailed.on('wantTrailers', () => trailed.sendTrailers({ 'x-sum': '1', 'x-more': ['a', 'b'] }))
      trailed.end('more')
      assert.equal(await textOf(trailed), 'more|x-sum,1,x-more,a,x-more,b')
      assert.deepEqual(lengths, [4, undefined])
    })

    it('whose body stands still until `start`, and again from `pause` to `resume`', async () => {
      const exchanges: ServerExchange[] = []
      const port = await serve((exchange) => void exchanges.push(exchange), { streamWindow: 65535 })
      const stream = connectTo(port).request({ ':method': 'POST' })
      let sent = 0
      const pump = (): void => {
        while (sent < 64) {
          sent++
          if (!stream.write(Buffer.alloc(32 * 1024))) {
            stream.once('drain', pump)
            return
          }
        }
        stream.end()
      }
      pump()
      for (let before = -1; before !== sent || exchanges.length === 0; ) {
        before = sent
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.ok(sent < 20, `${sent} chunks left the client before anybody read`)
      let received = 0
      const { body } = exchanges[0]!
      const half = Promise.withResolvers<undefined>()
      const end = Promise.withResolvers<undefined>()
      body.start({
        onData: (chunk) => {
          received += chunk.length
          if (received > 512 * 1024) {
            body.pause()
            half.resolve(undefined)
          }
        },
        onEnd: () => end.resolve(undefined),
        onAbort: end.reject,
      })
      await half.promise
      const atPause = received
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.ok(received - atPause <= 65535, 'what came after `pause` is at most one chunk that was on its way')
      const go = setInterval(() => body.resume(), 1)
      await end.promise
      clearInterval(go)
      assert.equal(received, 64 * 32 * 1024)
    })
  })

  describe('refuses, before there is an exchange,', () => {
    const good: readonly (readonly [string, string])[] = [[':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']]
    const without = (name: string): (readonly [string, string])[] => good.filter(([each]) => each !== name)
    const cases: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
      'a name in upper case': [...good, ['X-Upper', '1']],
      'connection': [...good, ['connection', 'close']],
      'keep-alive': [...good, ['keep-alive', '1']],
      'proxy-connection': [...good, ['proxy-connection', 'x']],
      'transfer-encoding': [...good, ['transfer-encoding', 'chunked']],
      'upgrade': [...good, ['upgrade', 'websocket']],
      'http2-settings': [...good, ['http2-settings', 'AAAA']],
      'te other than trailers': [...good, ['te', 'gzip']],
      'an unknown pseudo-header': [...good, [':unknown', '1']],
      'a pseudo-header of answers': [...good, [':status', '200']],
      'a pseudo-header after others': [...without(':path'), ['x', '1'], [':path', '/']],
      'a repeated pseudo-header': [...good, [':path', '/b']],
      'no :method': without(':method'),
      'no :scheme': without(':scheme'),
      'no :path': without(':path'),
      'no authority at all': without(':authority'),
      'an empty :path': [...without(':path'), [':path', '']],
      ':path in absolute form': [...without(':path'), [':path', 'http://a/']],
      ':path with a fragment': [...without(':path'), [':path', '/a#b']],
      ':path with a space': [...without(':path'), [':path', '/a b']],
      ':path with bytes beyond ASCII': [...without(':path'), [':path', '/\u00e9']],
      ':path * with another method than OPTIONS': [...without(':path'), [':path', '*']],
      'another scheme': [...without(':scheme'), [':scheme', 'ftp']],
      'a bad :method': [...without(':method'), [':method', 'G ET']],
      ':authority with user information': [...without(':authority'), [':authority', 'me@a']],
      ':authority that differs from host': [...good, ['host', 'b']],
      'host twice': [...good, ['host', 'a'], ['host', 'a']],
      'CONNECT': [[':method', 'CONNECT'], [':authority', 'a:80']],
      'extended CONNECT': [[':method', 'CONNECT'], [':protocol', 'websocket'], ...good.slice(1)],
      'content-length twice': [...good, ['content-length', '0'], ['content-length', '0']],
      'content-length that is no number': [...good, ['content-length', '+1']],
      'content-length of a body that is not there': [...good, ['content-length', '5']],
    }
    for (const [name, list] of Object.entries(cases)) {
      it(name, async () => {
        let heard: HeaderList | undefined
        const port = await serve((exchange) => {
          heard = exchange.head.headers
          answer(exchange)
        })
        const client = await raw(port)
        client.send(frame(frameType.headers, endHeaders | endStream, 1, fields(list)))
        const verdict = await client.find((each) => (each.type === frameType.rstStream || each.type === frameType.headers) && each.stream === 1)
        if (verdict.type === frameType.rstStream) assert.equal(verdict.payload.readUInt32BE(0), http2.constants.NGHTTP2_PROTOCOL_ERROR)
        else assert.equal(verdict.payload[0], 0x8c, 'the answer is :status 400 (static table 12)')
        assert.equal(heard, undefined)
      })
    }

    // nghttp2 leaves such fields out by itself and tells nobody (RFC 9113 §8.2.1 asks for a reset); the rest of the request is served.
    for (const [name, bad] of Object.entries({ 'a name that is no token': 'x y: 1', 'LF': 'x: a\nb: c', 'CR': 'x: a\rb', 'NUL': 'x: a\0b', 'a control character': 'x: a\u0001b' })) {
      it(`a field with ${name}: no policy and no endpoint ever sees it`, async () => {
        const seen = Promise.withResolvers<HeaderList>()
        const client = await raw(await serve((exchange) => seen.resolve(exchange.head.headers)))
        const at = bad.indexOf(': ')
        client.send(frame(frameType.headers, endHeaders | endStream, 1, fields([...good, ['first', '1'], [bad.slice(0, at), bad.slice(at + 2)], ['last', '2']])))
        assert.deepEqual(await seen.promise, ['first', '1', 'last', '2'])
      })
    }

    it('a body longer or shorter than its content-length', async () => {
      for (const body of ['abc', 'abcdef']) {
        const aborted = Promise.withResolvers<undefined>()
        const served = Promise.withResolvers<undefined>()
        const client = await raw(await serve((exchange) => {
          exchange.body.start({ ...ignoring, onEnd: () => aborted.reject(new Error('taken as whole')), onAbort: () => aborted.resolve(undefined) })
          served.resolve(undefined)
        }))
        client.send(frame(frameType.headers, endHeaders, 1, fields([[':method', 'POST'], ...without(':method'), ['content-length', '5']])))
        await served.promise
        client.send(frame(frameType.data, endStream, 1, Buffer.from(body)))
        await aborted.promise
        if (body.length < 5) await client.find((each) => each.type === frameType.rstStream && each.payload.readUInt32BE(0) === http2.constants.NGHTTP2_PROTOCOL_ERROR)
        else await client.whenClosed()
      }
    })

    it('too many headers and too many bytes of them with 431, a long target with 414, each with its reason', async () => {
      const session = connectTo(await serve((exchange) => answer(exchange)))
      const many = Object.fromEntries(Array.from({ length: 50 }, (_each, i) => [`x-${i}`, '1']))
      for (const [headers, status, reason] of [
        [many, 431, 'header-too-large'],
        [{ 'x-big': 'x'.repeat(9000) }, 431, 'header-too-large'],
        [{ ':path': `/${'x'.repeat(1500)}` }, 414, 'uri-too-long'],
        [{}, 200, undefined],
      ] as const) {
        const stream = session.request(headers)
        const response = await responseOf(stream)
        stream.resume()
        assert.deepEqual([response.status, response.headers['x-waypoint-reason']], [status, reason])
      }
      assert.deepEqual(refused.map((each) => each.split(':')[0]), ['header-too-large', 'header-too-large', 'uri-too-long'])
    })

    it('a header section far beyond the limit, however many frames it comes in', async () => {
      const client = await raw(await serve(() => assert.fail('served')))
      const block = fields([...good, ['x-big', 'x'.repeat(100_000)]])
      const parts = Array.from({ length: 11 }, (_each, i) => frame(i === 0 ? frameType.headers : frameType.continuation, (i === 0 ? endStream : 0) | (i === 10 ? endHeaders : 0), 1, block.subarray(i * 10_000, (i + 1) * 10_000)))
      client.send(...parts)
      await client.find((each) => (each.type === frameType.rstStream && each.stream === 1) || each.type === frameType.goaway)
    })

    it('an endless row of CONTINUATION frames by ending the connection', async () => {
      const client = await raw(await serve(() => assert.fail('served')))
      client.send(frame(frameType.headers, endStream, 1, fields(good)), ...Array.from({ length: 2000 }, (_each, i) => frame(frameType.continuation, 0, 1, fields([[`x-${i}`, 'y'.repeat(100)]]))))
      await client.whenClosed()
    })

    it('a connection whose client resets streams over and over (CVE-2023-44487)', async () => {
      let served = 0
      const client = await raw(await serve(() => served++, { resetBurst: 50, resetRate: 1 }))
      for (let i = 0; i < 2000 && !client.closed; i++) {
        client.send(frame(frameType.headers, endHeaders | endStream, 2 * i + 1, fields(good)), frame(frameType.rstStream, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])))
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await client.whenClosed()
      assert.ok(served >= 50 && served <= 60, `${served} requests reached the handler`)
      assert.match(refused.at(-1) ?? '', /reset more than 50 requests/)
    })

    it('a connection whose requests are refused over and over', async () => {
      const client = await raw(await serve(() => assert.fail('served')))
      for (let i = 0; i < 150; i++) client.send(frame(frameType.headers, endHeaders | endStream, 2 * i + 1, fields(cases.CONNECT ?? [])))
      await client.whenClosed()
      assert.match(refused.at(-1) ?? '', /100 refused requests on one connection/)
      assert.equal(refused.length, 101)
    })

    it('more streams at once than it allows', async () => {
      let served = 0
      const client = await raw(await serve(() => served++, { maxConcurrentStreams: 3 }))
      for (let i = 0; i < 5; i++) client.send(frame(frameType.headers, endHeaders | endStream, 2 * i + 1, fields(good)))
      const reset = await client.find((each) => each.type === frameType.rstStream && each.stream === 7)
      assert.equal(reset.payload.readUInt32BE(0), http2.constants.NGHTTP2_REFUSED_STREAM)
      await client.settle()
      assert.equal(served, 3)
    })

    it('a connection that says nothing of HTTP/2 within the time for a head', async () => {
      const clock = fakeClock()
      const port = await serve(() => assert.fail('served'), { clock })
      const client = await raw(port, false)
      while (connections.length === 0) await new Promise((resolve) => setImmediate(resolve))
      clock.advance(limits.headTimeoutMs)
      await client.whenClosed()
      assert.match(refused[0] ?? '', /^malformed-request: no HTTP\/2 preface/)
    })

    it('a connection that speaks something else', async () => {
      const port = await serve(() => assert.fail('served'))
      const client = await raw(port, false)
      client.send(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'))
      await client.whenClosed()
      assert.match(refused[0] ?? '', /^malformed-request: HTTP\/2: /)
    })

    it('gRPC callers in their own terms', async () => {
      const stream = connectTo(await serve((exchange) => answer(exchange))).request({ ':method': 'POST', ':path': `/${'x'.repeat(1500)}`, 'content-type': 'application/grpc' })
      const response = await responseOf(stream)
      stream.close()
      assert.deepEqual([response.status, response.headers['grpc-status'], response.flags & endStream], [200, '8', endStream])
    })
  })

  describe('answers', () => {
    it('with head, body and trailers, a 1xx before', async () => {
      const port = await serve((exchange) => {
        exchange.sendInformational(103, ['link', '</a>', 'link', '</b>'])
        exchange.sendHead(201, ['x-a', '1', 'set-cookie', 'a', 'set-cookie', 'b', 'etag', '1', 'etag', '2'], undefined)
        exchange.sendData(Buffer.from('body'))
        exchange.sendEnd(['x-sum', '1', 'content-length', '9'])
      })
      const stream = connectTo(port).request({})
      const early = once(stream, 'headers')
      const trailers = once(stream, 'trailers')
      const response = await responseOf(stream)
      assert.deepEqual((await early)[2], [':status', '103', 'link', '</a>', 'link', '</b>'])
      assert.deepEqual(response.raw.slice(0, -2), [':status', '201', 'x-a', '1', 'set-cookie', 'a', 'set-cookie', 'b', 'etag', '1', 'etag', '2'])
      assert.equal(await textOf(stream), 'body')
      assert.deepEqual((await trailers)[2], ['x-sum', '1'])
    })

    it('with content-length when the length is known', async () => {
      const stream = connectTo(await serve((exchange) => answer(exchange, 200, [], 'four'))).request({})
      assert.equal((await responseOf(stream)).headers['content-length'], '4')
      assert.equal(await textOf(stream), 'four')
    })

    it('without a body by END_STREAM on the head: length 0, HEAD, 204, 304', async () => {
      const port = await serve((exchange) => {
        const status = Number(exchange.head.target.slice(1))
        exchange.sendHead(status, [], exchange.head.method === 'HEAD' || status === 304 ? 5 : status === 204 ? undefined : 0)
        assert.equal(exchange.sendData(Buffer.from('never')), true)
        exchange.sendEnd(['x', 'never'])
      })
      const session = connectTo(port)
      for (const [method, status, length] of [['GET', 200, undefined], ['HEAD', 200, '5'], ['GET', 204, undefined], ['GET', 304, '5']] as const) {
        const stream = session.request({ ':method': method, ':path': `/${status}` })
        const response = await responseOf(stream)
        stream.resume()
        assert.deepEqual([response.status, response.flags & endStream, response.headers['content-length']], [status, endStream, length])
        await once(stream, 'close')
        assert.equal(stream.rstCode, 0)
      }
    })

    it('nothing but a reset if a header can not be sent, and smuggles nothing', async () => {
      const stream = connectTo(await serve((exchange) => answer(exchange, 200, ['x', 'a\0evil\0'], 'x'))).request({})
      await assert.rejects(once(stream, 'response'))
    })

    it('with false from `sendData` while the client does not read, and `onDrain` when it does', async () => {
      const state = { sent: 0, drains: 0 }
      const chunk = Buffer.alloc(32 * 1024)
      const port = await serve((exchange) => {
        const pump = (): void => {
          while (state.sent < 100) {
            state.sent++
            if (!exchange.sendData(chunk)) return
          }
          exchange.sendEnd()
        }
        exchange.onDrain = () => {
          state.drains++
          pump()
        }
        exchange.sendHead(200, [], 100 * chunk.length)
        pump()
      })
      const stream = connectTo(port).request({})
      await responseOf(stream)
      for (let before = -1; before !== state.sent; ) {
        before = state.sent
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.ok(state.sent < 20, `${state.sent} chunks were taken`)
      assert.equal((await textOf(stream)).length, 100 * chunk.length)
      assert.ok(state.drains > 0)
    })

    it('before the request is complete: the client gets all of it and then RST_STREAM(NO_ERROR)', async () => {
      for (const trailers of [undefined, ['x-end', '1']]) {
        const aborted = Promise.withResolvers<undefined>()
        const client = await raw(await serve((exchange) => {
          exchange.body.start({ ...ignoring, onAbort: () => aborted.resolve(undefined) })
          exchange.sendHead(200, [], trailers === undefined ? 2 : undefined)
          exchange.sendData(Buffer.from('ok'))
          exchange.sendEnd(trailers)
        }))
        client.send(frame(frameType.headers, endHeaders, 1, fields([[':method', 'POST'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']])), frame(frameType.data, 0, 1, Buffer.from('some')))
        const reset = await client.find((each) => each.type === frameType.rstStream)
        assert.equal(reset.payload.readUInt32BE(0), 0)
        const before = client.frames.slice(0, client.frames.indexOf(reset)).filter((each) => each.stream === 1)
        assert.equal((before.at(-1)?.flags ?? 0) & endStream, endStream)
        assert.equal(before.filter((each) => each.type === frameType.headers).length, trailers === undefined ? 1 : 2)
        await aborted.promise
      }
    })

    it('cut by `abort` with a reset on the wire and never END_STREAM', async () => {
      for (const length of [100, undefined]) {
        for (const late of [false, true]) {
          const client = await raw(await serve((exchange) => {
            let gone = 0
            exchange.onClientGone = () => assert.equal(++gone, 0, 'the client is not gone')
            exchange.sendHead(200, [], length)
            exchange.sendData(Buffer.from('half'))
            if (late) setTimeout(() => exchange.abort(), 20)
            else exchange.abort()
          }))
          client.send(frame(frameType.headers, endHeaders | endStream, 1, fields([[':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']])))
          const reset = await client.find((each) => each.type === frameType.rstStream)
          await client.settle()
          assert.equal(reset.payload.readUInt32BE(0), http2.constants.NGHTTP2_INTERNAL_ERROR)
          assert.deepEqual(client.frames.filter((each) => each.stream === 1 && (each.type === frameType.data || each.type === frameType.headers) && (each.flags & endStream) !== 0), [])
        }
      }
    })

    it('to nobody once the client reset: `onClientGone` once, the body aborted, everything later ignored', async () => {
      for (const code of [http2.constants.NGHTTP2_CANCEL, http2.constants.NGHTTP2_NO_ERROR]) {
        const calls: string[] = []
        const over = Promise.withResolvers<undefined>()
        const client = await raw(await serve((exchange) => {
          exchange.onClientGone = () => calls.push('gone')
          exchange.body.start({
            onData: () => calls.push('data'),
            onEnd: () => calls.push('end'),
            onAbort: () => {
              calls.push('abort')
              exchange.sendHead(200, [], undefined)
              exchange.sendData(Buffer.from('x'))
              exchange.sendEnd(['a', 'b'])
              exchange.abort()
              setTimeout(() => over.resolve(undefined), 20)
            },
          })
        }))
        client.send(frame(frameType.headers, endHeaders, 1, fields([[':method', 'POST'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']])), frame(frameType.data, 0, 1, Buffer.from('x')))
        await client.settle()
        client.send(frame(frameType.rstStream, 0, 1, Buffer.from([0, 0, 0, code])))
        await over.promise
        assert.deepEqual(calls, ['data', 'gone', 'abort'])
      }
    })

    it('to nobody once the connection is gone, half-closed ones included', async () => {
      for (const end of [true, false]) {
        const gone = Promise.withResolvers<undefined>()
        const served = Promise.withResolvers<undefined>()
        const port = await serve((exchange) => {
          exchange.onClientGone = () => gone.resolve(undefined)
          served.resolve(undefined)
        })
        const session = connectTo(port)
        session.request({}).on('error', () => {})
        await served.promise
        if (end) session.socket.destroySoon()
        else session.destroy()
        await gone.promise
      }
    })

    it('whole answers do not call `onClientGone`', async () => {
      let gone = 0
      const port = await serve((exchange) => {
        exchange.onClientGone = () => gone++
        answer(exchange, 200, [], exchange.head.target === '/body' ? 'x' : '')
      })
      const session = connectTo(port)
      for (const path of ['/body', '/none']) {
        const stream = session.request({ ':path': path })
        stream.resume()
        await once(stream, 'close')
      }
      session.close()
      await once(session, 'close')
      assert.equal(gone, 0)
    })
  })

  describe('as a connection', () => {
    it('drains: GOAWAY at once, what is in flight is answered, then it closes', async () => {
      const held: ServerExchange[] = []
      const session = connectTo(await serve((exchange) => void held.push(exchange)))
      const stream = session.request({})
      while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
      const goaway = once(session, 'goaway')
      connections[0]?.drain()
      assert.deepEqual((await goaway).slice(0, 2), [0, 1])
      answer(held[0]!, 200, [], 'late')
      assert.equal(await textOf(stream), 'late')
      await once(session, 'close')
    })

    it('drains when it was idle for its limit, not before, and not while a request is open', async () => {
      const clock = fakeClock()
      const held: ServerExchange[] = []
      const port = await serve((exchange) => void held.push(exchange), { clock })
      const session = connectTo(port)
      const goaways: number[] = []
      session.on('goaway', (code: number) => goaways.push(code))
      const settle = (): Promise<unknown> => new Promise((resolve) => session.ping(resolve))
      const stream = session.request({})
      while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
      clock.advance(3 * limits.idleTimeoutMs)
      await settle()
      assert.deepEqual(goaways, [])
      answer(held[0]!)
      stream.resume()
      await once(stream, 'close')
      await settle()
      clock.advance(limits.idleTimeoutMs - 1)
      await settle()
      assert.deepEqual(goaways, [])
      clock.advance(1)
      await once(session, 'close')
      assert.equal(goaways[0], 0)
    })

    it('destroyed, resets what it was answering, so that no cut answer looks whole', async () => {
      const session = connectTo(await serve((exchange) => {
        exchange.sendHead(200, [], undefined)
        exchange.sendData(Buffer.from('half'))
      }))
      const stream = session.request({})
      await once(stream, 'data')
      connections[0]?.destroy()
      await assert.rejects(once(stream, 'end'))
    })
  })
})
