import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { systemClock } from '../kit/clock.ts'
import { createHboneClient, type HboneClient } from './hbone-client.ts'
import { listenHbone, type HboneServer } from './hbone-server.ts'
import { testMesh } from './testing/mesh.ts'
import { reset } from './tunnel.ts'

describe('a tunnel that is reset while its session waits for the network', () => {
  const mesh = testMesh()
  let server: HboneServer
  let client: HboneClient
  /** Whether something of the session still waits to be sent. */
  let waiting: boolean
  let accepted: PromiseWithResolvers<ServerHttp2Stream>
  beforeEach(async () => {
    waiting = false
    accepted = Promise.withResolvers()
    server = await listenHbone({
      credentials: mesh.source('server'), host: '127.0.0.1', port: 0, clock: systemClock,
      onTunnel: (tunnel) => {
        const stream = tunnel.accept() as ServerHttp2Stream
        stream.on('error', () => {})
        const { session } = stream
        if (session !== undefined) Object.defineProperty(session, 'state', { configurable: true, get: () => ({ outboundQueueSize: waiting ? 1 : 0 }) })
        accepted.resolve(stream)
      },
    })
    client = createHboneClient({ credentials: mesh.source('client'), clock: systemClock })
  })
  afterEach(async () => {
    client.close()
    await server.close()
  })
  const opened = async (): Promise<{ readonly ours: ServerHttp2Stream; readonly theirs: ClientHttp2Stream }> => {
    const theirs = (await client.connect({ host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } })) as ClientHttp2Stream
    theirs.on('error', () => {})
    const ours = await accepted.promise
    ours.resume()
    return { ours, theirs }
  }
  /** `once` would fail with the error that comes first. */
  const closing = (stream: Duplex): Promise<void> => new Promise((resolve) => {
    if (stream.closed) resolve()
    else stream.once('close', resolve)
  })
  const turns = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) await new Promise((resolve) => setTimeout(resolve, 1))
  }

  it('throws away what still comes, and is reset when that is sent', async () => {
    const { ours, theirs } = await opened()
    let read = 0
    ours.on('data', (chunk: Buffer) => { read += chunk.length })
    theirs.write('said')
    await once(ours, 'data')
    waiting = true
    reset(ours)
    reset(ours)
    // Another tunnel of the session is answered later: what was written before has been read by then.
    theirs.write('too late')
    await client.connect({ host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:81', peer: { kind: 'identity', id: mesh.id('server') } })
    await turns(3)
    assert.deepEqual([read, theirs.destroyed], [4, false])
    const closed = closing(theirs)
    waiting = false
    await closed
    assert.equal(ours.destroyed, true)
    assert.notEqual(theirs.rstCode, 0)
  })

  it('is over at once if nothing waits, and with its session', async () => {
    const { ours } = await opened()
    reset(ours)
    assert.equal(ours.destroyed, true)
    accepted = Promise.withResolvers()
    const next = await opened()
    waiting = true
    reset(next.ours)
    next.ours.session?.destroy()
    assert.equal(next.ours.destroyed, true)
    await closing(next.ours)
  })
})
