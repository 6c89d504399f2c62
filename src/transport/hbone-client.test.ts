import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { ServerHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import { connect as connectTcp } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { systemClock } from '../kit/clock.ts'
import type { Clock } from '../kit/clock.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import { readToEnd } from '../kit/testing/read.ts'
import { serverOptions } from './contexts.ts'
import { HboneError } from './errors.ts'
import { createHboneClient } from './hbone-client.ts'
import type { HboneClient, TunnelRequest } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import type { HboneServer, HboneServerOptions, IncomingTunnel } from './hbone-server.ts'
import type { HboneClientLimits } from './hbone-session.ts'
import { listenTcp, testMesh } from './testing/mesh.ts'
import { retiringEvent } from './tunnel.ts'
import { relay } from './testing/relay.ts'

const mesh = testMesh()

describe('createHboneClient', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

  /** Answers every tunnel with an echo, unless told otherwise. */
  const listen = async (options: Partial<HboneServerOptions> = {}, name = 'server'): Promise<HboneServer> => {
    const server = await listenHbone({
      credentials: mesh.source(name),
      host: '127.0.0.1',
      port: 0,
      clock: systemClock,
      onTunnel: (tunnel) => {
        const stream = tunnel.accept()
        stream.pipe(stream)
      },
      ...options,
    })
    cleanups.push(() => server.close())
    return server
  }
  const dialler = (limits: Partial<HboneClientLimits> = {}, clock: Clock = systemClock): HboneClient => {
    const client = createHboneClient({ credentials: mesh.source('client'), clock, limits })
    cleanups.push(() => client.close())
    return client
  }
  const to = (port: number, more: Partial<TunnelRequest> = {}): TunnelRequest => ({
    host: '127.0.0.1', port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') }, ...more,
  })
  const echo = async (stream: Duplex, text: string): Promise<void> => {
    stream.end(text)
    assert.equal(String(await readToEnd(stream)), text)
  }
  const failure = async (connecting: Promise<Duplex>): Promise<HboneError> => {
    const error = await connecting.then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof HboneError, String(error))
    return error
  }
  /** Turns the clock until `done` is there. */
  const turn = async <T>(clock: { readonly advance: (ms: number) => void }, stepMs: number, done: Promise<T>): Promise<T> => {
    const state = { settled: false }
    void done.then(() => { state.settled = true }, () => { state.settled = true })
    for (let step = 0; !state.settled; step++) {
      assert.ok(step < 2000, 'it never ended')
      clock.advance(stepMs)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    return done
  }

  it('shares one session among tunnels, also among those that are asked for while it is dialled', async () => {
    const server = await listen()
    const client = dialler()
    const streams = await Promise.all(Array.from({ length: 50 }, () => client.connect(to(server.address.port))))
    assert.deepEqual([client.stats(), server.sessions()], [{ sessions: 1, tunnels: 50 }, 1])
    await Promise.all(streams.map((stream, index) => echo(stream, `tunnel ${index}`)))
  })

  it('keeps within the peer\'s limit and opens further sessions: no tunnel waits for another', async () => {
    const server = await listen({ limits: { maxTunnelsPerSession: 3 } })
    const client = dialler()
    const streams = await Promise.all(Array.from({ length: 10 }, () => client.connect(to(server.address.port))))
    assert.equal(server.tunnels(), 10)
    assert.ok(server.sessions() >= 4)
    await Promise.all(streams.map((stream) => echo(stream, 'x')))
  })

  it('puts 100 tunnels at most into a session, whatever the peer allows, and refuses more than its sessions hold', async () => {
    const server = await listen()
    const client = dialler({ maxSessionsPerPeer: 2 })
    const streams = await Promise.all(Array.from({ length: 200 }, () => client.connect(to(server.address.port))))
    assert.equal(server.sessions(), 2)
    const { code, reason, sent } = await failure(client.connect(to(server.address.port)))
    assert.deepEqual({ code, reason, sent }, { code: 'refused', reason: 'overload', sent: false })
    await Promise.all(streams.map((stream) => echo(stream, 'x')))
  })

  it('uses no session of one expected identity for another', async () => {
    const server = await listen()
    const client = dialler()
    const first = await client.connect(to(server.address.port))
    const second = await client.connect(to(server.address.port, { peer: { kind: 'any-of', ids: [mesh.id('other'), mesh.id('server')] } }))
    assert.equal(server.sessions(), 2)
    await Promise.all([echo(first, 'a'), echo(second, 'b')])
  })

  it('sends nothing to a peer of another identity, of another mesh, or that speaks no HTTP/2', async () => {
    let seen = 0
    const pretend = async (options: ReturnType<typeof serverOptions>): Promise<number> => {
      const server = createTlsServer(options, (socket) => {
        socket.on('error', () => {})
        socket.on('data', (chunk: Buffer) => { seen += chunk.length })
      })
      server.on('tlsClientError', () => {})
      server.listen(0, '127.0.0.1')
      cleanups.push(() => server.close())
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }
    const client = dialler()
    const wrong = await failure(client.connect(to(await pretend(serverOptions(mesh.issue('other'), 5000)))))
    assert.deepEqual([wrong.code, wrong.sent], ['peer-identity', false])
    assert.match(wrong.message, /sa\/other, not spiffe:.*sa\/server/)
    const foreign = await failure(client.connect(to(await pretend({ ...serverOptions(testMesh().issue('server'), 5000), requestCert: false }))))
    assert.deepEqual([foreign.code, foreign.sent], ['peer-identity', false])
    const other = await failure(client.connect(to(await pretend({ ...serverOptions(mesh.issue('server'), 5000), ALPNProtocols: ['http/1.1'] }))))
    assert.deepEqual([other.code, other.sent], ['unreachable', false])
    assert.equal(seen, 0)
  })

  it('names no server in the handshake', async () => {
    const names: unknown[] = []
    const server = createTlsServer(serverOptions(mesh.issue('server'), 5000), (socket) => {
      names.push((socket as unknown as { readonly servername: unknown }).servername)
      socket.destroy()
    })
    server.listen(0, '127.0.0.1')
    cleanups.push(() => server.close())
    await once(server, 'listening')
    await failure(dialler().connect(to((server.address() as AddressInfo).port, { host: 'localhost' })))
    assert.equal(names[0], false)
  })

  it('says that it is unreachable when nobody listens, or when the peer does not take our certificate', async () => {
    const listener = await listenTcp(() => {})
    listener.close()
    const gone = await failure(dialler().connect(to(listener.port)))
    assert.deepEqual([gone.code, gone.sent], ['unreachable', false])
    const server = await listen()
    const expired = createHboneClient({ credentials: { ...mesh.source('client'), current: () => mesh.issue('client', { notAfterMs: Date.now() - 1000 }) }, clock: systemClock })
    cleanups.push(() => expired.close())
    const refused = await failure(expired.connect(to(server.address.port)))
    assert.deepEqual([refused.code, refused.sent], ['unreachable', false])
  })

  it('hands the peer\'s refusal on, with its reason, and keeps the session', async () => {
    const server = await listen({ onTunnel: (tunnel: IncomingTunnel) => {
      if (tunnel.port === 80) tunnel.refuse(503, 'no-endpoint')
      else tunnel.accept().resume()
    } })
    const client = dialler()
    const { code, status, reason, sent } = await failure(client.connect(to(server.address.port)))
    assert.deepEqual({ code, status, reason, sent }, { code: 'refused', status: 503, reason: 'no-endpoint', sent: true })
    ;(await client.connect(to(server.address.port, { authority: '10.0.0.1:81' }))).destroy()
    assert.equal(server.sessions(), 1)
  })

  it('gives a CONNECT up that a frozen peer does not answer', async () => {
    const server = await listen({ onTunnel: () => {} })
    const clock = fakeClock(Date.now())
    const client = dialler({ answerTimeoutMs: 15_000, pingIntervalMs: 2_500 }, clock)
    const { code, sent } = await turn(clock, 500, failure(client.connect(to(server.address.port))))
    assert.deepEqual({ code, sent }, { code: 'timeout', sent: true })
  })

  it('gives a peer up that does not finish its handshake', async () => {
    const silent = await listenTcp(() => {})
    cleanups.push(silent.close)
    const clock = fakeClock(Date.now())
    const { code, sent } = await turn(clock, 1000, failure(dialler({ connectTimeoutMs: 5_000 }, clock).connect(to(silent.port))))
    assert.deepEqual({ code, sent }, { code: 'timeout', sent: false })
  })

  it('notices a peer that died without a word, resets its tunnels, and asks elsewhere for those not answered', async () => {
    const server = await listen()
    const dead = await relay(server.address.port)
    cleanups.push(dead.close)
    const clock = fakeClock(Date.now())
    const client = dialler({ pingIntervalMs: 2_500, connectTimeoutMs: 5_000, answerTimeoutMs: 60_000 }, clock)
    const open = await client.connect(to(dead.port))
    const cut = assert.rejects(readToEnd(open))
    dead.freeze()
    const pending = failure(client.connect(to(dead.port)))
    await turn(clock, 2_500, cut)
    const { code } = await turn(clock, 1000, pending)
    assert.equal(code, 'timeout', 'the new session was not answered either')
    assert.equal(dead.connections(), 2)
  })

  it('notices a peer that was killed at once, also by connections that may be half open', async () => {
    const server = await listen()
    const killed = await relay(server.address.port)
    cleanups.push(killed.close)
    const clock = fakeClock(Date.now())
    const dial = (): Socket => connectTcp({ port: killed.port, host: '127.0.0.1', allowHalfOpen: true })
    const client = createHboneClient({ credentials: mesh.source('client'), clock, dial })
    cleanups.push(() => client.close())
    const open = await client.connect(to(killed.port))
    killed.kill()
    await assert.rejects(readToEnd(open))
    assert.equal(client.stats().sessions, 0)
  })

  it('the server too notices a client that died without a word', async () => {
    const clock = fakeClock(Date.now())
    const streams: Duplex[] = []
    const server = await listen({ clock, onTunnel: (tunnel) => streams.push(tunnel.accept()) })
    const dead = await relay(server.address.port)
    cleanups.push(dead.close)
    await dialler().connect(to(dead.port))
    const [stream] = streams
    assert.ok(stream !== undefined)
    dead.freeze()
    await turn(clock, 10_000, assert.rejects(readToEnd(stream)))
    assert.equal(server.sessions(), 0)
  })

  it('keeps an idle session alive by pings and closes it after its idle time', async () => {
    const server = await listen()
    const clock = fakeClock(Date.now())
    const client = dialler({ idleTimeoutMs: 60_000, pingIntervalMs: 10_000 }, clock)
    await echo(await client.connect(to(server.address.port)), 'x')
    for (let second = 0; second < 50; second += 10) {
      clock.advance(10_000)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.equal(client.stats().sessions, 1)
    await turn(clock, 10_000, (async () => { while (server.sessions() > 0 || client.stats().sessions > 0) await new Promise(setImmediate) })())
    assert.equal(client.stats().sessions, 0)
  })

  it('tells a tunnel when its session takes no others, and lets it go on', async () => {
    const server = await listen()
    const tunnel = await dialler().connect(to(server.address.port))
    const told = once(tunnel, retiringEvent)
    const drained = server.drain()
    await told
    await echo(tunnel, 'still here')
    await drained
  })

  it('never fails a tunnel because a pooled session is on its way down', async () => {
    const sessions = new Set<ServerHttp2Session>()
    const server = createSecureServer(serverOptions(mesh.issue('server'), 5000))
    server.on('session', (session) => {
      sessions.add(session)
      session.on('error', () => {})
      session.once('close', () => sessions.delete(session))
    })
    server.on('stream', (stream) => {
      stream.on('error', () => {})
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    server.listen(0, '127.0.0.1')
    cleanups.push(() => {
      server.close()
      for (const session of sessions) session.destroy()
    })
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const client = dialler()
    for (let round = 0; round < 40; round++) {
      const stream = await client.connect(to(port))
      stream.on('error', () => {})
      for (const session of sessions) {
        if (round % 2 === 0) session.destroy()
        else session.close()
      }
      stream.destroy()
      // In every phase of its end: at once, and some turns later.
      for (let turns = 0; turns < round % 8; turns++) await new Promise(setImmediate)
      await echo(await client.connect(to(port)), 'alive')
    }
  })

  it('leaves a tunnel that its caller gave up: pending, or while the session is dialled', async () => {
    const asked = Promise.withResolvers<IncomingTunnel>()
    const server = await listen({ onTunnel: asked.resolve })
    const client = dialler()
    const abort = new AbortController()
    const pending = client.connect(to(server.address.port, { signal: abort.signal }))
    const tunnel = await asked.promise
    const gone = new Promise<void>((resolve) => tunnel.onClosed(resolve))
    abort.abort(new Error('enough'))
    await assert.rejects(pending, /enough/)
    await gone
    assert.equal(tunnel.closed(), true)
    assert.equal(tunnel.accept().destroyed, true)
    const silent = await listenTcp(() => {})
    cleanups.push(silent.close)
    const second = new AbortController()
    const dialling = client.connect(to(silent.port, { signal: second.signal }))
    second.abort(new Error('enough'))
    await assert.rejects(dialling, /enough/)
    await assert.rejects(client.connect(to(server.address.port, { signal: abort.signal })), /enough/)
  })
})
