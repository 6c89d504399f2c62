import assert from 'node:assert/strict'
import { once } from 'node:events'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../src/kit/clock.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import { retiringEvent } from '../../src/transport/tunnel.ts'
import { DialError } from '../upstream.ts'
import type { Dial, PoolLimits, UpstreamHead, UpstreamPool } from '../upstream.ts'
import { createHttp1Pool } from './pool.ts'
import { ask, closeAll, dialTo, eventually, forward, later, listen, poolLimits, send, serve, talk } from './testing/harness.ts'
import type { Outcome } from './testing/harness.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

interface Origin {
  readonly port: number
  readonly sockets: net.Socket[]
  /** What came on each connection, as latin1. */
  readonly text: string[]
}

/** An endpoint that gives `answer` for each head that arrives. */
async function origin(answer: string | ((socket: net.Socket, count: number) => void)): Promise<Origin> {
  const sockets: net.Socket[] = []
  const text: string[] = []
  let count = 0
  const port = await listen((socket) => {
    const at = sockets.push(socket) - 1
    text[at] = ''
    let seen = 0
    socket.on('data', (chunk: Buffer) => {
      text[at] = (text[at] ?? '') + chunk.toString('latin1')
      for (const heads = (text[at] ?? '').split('\r\n\r\n').length - 1; seen < heads; seen++) {
        if (typeof answer === 'string') socket.write(answer, 'latin1')
        else answer(socket, count++)
      }
    })
    socket.on('end', () => socket.end())
  })
  return { port, sockets, text }
}

function poolTo(dial: Dial, limits: Partial<PoolLimits> = {}, clock: Clock = systemClock): UpstreamPool {
  const pool = createHttp1Pool(dial, { ...poolLimits, ...limits }, clock)
  later(() => pool.destroy())
  return pool
}

async function answerOf(bytes: string, head: Partial<UpstreamHead> = {}, end = false): Promise<Outcome> {
  const up = await origin((socket) => {
    socket.write(bytes, 'latin1')
    if (end) socket.end()
  })
  return send(poolTo(dialTo(up.port)), head).outcome
}

