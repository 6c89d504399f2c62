import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { HeaderList } from '../exchange.ts'
import { DialError } from '../upstream.ts'
import type { Dial, UpstreamFailure, UpstreamHead, UpstreamPool, UpstreamStream } from '../upstream.ts'
import { createHttp2Pool } from './pool.ts'
import type { Http2PoolOptions } from './pool.ts'
import { endHeaders, endStream, fields, frame, frameType, RawPeer } from './testing/frames.ts'

const limits = { maxConnections: 4, maxPending: 100, idleTimeoutMs: 60_000, maxAgeMs: 3_600_000 }
const get: UpstreamHead = { method: 'GET', scheme: 'http', authority: 'shop:80', target: '/x?y', headers: [], length: 0 }
const post: UpstreamHead = { ...get, method: 'POST', length: undefined }

/** What a handler heard, in order, and the end of it. */
interface Heard {
  readonly stream: UpstreamStream
  readonly calls: string[]
  readonly head: Promise<{ readonly status: number; readonly headers: HeaderList; readonly length: number | undefined }>
  readonly done: Promise<{ readonly body: string; readonly trailers: HeaderList } | { readonly failure: UpstreamFailure }>
}

function send(pool: UpstreamPool, head: UpstreamHead, onDrain: () => void = () => {}): Heard {
  const calls: string[] = []
  const chunks: Buffer[] = []
  const headSeen = Promise.withResolvers<{ status: number; headers: HeaderList; length: number | undefined }>()
  const done = Promise.withResolvers<{ body: string; trailers: HeaderList } | { failure: UpstreamFailure }>()
  const stream = pool.request(head, {
    onInformational: (status) => calls.push(`info ${status}`),
    onHead: (status, headers, length) => {
      calls.push(`head ${status}`)
      headSeen.resolve({ status, headers, length })
    },
    onData: (chunk) => {
      if (calls.at(-1) !== 'data') calls.push('data')
      chunks.push(chunk)
    },
    onEnd: (trailers) => {
      calls.push('end')
      done.resolve({ body: Buffer.concat(chunks).toString(), trailers })
    },
    onFailure: (failure) => {
      calls.push('failure')
      done.resolve({ failure })
    },
    onDrain,
    onUpgrade: () => calls.push('upgrade'),
  })
  return { stream, calls, head: headSeen.promise, done: done.promise }
}

const failureOf = async (heard: Heard): Promise<UpstreamFailure> => {
  const result = await heard.done
  assert.ok('failure' in result, `no failure, but ${JSON.stringify(heard.calls)}`)
  return result.failure
}
const bodyOf = async (heard: Heard): Promise<string> => {
  const result = await heard.done
  assert.ok('body' in result, JSON.stringify(result))
  return result.body
}

