import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { makeRoot } from '../../ca/root.ts'
import { systemClock } from '../kit/clock.ts'
import type { Clock } from '../kit/clock.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import { readToEnd } from '../kit/testing/read.ts'
import { HboneError } from './errors.ts'
import { createHboneClient } from './hbone-client.ts'
import type { HboneClient } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import type { HboneServer } from './hbone-server.ts'
import { testMesh } from './testing/mesh.ts'
import type { TestMesh, TestSource } from './testing/mesh.ts'

/** A fake clock leaps over hours in which no ping could be answered. */
const patient = { pingIntervalMs: 86_400_000 }

describe('HBONE while certificates, roots and processes change', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

  interface Ends {
    readonly mesh: TestMesh
    readonly serverSource: TestSource
    readonly clientSource: TestSource
    readonly server: HboneServer
    readonly client: HboneClient
    readonly connect: () => Promise<Duplex>
  }

  const echoServer = async (credentials: TestSource, options: { readonly port?: number; readonly clock?: Clock } = {}): Promise<HboneServer> => {
    const server = await listenHbone({
      credentials,
      host: '127.0.0.1',
      port: options.port ?? 0,
      reusePort: true,
      clock: options.clock ?? systemClock,
      limits: patient,
      onTunnel: (tunnel) => {
        const stream = tunnel.accept()
        stream.on('error', () => {})
        stream.pipe(stream)
      },
    })
    cleanups.push(() => server.close())
    return server
  }
  const ends = async (clocks: { readonly server?: Clock; readonly client?: Clock } = {}): Promise<Ends> => {
    const mesh = testMesh()
    const [serverSource, clientSource] = [mesh.source('server'), mesh.source('client')]
    const server = await echoServer(serverSource, clocks.server === undefined ? {} : { clock: clocks.server })
    const client = createHboneClient({ credentials: clientSource, clock: clocks.client ?? systemClock, limits: patient })
    cleanups.push(() => client.close())
    const request = { host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } } as const
    return { mesh, serverSource, clientSource, server, client, connect: () => client.connect(request) }
  }
  const say = async (stream: Duplex, text: string): Promise<void> => {
    const heard = new Promise<Buffer>((resolve) => stream.once('data', resolve))
    stream.write(text)
    assert.equal(String(await heard), text)
  }
  const finish = async (stream: Duplex): Promise<void> => {
    stream.end('last')
    assert.equal(String(await readToEnd(stream)), 'last')
  }
  const until = async (met: () => boolean): Promise<void> => { while (!met()) await new Promise((resolve) => setTimeout(resolve, 1)) }

  /** Opens and ends tunnels on several lines at a time until it is told to stop; says how many. */
  const traffic = (connect: () => Promise<Duplex>): { readonly stop: () => Promise<number>; readonly count: () => number } => {
    let running = true
    let count = 0
    const line = async (): Promise<void> => {
      while (running) {
        const stream = await connect()
        await say(stream, 'hello')
        await finish(stream)
        count++
      }
    }
    const lines = Promise.all([line(), line(), line(), line()])
    lines.catch(() => {})
    return { count: () => count, stop: async () => { running = false; await lines; return count } }
  }

  it('renews both ends under traffic without losing a connection, and uses the new certificates for new sessions', async function () {
    this.timeout(30_000)
    const { mesh, serverSource, clientSource, client, connect } = await ends()
    const old = await connect()
    const load = traffic(connect)
    for (let round = 0; round < 6; round++) {
      serverSource.set(mesh.issue('server'))
      const reached = load.count() + 10
      await until(() => load.count() >= reached)
      clientSource.set(mesh.issue('client'))
      const further = load.count() + 10
      await until(() => load.count() >= further)
    }
    assert.ok(await load.stop() >= 120)
    await say(old, 'an old tunnel outlives all renewals')
    await finish(old)
    await until(() => client.stats().sessions <= 1)
  })

  it('shows the new certificate to a peer as soon as there is one, and leaves the old session to its open tunnels', async () => {
    const { mesh, clientSource, server, client, connect } = await ends()
    const open = await connect()
    clientSource.set(mesh.issue('client'))
    const next = await connect()
    assert.equal(server.sessions(), 2)
    await finish(open)
    await until(() => server.sessions() === 1 && client.stats().sessions === 1)
    await finish(next)
  })

  it('rotates the root in stages under traffic, and ends sessions of the old one gracefully once it is retired', async function () {
    this.timeout(30_000)
    const { mesh, serverSource, clientSource, server, connect } = await ends()
    const next = makeRoot('mesh.example', { nowMs: Date.now() })
    const both = [mesh.root.rootPem, next.rootPem]
    const load = traffic(connect)
    const some = async (): Promise<void> => { const reached = load.count() + 10; await until(() => load.count() >= reached) }
    const stages: readonly (() => void)[] = [
      () => serverSource.set(mesh.issue('server', { bundle: both })),
      () => clientSource.set(mesh.issue('client', { bundle: both })),
      () => serverSource.set(mesh.issue('server', { bundle: both, root: next })),
    ]
    for (const stage of stages) {
      stage()
      await some()
    }
    // A client that still lives on the old root.
    const late = createHboneClient({ credentials: mesh.source('late'), clock: systemClock })
    cleanups.push(() => late.close())
    serverSource.set(mesh.issue('server', { bundle: both }))
    const request = { host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } } as const
    const open = await late.connect(request)
    serverSource.set(mesh.issue('server', { bundle: both, root: next }))
    clientSource.set(mesh.issue('client', { bundle: both, root: next }))
    await some()
    serverSource.set(mesh.issue('server', { bundle: [next.rootPem], root: next }))
    clientSource.set(mesh.issue('client', { bundle: [next.rootPem], root: next }))
    await some()
    await load.stop()
    await say(open, 'an open tunnel goes on')
    await finish(open)
    await until(() => late.stats().sessions === 0)
    const error: unknown = await late.connect(request).then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof HboneError)
  })

  it('takes no new tunnel on a session whose client\'s certificate has ended; the open ones go on', async () => {
    const clock = fakeClock(Date.now())
    const { mesh, clientSource, server, client, connect } = await ends({ server: clock })
    clientSource.set(mesh.issue('client', { notAfterMs: Date.now() + 3_600_000 }))
    const open = await connect()
    clock.advance(3_590_000)
    await finish(await connect())
    assert.equal(server.sessions(), 1)
    clock.advance(11_000)
    await say(open, 'goes on')
    await finish(open)
    await until(() => server.sessions() === 0 && client.stats().sessions === 0)
  })

  it('the client asks for no new tunnel where the server\'s certificate has ended', async () => {
    const clock = fakeClock(Date.now())
    const { mesh, serverSource, server, client, connect } = await ends({ client: clock })
    serverSource.set(mesh.issue('server', { notAfterMs: Date.now() + 3_600_000 }))
    const open = await connect()
    clock.advance(3_600_001)
    serverSource.set(mesh.issue('server', { notAfterMs: Date.now() + 7_200_000 }))
    const next = await connect()
    assert.equal(server.sessions(), 2)
    await Promise.all([finish(open), finish(next)])
    await until(() => client.stats().sessions === 1)
  })

  it('hands over to another process by GOAWAY without a failed tunnel', async function () {
    this.timeout(30_000)
    const { serverSource, server, connect } = await ends()
    const load = traffic(connect)
    const some = async (): Promise<void> => { const reached = load.count() + 10; await until(() => load.count() >= reached) }
    await some()
    let present = server
    for (let round = 0; round < 5; round++) {
      const next = await echoServer(serverSource, { port: server.address.port })
      const drained = present.drain()
      await some()
      await drained
      assert.equal(present.sessions(), 0)
      present = next
    }
    assert.ok(await load.stop() >= 60)
  })

  it('drains until the last tunnel ends, and cuts what is left at the deadline', async () => {
    const clock = fakeClock(Date.now())
    const { server, client, connect } = await ends({ server: clock })
    const open = await connect()
    const ending = await connect()
    const state = { drained: false }
    const drained = server.drain(30_000).then(() => { state.drained = true })
    await finish(ending)
    await say(open, 'still open')
    assert.equal(state.drained, false)
    const cut = assert.rejects(readToEnd(open))
    clock.advance(30_000)
    await Promise.all([cut, drained])
    await client.drain()
  })

  it('the client drains too: open tunnels end by themselves, new ones are refused', async () => {
    const { client, server, connect } = await ends()
    const open = await connect()
    const drained = client.drain()
    const error: unknown = await connect().then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof HboneError && error.code === 'unreachable')
    await say(open, 'still open')
    await finish(open)
    await drained
    await until(() => server.sessions() === 0)
  })
})
