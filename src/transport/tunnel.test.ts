import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex, addAbortSignal } from 'node:stream'
import { systemClock } from '../kit/clock.ts'
import { readToEnd } from '../kit/testing/read.ts'
import { createHboneClient } from './hbone-client.ts'
import type { HboneClient } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import { dialLoopback, listenTcp, testMesh } from './testing/mesh.ts'
import { splice } from './tunnel.ts'
import { relay } from './testing/relay.ts'
import type { SpliceResult } from './tunnel.ts'

/**
 * client socket ─ splice ─ HBONE client ═ HBONE server ─ splice ─ application socket: all that a captured connection passes.
 */
interface Leg {
  readonly dial: () => Promise<Socket>
  readonly app: () => Promise<Socket>
  readonly results: Promise<SpliceResult>[]
  readonly client: HboneClient
  readonly close: () => Promise<void>
}

async function leg(): Promise<Leg> {
  const mesh = testMesh()
  const waiting: ((socket: Socket) => void)[] = []
  const arrived: Socket[] = []
  const results: Promise<SpliceResult>[] = []
  const app = await listenTcp((socket) => {
    const next = waiting.shift()
    if (next === undefined) arrived.push(socket)
    else next(socket)
  })
  const server = await listenHbone({
    credentials: mesh.source('server'),
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    onTunnel: (tunnel) => void dialLoopback(app.port).then((backend) => results.push(splice(tunnel.accept(), backend).done)),
  })
  const client = createHboneClient({ credentials: mesh.source('client'), clock: systemClock })
  const entry = await listenTcp((socket) => {
    const request = { host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } } as const
    void client.connect(request).then((tunnel) => results.push(splice(socket, tunnel).done))
  })
  return {
    dial: () => dialLoopback(entry.port),
    app: () => new Promise((resolve) => {
      const socket = arrived.shift()
      if (socket === undefined) waiting.push(resolve)
      else resolve(socket)
    }),
    results,
    client,
    close: async () => {
      entry.close()
      app.close()
      client.close()
      await server.close()
    },
  }
}

/** Unlike `once`, not rejected by an error. */
const closed = (stream: Duplex): Promise<void> => new Promise((resolve) => { if (stream.closed) resolve(); else stream.once('close', resolve) })
const megabytes = (count: number): Buffer => Buffer.alloc(count * 1024 * 1024, 'x')