describe('the HTTP/2 pool', () => {
  const closers: (() => void)[] = []
  let sessions: ServerHttp2Session[] = []
  let dials = 0

  afterEach(() => {
    for (const close of closers.splice(0).reverse()) close()
    sessions = []
    dials = 0
  })

  const listen = async (server: Server | Http2Server | http.Server): Promise<Dial> => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    const { port } = server.address() as AddressInfo
    return async () => {
      dials++
      const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
      await once(socket, 'connect')
      return socket
    }
  }
  const endpoint = (onStream: (stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders, raw: string[]) => void, settings: http2.Settings = {}): Promise<Dial> => {
    const server = http2.createServer({ settings })
    server.on('session', (session) => {
      sessions.push(session)
      session.on('error', () => {})
    })
    server.on('stream', (stream, headers, _flags, raw: string[]) => {
      stream.on('error', () => {})
      onStream(stream, headers, raw)
    })
    closers.push(() => sessions.forEach((session) => session.destroy()))
    return listen(server)
  }
  const pool = (dial: Dial, given: Partial<typeof limits> = {}, options: Http2PoolOptions = {}, clock = systemClock): UpstreamPool => {
    const made = createHttp2Pool(dial, { ...limits, ...given }, clock, options)
    closers.push(() => made.destroy())
    return made
  }
  /** An endpoint that answers only what the test makes it answer. */
  const rawEndpoint = async (): Promise<{ readonly dial: Dial; readonly peer: Promise<RawPeer> }> => {
    const peer = Promise.withResolvers<RawPeer>()
    const dial = await listen(createServer({ noDelay: true }, (socket) => {
      const accepted = RawPeer.accept(socket)
      closers.push(() => accepted.destroy())
      peer.resolve(accepted)
    }))
    return { dial, peer: peer.promise }
  }
  const until = async (fits: () => boolean): Promise<void> => {
    while (!fits()) await new Promise((resolve) => setImmediate(resolve))
  }
  const echo = (stream: ServerHttp2Stream): void => {
    stream.respond([':status', '200'])
    stream.pipe(stream)
  }

  describe('carries', () => {
    it('head, body and trailers to the endpoint, and its answer back', async () => {
      let seen: string[] = []
      const dial = await endpoint((stream, _headers, raw) => {
        seen = raw
        stream.additionalHeaders({ ':status': 103, 'link': '</a>' })
        let trailers: string[] = []
        stream.on('trailers', (_object, _flags, list: string[]) => (trailers = list))
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          stream.respond([':status', '201', 'x-a', '1', 'x-a', '2'], { waitForTrailers: true, sendDate: false } as http2.ServerStreamResponseOptions)
          stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': ['1', '2'], 'x-got': trailers.join(',') }))
          stream.end(Buffer.concat(chunks))
        })
      })
      const heard = send(pool(dial), { ...post, headers: ['x-b', '1', 'te', 'trailers', 'x-b', '2', 'etag', '1', 'etag', '2'] })
      heard.stream.write(Buffer.from('some '))
      heard.stream.write(Buffer.from('body'))
      heard.stream.end(['x-end', 'yes'])
      const { status, headers, length } = await heard.head
      assert.deepEqual(await heard.done, { body: 'some body', trailers: ['x-sum', '1', 'x-sum', '2', 'x-got', 'x-end,yes'] })
      assert.deepEqual(seen, [':method', 'POST', ':scheme', 'http', ':authority', 'shop:80', ':path', '/x?y', 'x-b', '1', 'te', 'trailers', 'x-b', '2', 'etag', '1', 'etag', '2'])
      assert.deepEqual([status, headers.slice(0, 4), length], [201, ['x-a', '1', 'x-a', '2'], undefined])
      assert.deepEqual(heard.calls, ['info 103', 'head 201', 'data', 'end'])
    })

    it('lengths: known ones as content-length, 0 as END_STREAM, what HEAD and 304 tell', async () => {
      const seen: unknown[] = []
      const dial = await endpoint((stream, headers) => {
        seen.push([headers['content-length'], stream.endAfterHeaders])
        if (headers[':path'] === '/304') stream.respond({ ':status': 304, 'content-length': 7 }, { endStream: true })
        else if (headers[':method'] === 'HEAD') stream.respond({ ':status': 200, 'content-length': 9 }, { endStream: true })
        else if (headers[':path'] === '/none') stream.respond({ ':status': 200 }, { endStream: true })
        else {
          stream.respond({ ':status': 200, 'content-length': 4 })
          stream.end('four')
        }
      })
      const made = pool(dial)
      const lengths: unknown[] = []
      for (const head of [get, { ...get, target: '/none' }, { ...get, method: 'HEAD' }, { ...get, target: '/304' }, { ...post, length: 3 }]) {
        const heard = send(made, head)
        if (head.length !== 0) {
          heard.stream.write(Buffer.from('abc'))
          heard.stream.end()
        }
        lengths.push((await heard.head).length)
        await heard.done
      }
      assert.deepEqual(lengths, [4, 0, 9, 7, 4])
      assert.deepEqual(seen, [[undefined, true], [undefined, true], [undefined, true], [undefined, true], ['3', false]])
    })

    it('a body no faster than the endpoint reads, and an answer no faster than it is taken', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => {
        streams.push(stream)
        stream.pause()
      }), {}, { streamWindow: 65535 })
      const chunk = Buffer.alloc(32 * 1024)
      let sent = 0
      const pump = (): void => {
        while (sent < 100) {
          sent++
          if (!heard.stream.write(chunk)) return
        }
        heard.stream.end()
      }
      const heard: Heard = send(made, post, pump)
      pump()
      for (let before = -1; before !== sent || streams.length === 0; ) {
        before = sent
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.ok(sent < 20, `${sent} chunks were taken`)
      const [stream] = streams
      assert.ok(stream)
      heard.stream.pause()
      stream.respond({ ':status': 200 })
      let echoed = 0
      stream.on('data', (data: Buffer) => {
        echoed += data.length
        if (!stream.write(data)) stream.pause()
      })
      stream.on('drain', () => stream.resume())
      stream.on('end', () => stream.end())
      stream.resume()
      await heard.head
      for (let before = -1; before !== echoed; ) {
        before = echoed
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      assert.ok(echoed < 20 * chunk.length, `${echoed} bytes were echoed to a paused reader`)
      assert.ok(!heard.calls.includes('data'))
      heard.stream.resume()
      assert.equal((await bodyOf(heard)).length, 100 * chunk.length)
    })

    it('an abort as RST_STREAM(CANCEL) on the wire, and no END_STREAM before it', async () => {
      for (const length of [10, undefined]) {
        const { dial, peer } = await rawEndpoint()
        const made = pool(dial)
        const heard = send(made, { ...post, length })
        heard.stream.write(Buffer.from('half'))
        const endpointPeer = await peer
        await endpointPeer.find((each) => each.type === frameType.data && each.payload.toString() === 'half')
        heard.stream.abort()
        const reset = await endpointPeer.find((each) => each.type === frameType.rstStream)
        await endpointPeer.settle()
        assert.equal(reset.payload.readUInt32BE(0), http2.constants.NGHTTP2_CANCEL)
        assert.deepEqual(endpointPeer.frames.filter((each) => each.stream === 1 && each.type <= 1 && (each.flags & endStream) !== 0), [])
        assert.deepEqual([heard.calls, made.inFlight()], [[], 0])
      }
    })

    it('nothing of a request that was aborted while it waited', async () => {
      let requests = 0
      const made = pool(await endpoint((stream) => {
        requests++
        echo(stream)
      }))
      const aborted = send(made, get)
      aborted.stream.abort()
      assert.equal(await bodyOf(send(made, get)), '')
      assert.deepEqual([aborted.calls, requests, made.inFlight()], [[], 1, 0])
    })
  })

  describe('fails a try', () => {
    it('never before `request` returned', async () => {
      const made = pool(await endpoint(echo))
      made.destroy()
      const heard = send(made, get)
      assert.deepEqual(heard.calls, [])
      assert.equal((await failureOf(heard)).maybeProcessed, false)
    })

    it('with the reason of the dial', async () => {
      const failure = await failureOf(send(pool(() => Promise.reject(new DialError('peer-identity', 'wrong SPIFFE id'))), get))
      assert.deepEqual(failure, { reason: 'peer-identity', detail: 'wrong SPIFFE id', maybeProcessed: false, staleConnection: false })
    })

    it('with `overload` when too many wait', async () => {
      const made = pool(() => new Promise(() => {}), { maxPending: 2 })
      send(made, get)
      send(made, get)
      assert.equal((await failureOf(send(made, get))).reason, 'overload')
      assert.equal(made.inFlight(), 2)
    })

    it('with advice when the endpoint speaks HTTP/1.1 only', async () => {
      let requests = 0
      const failure = await failureOf(send(pool(await listen(http.createServer(() => requests++))), get))
      assert.deepEqual([failure.reason, failure.maybeProcessed, requests], ['upstream-protocol', false, 0])
      assert.match(failure.detail, /HTTP\/1\.1.*appProtocol/)
    })

    it('when the endpoint says nothing at all within its time', async () => {
      const clock = fakeClock()
      const sockets: Socket[] = []
      const heard = send(pool(await listen(createServer((socket) => sockets.push(socket.on('error', () => {})))), {}, { settingsTimeoutMs: 700 }, clock), get)
      await until(() => sockets.length === 1)
      await new Promise((resolve) => setTimeout(resolve, 20))
      clock.advance(700)
      const failure = await failureOf(heard)
      assert.deepEqual([failure.reason, failure.maybeProcessed], ['upstream-protocol', false])
      sockets[0]?.destroy()
    })

    it('when the endpoint closes before its first frame', async () => {
      const failure = await failureOf(send(pool(await listen(createServer((socket) => socket.on('error', () => {}).end()))), get))
      assert.deepEqual([failure.reason, failure.maybeProcessed], ['connect-failure', false])
    })

    it('as not processed if the stream was refused, as maybe processed if it was reset otherwise', async () => {
      for (const [code, maybeProcessed] of [[http2.constants.NGHTTP2_REFUSED_STREAM, false], [http2.constants.NGHTTP2_INTERNAL_ERROR, true], [http2.constants.NGHTTP2_CANCEL, true]] as const) {
        const failure = await failureOf(send(pool(await endpoint((stream) => stream.close(code))), get))
        assert.deepEqual([failure.reason, failure.maybeProcessed, failure.staleConnection], ['upstream-reset', maybeProcessed, false])
      }
    })

    it('as not processed above the last stream of a GOAWAY, and lets those below finish', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream)), { maxConnections: 1 })
      const below = send(made, get)
      await until(() => streams.length === 1)
      const above = send(made, get)
      await until(() => streams.length === 2)
      sessions[0]?.goaway(http2.constants.NGHTTP2_NO_ERROR, streams[0]?.id ?? 0)
      const failure = await failureOf(above)
      assert.deepEqual([failure.reason, failure.maybeProcessed], ['upstream-reset', false])
      streams[0]?.respond({ ':status': 200 })
      streams[0]?.end('late')
      assert.equal(await bodyOf(below), 'late')
      const next = send(made, get)
      await until(() => streams.length === 3)
      assert.equal(dials, 2)
      next.stream.abort()
    })

    it('as stale if a connection that had served before closes without an answer', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => {
        if (streams.push(stream) === 1) echo(stream)
        else stream.session?.socket.destroySoon()
      }))
      assert.equal(await bodyOf(send(made, get)), '')
      const failure = await failureOf(send(made, get))
      assert.deepEqual([failure.reason, failure.maybeProcessed, failure.staleConnection], ['upstream-reset', true, true])
    })

    it('whose answer is cut, however the endpoint goes', async () => {
      const cuts: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
        'reset': (stream) => stream.destroy(new Error('x')),
        'session destroyed without a code': (stream) => stream.session?.destroy(),
        'session destroyed with a code': (stream) => stream.session?.destroy(new Error('x'), http2.constants.NGHTTP2_INTERNAL_ERROR),
        'socket closed': (stream) => stream.session?.socket.destroySoon(),
      }
      for (const [name, cut] of Object.entries(cuts)) {
        for (const paused of [false, true]) {
          const streams: ServerHttp2Stream[] = []
          const heard = send(pool(await endpoint((stream) => {
            streams.push(stream)
            stream.respond({ ':status': 200 })
            stream.write('half')
          })), get)
          if (paused) heard.stream.pause()
          await heard.head
          if (!paused) await until(() => heard.calls.includes('data'))
          assert.ok(streams[0])
          cut(streams[0])
          const failure = await failureOf(heard)
          assert.equal(failure.maybeProcessed, true, name)
          assert.ok(!heard.calls.includes('end'), name)
        }
      }
    })

    it('whose answer is cut by a reset with NO_ERROR in place of END_STREAM', async () => {
      for (const paused of [false, true]) {
        const { dial, peer } = await rawEndpoint()
        const heard = send(pool(dial), get)
        if (paused) heard.stream.pause()
        const endpointPeer = await peer
        await endpointPeer.find((each) => each.type === frameType.headers)
        endpointPeer.send(
          frame(frameType.headers, endHeaders, 1, fields([[':status', '200']])),
          frame(frameType.data, 0, 1, Buffer.from('half')),
          frame(frameType.rstStream, 0, 1, Buffer.from([0, 0, 0, 0])),
        )
        await heard.head
        if (paused) setTimeout(() => heard.stream.resume(), 20)
        const failure = await failureOf(heard)
        assert.deepEqual([failure.reason, failure.maybeProcessed], ['upstream-reset', true])
      }
    })

    it('but not one whose whole answer comes in one packet with a reset behind it', async () => {
      const { dial, peer } = await rawEndpoint()
      const heard = send(pool(dial), post)
      const endpointPeer = await peer
      await endpointPeer.find((each) => each.type === frameType.headers)
      endpointPeer.send(
        frame(frameType.headers, endHeaders, 1, fields([[':status', '200']])),
        frame(frameType.data, endStream, 1, Buffer.from('whole')),
        frame(frameType.rstStream, 0, 1, Buffer.from([0, 0, 0, 0])),
      )
      assert.equal(await bodyOf(heard), 'whole')
    })

    it('whose answer has another length than it said', async () => {
      const failure = await failureOf(send(pool(await endpoint((stream) => {
        stream.respond({ ':status': 200, 'content-length': 10 })
        stream.end('short')
      })), get))
      assert.equal(failure.reason, 'upstream-protocol')
    })

    it('whose header would become two on the wire', async () => {
      let requests = 0
      const failure = await failureOf(send(pool(await endpoint(() => requests++)), { ...get, headers: ['x', 'a\0evil\0b'] }))
      assert.deepEqual([failure.reason, failure.maybeProcessed, requests], ['upstream-protocol', false, 0])
    })

    it('when a PING stays without an answer', async () => {
      const clock = fakeClock()
      let stall: (() => void) | undefined
      const backend = http2.createServer()
      backend.on('stream', (stream) => stream.on('error', () => {}))
      const dial = await listen(backend)
      const made = pool(async () => {
        const socket = await dial()
        const { _handle } = socket as unknown as { readonly _handle: { readonly readStop: () => void } }
        stall = () => _handle.readStop()
        return socket
      }, {}, { pingIntervalMs: 1000, pingTimeoutMs: 500 }, clock)
      const served = once(backend, 'stream')
      const heard = send(made, get)
      await served
      // What the endpoint sends from now on is lost, as behind a dead link.
      stall?.()
      clock.advance(1000)
      clock.advance(500)
      const failure = await failureOf(heard)
      assert.equal(failure.reason, 'upstream-reset')
      assert.match(failure.detail, /PING/)
    })
  })

  describe('keeps connections', () => {
    it('one for many requests, and more when the endpoint allows fewer streams', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream), { maxConcurrentStreams: 2 }))
      const heard = [1, 2, 3, 4, 5].map(() => send(made, get))
      await until(() => streams.length === 5)
      assert.equal(dials, 3)
      assert.equal(made.inFlight(), 5)
      for (const stream of streams) echo(stream)
      for (const each of heard) assert.equal(await bodyOf(each), '')
      assert.equal(made.inFlight(), 0)
    })

    it('never beyond the endpoint\'s streams: the rest waits for room', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream), { maxConcurrentStreams: 2 }), { maxConnections: 1 })
      const heard = [1, 2, 3, 4].map(() => send(made, get))
      await until(() => streams.length === 2)
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.equal(streams.length, 2)
      echo(streams[0]!)
      await until(() => streams.length === 3)
      for (const stream of streams.slice(1)) echo(stream)
      await until(() => streams.length === 4)
      echo(streams[3]!)
      for (const each of heard) assert.equal(await bodyOf(each), '')
    })

    it('and goes beyond its own preferred number of streams rather than wait when there may be no more connections', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream)), { maxConnections: 2 }, { streamsPerConnection: 1 })
      Array.from({ length: 6 }, () => send(made, get))
      await until(() => streams.length === 6)
      assert.equal(dials, 2)
    })

    it('until they were idle for the limit', async () => {
      const clock = fakeClock()
      const made = pool(await endpoint(echo), {}, {}, clock)
      await bodyOf(send(made, get))
      await until(() => sessions.length === 1)
      clock.advance(limits.idleTimeoutMs / 2)
      await bodyOf(send(made, get))
      clock.advance(limits.idleTimeoutMs - 1)
      await bodyOf(send(made, get))
      assert.equal(dials, 1)
      await new Promise((resolve) => setTimeout(resolve, 20))
      const closed = once(sessions[0]!, 'close')
      clock.advance(2 * limits.idleTimeoutMs)
      await closed
      await bodyOf(send(made, get))
      assert.equal(dials, 2)
    })

    it('until they are too old: what is in flight finishes, the next request takes a new one', async () => {
      const clock = fakeClock()
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream)), { idleTimeoutMs: 1e9, maxAgeMs: 1000 }, {}, clock)
      const old = send(made, get)
      await until(() => streams.length === 1)
      clock.advance(1001)
      const young = send(made, get)
      await until(() => streams.length === 2)
      assert.equal(dials, 2)
      for (const stream of streams) echo(stream)
      assert.deepEqual([await bodyOf(old), await bodyOf(young)], ['', ''])
    })

    it('no longer once drained: idle ones close, requests finish, new ones fail', async () => {
      const streams: ServerHttp2Stream[] = []
      const made = pool(await endpoint((stream) => void streams.push(stream)))
      const heard = send(made, get)
      await until(() => streams.length === 1)
      made.drain()
      assert.equal((await failureOf(send(made, get))).maybeProcessed, false)
      const closed = once(sessions[0]!, 'close')
      echo(streams[0]!)
      assert.equal(await bodyOf(heard), '')
      await closed
    })

    it('and dials again after a failed dial', async () => {
      const good = await endpoint(echo)
      let first = true
      const made = pool(() => {
        if (!first) return good()
        first = false
        return Promise.reject(new DialError('connect-failure', 'refused'))
      })
      assert.equal((await failureOf(send(made, get))).reason, 'connect-failure')
      assert.equal(await bodyOf(send(made, get)), '')
    })
  })

  it('gives up the rest of a request whose answer is complete', async () => {
    const over = Promise.withResolvers<number>()
    const made = pool(await endpoint((stream) => {
      stream.on('close', () => over.resolve(stream.rstCode))
      stream.respond({ ':status': 200 }, { endStream: true })
      stream.resume()
    }))
    const heard = send(made, post)
    heard.stream.write(Buffer.from('some'))
    assert.equal(await bodyOf(heard), '')
    assert.equal(heard.stream.write(Buffer.from('more')), true)
    heard.stream.end()
    await over.promise
  })
})