describe('an HTTP/1.1 pool', () => {
  afterEach(closeAll)

  it('takes no further request on a connection whose carrier retires: what is in flight is answered, what is idle ends', async () => {
    let answer = (): void => {}
    const up = await origin((socket) => (answer = () => void socket.write(ok)))
    const dialled: net.Socket[] = []
    const dial = dialTo(up.port)
    const pool = poolTo(async () => {
      const socket = await dial()
      dialled.push(socket)
      return socket
    })
    const busy = send(pool)
    await eventually(() => up.text[0]?.endsWith('\r\n\r\n') === true)
    dialled[0]?.emit(retiringEvent)
    answer()
    assert.equal((await busy.outcome).status, 200)
    const next = send(pool)
    await eventually(() => up.text[1]?.endsWith('\r\n\r\n') === true)
    answer()
    assert.equal((await next.outcome).status, 200)
    dialled[1]?.emit(retiringEvent)
    await eventually(() => dialled.every((socket) => socket.destroyed))
    assert.equal(up.sockets.length, 2)
  })

  describe('writes a request', () => {
    const heads: readonly (readonly [rule: string, head: Partial<UpstreamHead>, expected: string])[] = [
      ['with its host and headers', { target: '/a?b', headers: ['x-a', '1', 'x-a', '2'] }, 'GET /a?b HTTP/1.1\r\nhost: up.test\r\nx-a: 1\r\nx-a: 2\r\n\r\n'],
      ['with content-length 0 where a body is expected', { method: 'POST' }, 'POST / HTTP/1.1\r\nhost: up.test\r\ncontent-length: 0\r\n\r\n'],
      ['without a length where none is expected', { method: 'DELETE' }, 'DELETE / HTTP/1.1\r\nhost: up.test\r\n\r\n'],
      ['that takes trailers', { headers: ['te', 'trailers'] }, 'GET / HTTP/1.1\r\nhost: up.test\r\nte: trailers\r\nconnection: te\r\n\r\n'],
    ]
    for (const [rule, head, expected] of heads) {
      it(rule, async () => {
        const up = await origin(ok)
        assert.equal((await send(poolTo(dialTo(up.port)), head).outcome).status, 200)
        assert.deepEqual(up.text, [expected])
      })
    }

    it('with a body of known length, behind its head', async () => {
      const up = await origin(ok)
      const { stream, outcome } = send(poolTo(dialTo(up.port)), { method: 'PUT', length: 5 })
      stream.write(Buffer.from('hel'))
      stream.write(Buffer.from('lo'))
      stream.end()
      await outcome
      assert.deepEqual(up.text, ['PUT / HTTP/1.1\r\nhost: up.test\r\ncontent-length: 5\r\n\r\nhello'])
    })

    it('with a chunked body and trailers', async () => {
      const up = await origin((socket, count) => count === 1 && socket.write(ok))
      const { stream, outcome } = send(poolTo(dialTo(up.port)), { method: 'GET', length: undefined })
      stream.write(Buffer.from('hello world'))
      stream.write(Buffer.alloc(0))
      stream.end(['x-t', '1', 'host', 'evil'])
      await outcome
      assert.deepEqual(up.text, ['GET / HTTP/1.1\r\nhost: up.test\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\nx-t: 1\r\n\r\n'])
    })

    it('in large pieces without copying them into something else', async () => {
      const up = await origin((socket, count) => count === 1 && socket.write(ok))
      const { stream, outcome } = send(poolTo(dialTo(up.port)), { method: 'POST', length: undefined })
      const piece = 'y'.repeat(100_000)
      stream.write(Buffer.from(piece))
      stream.end()
      await outcome
      assert.ok(up.text[0]?.endsWith(`chunked\r\n\r\n186a0\r\n${piece}\r\n0\r\n\r\n`))
    })

    const unwritable: Partial<UpstreamHead>[] = [
      { target: '/a b' }, { target: '/\r\nA: b' }, { target: '/\u010a' }, { target: '' }, { method: 'GET /x' }, { authority: 'a\r\nb' },
      { headers: ['a', 'b\r\nc: d'] }, { headers: ['a\nb', 'c'] }, { headers: ['a', 'b\0'] }, { headers: ['a', '\u560d\u560aSet-Cookie: x'] },
    ]
    for (const head of unwritable) {
      it(`but never ${JSON.stringify(head)}`, async () => {
        const up = await origin(ok)
        const pool = poolTo(dialTo(up.port))
        const { failure } = await send(pool, head).outcome
        assert.deepEqual([failure?.reason, failure?.maybeProcessed], ['upstream-protocol', false])
        assert.equal((await send(pool, {}).outcome).status, 200)
        assert.deepEqual(up.text.join(''), 'GET / HTTP/1.1\r\nhost: up.test\r\n\r\n')
      })
    }

    it('nor the body of such a request', async () => {
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port))
      await send(pool).outcome
      const { stream, outcome } = send(pool, { method: 'POST', target: '/a b', length: 3 })
      stream.write(Buffer.from('abc'))
      stream.end()
      assert.equal((await outcome).failure?.reason, 'upstream-protocol')
      await send(pool).outcome
      const get = 'GET / HTTP/1.1\r\nhost: up.test\r\n\r\n'
      assert.deepEqual(up.text, [get + get])
    })

    it('and fails when its body is not as long as announced', async () => {
      const up = await origin(() => {})
      const pool = poolTo(dialTo(up.port))
      const longer = send(pool, { method: 'POST', length: 3 })
      longer.stream.write(Buffer.from('four'))
      assert.equal((await longer.outcome).failure?.reason, 'upstream-protocol')
      const shorter = send(pool, { method: 'POST', length: 3 })
      shorter.stream.end()
      assert.equal((await shorter.outcome).failure?.reason, 'upstream-protocol')
      assert.equal(pool.inFlight(), 0)
    })
  })

  describe('reads an answer', () => {
    it('with a length', async () => {
      const got = await answerOf('HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\nKeep-Alive: x\r\n\r\nhello')
      assert.deepEqual([got.status, got.headers, got.length, got.body, got.trailers], [201, ['x-a', 'b'], 5, 'hello', []])
    })

    it('in chunks, with trailers', async () => {
      const got = await answerOf('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;e\r\nhello\r\n0\r\nX-T: 1\r\nSet-Cookie: a\r\n\r\n')
      assert.deepEqual([got.length, got.body, got.trailers], [undefined, 'hello', ['x-t', '1']])
    })

    it('until the connection ends', async () => {
      const got = await answerOf('HTTP/1.1 200 OK\r\n\r\nhello', {}, true)
      assert.deepEqual([got.length, got.body, got.failure], [undefined, 'hello', undefined])
    })

    it('to HEAD, with the length that a GET would have had', async () => {
      const got = await answerOf('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { method: 'HEAD' })
      assert.deepEqual([got.status, got.length, got.body, got.failure], [200, 5, '', undefined])
    })

    for (const status of [204, 304]) {
      it(`${status} without a body`, async () => {
        const got = await answerOf(`HTTP/1.1 ${status} X\r\nETag: x\r\n\r\n`)
        assert.deepEqual([got.status, got.body, got.failure], [status, '', undefined])
      })
    }

    it('after interim ones', async () => {
      const got = await answerOf(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${ok}`)
      assert.deepEqual([got.informational, got.status, got.body], [[100, 103], 200, 'ok'])
    })

    const bad: readonly string[] = [
      'SSH-2.0-OpenSSH\r\n', 'HTTP/2.0 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\nA: b\n\n', 'HTTP/1.1 200 OK\r\nA : b\r\n\r\n', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      'HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\nabc', 'HTTP/1.1 102 X\r\n\r\n'.repeat(33), `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}\r\n\r\n`,
      '\x00\x00\x12\x04\x00\x00\x00\x00\x00', 'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok',
    ]
    for (const bytes of bad) {
      it(`but fails with upstream-protocol on ${JSON.stringify(bytes.slice(0, 80))}`, async () => {
        const { failure } = await answerOf(bytes)
        assert.deepEqual([failure?.reason, failure?.maybeProcessed, failure?.staleConnection], ['upstream-protocol', true, false])
      })
    }

    const cut: readonly string[] = ['', 'HTTP/1.1 200', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', 'HTTP/1.1 100 Continue\r\n\r\n']
    for (const bytes of cut) {
      it(`but fails with upstream-reset when it ends after ${JSON.stringify(bytes)}`, async () => {
        const { failure } = await answerOf(bytes, {}, true)
        assert.deepEqual([failure?.reason, failure?.maybeProcessed, failure?.staleConnection], ['upstream-reset', true, false])
      })
    }

    it('but fails when a body without a length is reset instead of ended', async () => {
      const up = await origin((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\npart'))
      const { outcome, seen } = send(poolTo(dialTo(up.port)))
      await eventually(() => seen().body === 'part')
      up.sockets[0]?.resetAndDestroy()
      assert.equal((await outcome).failure?.reason, 'upstream-reset')
    })

    it('and holds no more than a buffer while its taker pauses: a huge answer', async () => {
      const total = 30 * 1024 * 1024
      const up = await origin((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
        socket.write(Buffer.alloc(total))
      })
      let got = 0
      let most = 0
      let link: net.Socket | undefined
      const pool = poolTo(async () => (link = await dialTo(up.port)()))
      const asked = send(pool, {}, {
        onData: (chunk) => {
          got += chunk.length
          asked.stream.pause()
          setImmediate(() => {
            most = Math.max(most, link?.readableLength ?? 0)
            asked.stream.resume()
          })
        },
      })
      assert.equal((await asked.outcome).failure, undefined)
      assert.equal(got, total)
      assert.ok(most <= 256 * 1024, `${most} bytes were buffered`)
    })
  })

  it('tells the sender of a body to wait while the endpoint does not read', async () => {
    const up = await origin((socket) => socket.pause())
    let link: net.Socket | undefined
    let drained = 0
    const pool = poolTo(async () => (link = await dialTo(up.port)()))
    const piece = Buffer.alloc(64 * 1024)
    const { stream } = send(pool, { method: 'POST', length: undefined }, { onDrain: () => drained++ })
    assert.equal(stream.write(piece), false)
    await eventually(() => drained === 1)
    let pieces = 0
    while (stream.write(piece)) pieces++
    for (;;) {
      const before = drained
      for (let i = 0; i < 20 && drained === before; i++) await new Promise((resolve) => setTimeout(resolve, 1))
      if (drained === before) break
      while (stream.write(piece)) pieces++
    }
    assert.ok((link?.writableLength ?? 0) <= 4 * piece.length, `${link?.writableLength} bytes were buffered after ${pieces} pieces`)
    const before = drained
    up.sockets[0]?.resume()
    await eventually(() => drained > before)
  })

  it('sends the head of a body that waits for 100, and relays that 100', async () => {
    const up = await origin((socket, count) => socket.write(count === 0 ? 'HTTP/1.1 100 Continue\r\n\r\n' : ok))
    const { stream, outcome, seen } = send(poolTo(dialTo(up.port)), { method: 'POST', length: undefined, headers: ['expect', '100-continue'] })
    await eventually(() => seen().informational.length === 1)
    stream.write(Buffer.from('body'))
    stream.end()
    assert.equal((await outcome).status, 200)
    assert.match(up.text[0] ?? '', /expect: 100-continue\r\n/)
  })

  describe('keeps connections', () => {
    it('and uses the last one first', async () => {
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port))
      await Promise.all([send(pool).outcome, send(pool).outcome])
      for (let i = 0; i < 3; i++) await send(pool).outcome
      assert.equal(up.sockets.length, 2)
      const counts = up.text.map((each) => each.split('GET').length - 1).sort()
      assert.deepEqual(counts, [1, 4])
    })

    const dropped: readonly (readonly [rule: string, answer: string])[] = [
      ['an answer that says close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
      ['an HTTP/1.0 answer', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
      ['bytes behind an answer', `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
      ['a body behind an answer to HEAD', ok],
    ]
    for (const [rule, answer] of dropped) {
      it(`but not after ${rule}`, async () => {
        const up = await origin(answer)
        const pool = poolTo(dialTo(up.port))
        for (let i = 0; i < 2; i++) assert.equal((await send(pool, rule.includes('HEAD') ? { method: 'HEAD' } : {}).outcome).status, 200)
        assert.equal(up.sockets.length, 2)
      })
    }

    it('and drops one that speaks without being asked', async () => {
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port))
      await send(pool).outcome
      up.sockets[0]?.write('HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n')
      await once(up.sockets[0] as net.Socket, 'end')
      assert.equal((await send(pool).outcome).status, 200)
      assert.equal(up.sockets.length, 2)
    })

    it('but not after an answer that came before the request was complete', async () => {
      const up = await origin('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n')
      const pool = poolTo(dialTo(up.port))
      const { stream, outcome } = send(pool, { method: 'POST', length: 100 })
      stream.write(Buffer.from('some'))
      assert.equal((await outcome).status, 413)
      assert.equal(stream.write(Buffer.from('more')), true)
      stream.end()
      await send(pool).outcome
      assert.equal(up.sockets.length, 2)
    })

    it('and passes the beginning of an early answer on while the request still goes out', async () => {
      const up = await origin((socket, count) => socket.write(count === 0 ? 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab' : 'cd'))
      const pool = poolTo(dialTo(up.port))
      const { stream, outcome, seen } = send(pool, { method: 'POST', length: undefined })
      stream.write(Buffer.from('x'))
      await eventually(() => seen().body === 'ab')
      stream.write(Buffer.from('y'))
      stream.end()
      assert.equal((await outcome).body, 'abcd')
      await send(pool).outcome
      assert.equal(up.sockets.length, 1)
    })

    it('no longer than their idle timeout', async () => {
      const clock = fakeClock()
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port), { idleTimeoutMs: 1000 }, clock)
      await Promise.all([send(pool).outcome, send(pool).outcome])
      clock.advance(600)
      await send(pool).outcome
      clock.advance(600)
      await eventually(() => up.sockets.filter((each) => each.readableEnded).length === 1)
      clock.advance(600)
      await eventually(() => up.sockets.filter((each) => each.readableEnded).length === 2)
    })

    it('no longer than their age', async () => {
      const clock = fakeClock()
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port), { idleTimeoutMs: 10_000, maxAgeMs: 1000 }, clock)
      await send(pool).outcome
      clock.advance(999)
      await send(pool).outcome
      assert.equal(up.sockets.length, 1)
      clock.advance(1)
      await send(pool).outcome
      assert.equal(up.sockets.length, 2)
    })

    it('and says that one was stale when it closes before the first byte of an answer', async () => {
      for (const how of ['end', 'reset'] as const) {
        const up = await origin((socket, count) => {
          if (count === 0) socket.write(ok)
          else if (how === 'end') socket.end()
          else socket.resetAndDestroy()
        })
        const pool = poolTo(dialTo(up.port))
        await send(pool).outcome
        const { failure } = await send(pool).outcome
        assert.deepEqual([failure?.reason, failure?.staleConnection, failure?.maybeProcessed], ['upstream-reset', true, true])
        assert.equal((await send(pool).outcome).failure?.staleConnection, false, 'a new connection is never stale')
      }
    })

    it('and does not call one stale once an answer began', async () => {
      const up = await origin((socket, count) => (count === 0 ? socket.write(ok) : socket.end('HTTP/1.1 2')))
      const pool = poolTo(dialTo(up.port))
      await send(pool).outcome
      assert.equal((await send(pool).outcome).failure?.staleConnection, false)
    })

    it('and does not use one that the endpoint has closed meanwhile', async () => {
      const up = await origin(ok)
      let link: net.Socket | undefined
      const pool = poolTo(async () => (link = await dialTo(up.port)()))
      await send(pool).outcome
      const first = link
      up.sockets[0]?.end()
      await eventually(() => first?.readableEnded === true)
      assert.equal((await send(pool).outcome).status, 200)
      assert.equal(up.sockets.length, 2)
    })
  })

  describe('is bounded', () => {
    it('in connections: further requests wait for one', async () => {
      const waiting: net.Socket[] = []
      const up = await origin((socket) => void waiting.push(socket))
      const pool = poolTo(dialTo(up.port), { maxConnections: 2 })
      const asked = [1, 2, 3, 4].map(() => send(pool))
      await eventually(() => waiting.length === 2)
      assert.equal(pool.inFlight(), 4)
      for (let i = 0; i < 4; i++) {
        await eventually(() => waiting.length > i)
        waiting[i]?.write(ok)
      }
      for (const each of asked) assert.equal((await each.outcome).status, 200)
      assert.equal(up.sockets.length, 2)
      assert.equal(pool.inFlight(), 0)
    })

    it('in connections: a waiting request gets a new one when the busy one breaks', async () => {
      const up = await origin((socket, count) => (count === 0 ? socket.resetAndDestroy() : socket.write(ok)))
      const pool = poolTo(dialTo(up.port), { maxConnections: 1 })
      const [first, second] = [send(pool), send(pool)]
      assert.equal((await first.outcome).failure?.reason, 'upstream-reset')
      assert.equal((await second.outcome).status, 200)
    })

    it('in waiting requests: one more fails with overload, later than the call', async () => {
      const up = await origin(() => {})
      const pool = poolTo(dialTo(up.port), { maxConnections: 1, maxPending: 1 })
      send(pool)
      send(pool)
      const third = send(pool)
      assert.equal(third.seen().failure, undefined)
      const { failure } = await third.outcome
      assert.deepEqual([failure?.reason, failure?.maybeProcessed], ['overload', false])
      assert.equal(pool.inFlight(), 2)
    })
  })

  describe('whose dial fails', () => {
    it('says why, and that nothing was processed', async () => {
      for (const [error, reason] of [[new DialError('peer-identity', 'not who it should be'), 'peer-identity'], [new DialError('connect-timeout', 'slow'), 'connect-timeout'], [new Error('other'), 'connect-failure']] as const) {
        const pool = poolTo(() => Promise.reject(error))
        const { failure } = await send(pool).outcome
        assert.deepEqual(failure, { reason, detail: error.message, maybeProcessed: false, staleConnection: false })
        assert.equal(pool.inFlight(), 0)
      }
    })

    it('fails each waiting request once and works again after it', async () => {
      const up = await origin(ok)
      let broken = true
      const pool = poolTo(() => (broken ? Promise.reject(new Error('refused')) : dialTo(up.port)()), { maxConnections: 2 })
      const outcomes = await Promise.all([1, 2, 3, 4, 5].map(() => send(pool).outcome))
      assert.deepEqual(outcomes.map((each) => each.failure?.reason), Array(5).fill('connect-failure'))
      broken = false
      assert.equal((await send(pool).outcome).status, 200)
    })
  })

  it('lets a dial that nobody waits for any more fail unseen', async () => {
    const up = await origin(ok)
    const dials: { resolve: (socket: net.Socket) => void; reject: (error: Error) => void }[] = []
    const pool = poolTo(() => new Promise((resolve, reject) => void dials.push({ resolve, reject })))
    const [first, second] = [send(pool), send(pool)]
    first.stream.abort()
    dials[0]?.reject(new Error('refused'))
    dials[1]?.resolve(await dialTo(up.port)())
    assert.equal((await second.outcome).status, 200)
  })

  it('takes a body before it has a connection', async () => {
    const up = await origin(() => {})
    let drained = 0
    const { stream, outcome } = send(poolTo(dialTo(up.port)), { method: 'POST', length: 4 }, { onDrain: () => drained++ })
    assert.equal(stream.write(Buffer.from('ab')), false)
    await eventually(() => drained === 1)
    stream.write(Buffer.from('cd'))
    stream.end()
    await eventually(() => up.text[0]?.endsWith('\r\n\r\nabcd') === true)
    up.sockets[0]?.write(ok)
    assert.equal((await outcome).status, 200)
  })

  describe('lets a request be given up', () => {
    it('before it has a connection, which the next one then gets', async () => {
      const up = await origin(ok)
      const pool = poolTo(dialTo(up.port), { maxConnections: 1 })
      const first = send(pool)
      first.stream.abort()
      first.stream.abort()
      assert.equal(pool.inFlight(), 0)
      assert.equal((await send(pool).outcome).status, 200)
      assert.equal(up.sockets.length, 1)
      assert.equal(up.text[0]?.match(/GET/g)?.length, 1)
      assert.deepEqual(first.seen().status, undefined)
    })

    it('while it is on its way, so that the endpoint sees a reset', async () => {
      const up = await origin((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe'))
      const pool = poolTo(dialTo(up.port))
      const { stream, seen } = send(pool)
      await eventually(() => seen().body === 'he')
      const cut = new Promise<NodeJS.ErrnoException>((resolve) => up.sockets[0]?.once('error', resolve))
      stream.abort()
      assert.equal((await cut).code, 'ECONNRESET')
      assert.equal(seen().failure, undefined)
      assert.equal(pool.inFlight(), 0)
      send(pool)
      await eventually(() => up.sockets.length === 2)
    })
  })

  it('hands an upgraded connection over, with the bytes behind the 101', async () => {
    const up = await origin((socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-A: b\r\n\r\nfirst')
    })
    const pool = poolTo(dialTo(up.port))
    const { upgraded, headers } = await send(pool, { upgrade: 'websocket' }).outcome
    assert.deepEqual(headers, ['sec-a', 'b'])
    assert.match(up.text[0] ?? '', /connection: upgrade\r\nupgrade: websocket\r\n/)
    const [chunk] = (await once(upgraded as Duplex, 'data')) as [Buffer]
    assert.equal(chunk.toString(), 'first')
    ;(upgraded as Duplex).write('raw')
    await eventually(() => up.text[0]?.endsWith('raw') === true)
    pool.destroy()
    assert.equal((upgraded as Duplex).destroyed, false)
    ;(upgraded as Duplex).destroy()
  })

  it('drains: lets requests finish, closes idle connections now, takes nothing new', async () => {
    const waiting: net.Socket[] = []
    const up = await origin((socket, count) => (count === 0 ? socket.write(ok) : void waiting.push(socket)))
    const pool = poolTo(dialTo(up.port), { maxConnections: 1 })
    await send(pool).outcome
    const running = send(pool)
    const pending = send(pool)
    await eventually(() => waiting.length === 1)
    pool.drain()
    const { failure } = await send(pool).outcome
    assert.deepEqual([failure?.reason, failure?.maybeProcessed], ['connect-failure', false])
    waiting[0]?.write(ok)
    assert.equal((await running.outcome).status, 200)
    await eventually(() => waiting.length === 2)
    waiting[1]?.write(ok)
    assert.equal((await pending.outcome).status, 200)
    await eventually(() => up.sockets.every((each) => each.readableEnded))
  })

  it('that is destroyed fails what it carries and what waits', async () => {
    const up = await origin(() => {})
    const pool = poolTo(dialTo(up.port), { maxConnections: 1 })
    const [running, pending] = [send(pool), send(pool)]
    await eventually(() => up.text[0] !== undefined && up.text[0] !== '')
    pool.destroy()
    assert.deepEqual([(await running.outcome).failure?.maybeProcessed, (await pending.outcome).failure?.maybeProcessed], [true, false])
    assert.equal(pool.inFlight(), 0)
  })

  it('behind a server makes a proxy: upgrades are raw both ways, and a reset stays one', async () => {
    const up = await origin((socket, count) => {
      if (count === 0) socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
      else {
        socket.write('HTTP/1.1 200 OK\r\n\r\npart')
        setImmediate(() => socket.resetAndDestroy())
      }
    })
    const proxy = await serve(forward(poolTo(dialTo(up.port))))
    const client = talk(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n')
    await client.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/)
    client.socket.write('ping')
    await eventually(() => up.text[0]?.endsWith('ping') === true)
    up.sockets[0]?.write('pong')
    await client.until(/pong$/)
    const second = talk(proxy.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n')
    assert.equal(await second.closed, 'reset')
    assert.equal(await ask(proxy.port, 'BAD\r\n\r\n').then((text) => text.slice(0, 12)), 'HTTP/1.1 400')
  })
})