describe('splice', () => {
  let all: Leg
  before(async () => { all = await leg() })
  after(() => all.close())

  const pair = async (): Promise<{ socket: Socket; app: Socket }> => {
    const [socket, app] = await Promise.all([all.dial(), all.app()])
    return { socket, app }
  }

  it('carries bytes both ways and ends cleanly by halves: an upload that ends is answered', async () => {
    const { socket, app } = await pair()
    socket.end(megabytes(5))
    assert.equal((await readToEnd(app)).length, 5 * 1024 * 1024)
    app.end(megabytes(3))
    assert.equal((await readToEnd(socket)).length, 3 * 1024 * 1024)
    await Promise.all([closed(socket), closed(app)])
    const results = await Promise.all(all.results.splice(0))
    assert.deepEqual(results.map(({ ended, bytesAtoB, bytesBtoA }) => [ended, bytesAtoB, bytesBtoA]), [['clean', 5 << 20, 3 << 20], ['clean', 5 << 20, 3 << 20]])
  })

  it('lets the application end first and still takes the rest of the upload', async () => {
    const { socket, app } = await pair()
    app.end('answer')
    assert.equal(String(await readToEnd(socket)), 'answer')
    socket.end('late upload')
    assert.equal(String(await readToEnd(app)), 'late upload')
    assert.deepEqual((await Promise.all(all.results.splice(0))).map(({ ended }) => ended), ['clean', 'clean'])
  })

  it('passes a reset of the client on to the application, as a reset', async () => {
    const { socket, app } = await pair()
    socket.write('half a request')
    await once(app, 'data')
    socket.resetAndDestroy()
    await assert.rejects(readToEnd(app), { code: 'ECONNRESET' })
    const results = await Promise.all(all.results.splice(0))
    assert.deepEqual(results.map(({ ended }) => ended), ['reset', 'reset'])
  })

  it('passes a reset in the middle of a bulk answer on to the client: a truncated answer never looks complete', async () => {
    for (const size of [0, 1, 20_000, 3_000_000]) {
      const { socket, app } = await pair()
      socket.write('request')
      await once(app, 'data')
      const answer = readToEnd(socket)
      if (size > 0) app.write(Buffer.alloc(size), () => app.resetAndDestroy())
      else app.resetAndDestroy()
      await assert.rejects(answer, { code: 'ECONNRESET' }, `after ${size} bytes`)
    }
    const results = await Promise.all(all.results.splice(0))
    assert.ok(results.every(({ ended }) => ended === 'reset'))
  })

  it('passes a reset on that comes after one side has ended', async () => {
    const { socket, app } = await pair()
    socket.end('whole request')
    assert.equal(String(await readToEnd(app)), 'whole request')
    const answer = readToEnd(socket)
    app.write('half an ans', () => app.resetAndDestroy())
    await assert.rejects(answer, { code: 'ECONNRESET' })
    all.results.length = 0
  })

  it('resets the application when the session under the tunnel dies', async () => {
    const own = await leg()
    const [socket, app] = await Promise.all([own.dial(), own.app()])
    socket.write('x')
    await once(app, 'data')
    const ends = [assert.rejects(readToEnd(app), { code: 'ECONNRESET' }), assert.rejects(readToEnd(socket), { code: 'ECONNRESET' })]
    own.client.close()
    await Promise.all(ends)
    await own.close()
  })

  it('resets both when the session dies after one side has ended', async () => {
    const own = await leg()
    const [socket, app] = await Promise.all([own.dial(), own.app()])
    socket.end('whole request')
    assert.equal(String(await readToEnd(app)), 'whole request')
    const answer = assert.rejects(readToEnd(socket), { code: 'ECONNRESET' })
    own.client.close()
    await answer
    // A reset after the end is seen when one writes.
    app.write('answer')
    await closed(app)
    assert.deepEqual((await Promise.all(own.results)).map(({ ended }) => ended), ['reset', 'reset'])
    await own.close()
  })

  it('says no end to any reader of a stream that was cut, however it was and whichever half was open', async () => {
    for (const half of ['open', 'ended'] as const) {
      for (const cutter of ['close', 'network', 'RST_STREAM CANCEL'] as const) {
        const mesh = testMesh()
        const abort = new AbortController()
        const server = await listenHbone({
          credentials: mesh.source('server'),
          host: '127.0.0.1',
          port: 0,
          clock: systemClock,
          onTunnel: (tunnel) => addAbortSignal(abort.signal, tunnel.accept()).write('half an answer'),
        })
        const middle = await relay(server.address.port)
        const client = createHboneClient({ credentials: mesh.source('client'), clock: systemClock })
        const stream = await client.connect({ host: '127.0.0.1', port: middle.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } })
        if (half === 'ended') stream.end('request')
        await once(stream, 'data')
        let ended = false
        stream.on('end', () => { ended = true })
        if (cutter === 'close') client.close()
        else if (cutter === 'network') middle.close()
        else abort.abort()
        await closed(stream)
        assert.equal(ended, false, `cut by ${cutter}, own half ${half}`)
        client.close()
        middle.close()
        await server.close()
      }
    }
  })

  it('believes no end of a stream that was reset: Node may emit it before it says so', async () => {
    const { socket, app } = await pair()
    const stream = Object.assign(new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() }), { rstCode: 8 })
    const { done } = splice(stream, socket)
    stream.push(null)
    assert.equal((await done).ended, 'reset')
    await assert.rejects(readToEnd(app), { code: 'ECONNRESET' })
    all.results.length = 0
  })

  it('resets a side whose other side was gone before it began', async () => {
    const [socket, app] = await Promise.all([all.dial(), all.app()])
    const [other] = await Promise.all([all.dial(), all.app()])
    other.destroy()
    assert.deepEqual(await splice(other, socket).done, { bytesAtoB: 0, bytesBtoA: 0, ended: 'reset', resetBy: 'a' })
    await assert.rejects(readToEnd(app), { code: 'ECONNRESET' })
    all.results.length = 0
  })

  it('holds little for 40 readers that stall in bulk answers, and serves small requests beside them', async function () {
    this.timeout(60_000)
    const stalled: { reader: Socket; sender: Socket; sent: () => number }[] = []
    const block = megabytes(1)
    for (let index = 0; index < 40; index++) {
      const { socket, app } = await pair()
      // Three downloads for each upload.
      const [reader, sender] = index % 4 === 0 ? [app, socket] : [socket, app]
      reader.pause()
      let sent = 0
      const push = (): void => {
        while (sent < 100 && sender.write(block)) sent++
        sent++
      }
      sender.on('drain', push)
      push()
      stalled.push({ reader, sender, sent: () => sent })
    }
    for (let round = 0; round < 200; round++) {
      const { socket, app } = await pair()
      socket.end('ping')
      assert.equal(String(await readToEnd(app)), 'ping')
      app.end('pong')
      assert.equal(String(await readToEnd(socket)), 'pong')
    }
    // Kernel buffers, windows of the streams and our own: far below the 100 MB that each sender has to say.
    for (const { sent } of stalled) assert.ok(sent() <= 20, `a stalled tunnel took ${sent()} MiB`)
    for (const { reader } of stalled) reader.resetAndDestroy()
    await Promise.all(stalled.map(({ sender }) => closed(sender)))
    const results = await Promise.all(all.results.splice(0))
    assert.equal(results.filter(({ ended }) => ended === 'clean').length, 400)
  })
})
