import assert from 'node:assert/strict'
import { once } from 'node:events'
import { systemClock } from '../kit/clock.ts'
import type { Decision } from '../model/destination.ts'
import type { ReasonCode } from '../model/reasons.ts'
import { createHboneClient, type HboneClient } from '../transport/hbone-client.ts'
import { listenHbone, type HboneServer, type IncomingTunnel } from '../transport/hbone-server.ts'
import { testMesh } from '../transport/testing/mesh.ts'
import { createOpener, EntryError } from './open.ts'

describe('opening a connection through one of several waypoints', () => {
  const mesh = testMesh()
  const servers: HboneServer[] = []
  let client: HboneClient
  /** Which of them was asked, in order. */
  let asked: number[]

  beforeEach(() => {
    asked = []
    client = createHboneClient({ credentials: mesh.source('till'), clock: systemClock })
  })
  afterEach(async () => {
    client.close()
    for (const each of servers.splice(0)) await each.close()
  })

  const listen = async (onTunnel: (tunnel: IncomingTunnel) => void): Promise<HboneServer> => {
    const number = servers.length
    const server = await listenHbone({
      credentials: mesh.source('waypoint'), host: '127.0.0.1', port: 0, clock: systemClock,
      onTunnel: (tunnel) => {
        asked.push(number)
        onTunnel(tunnel)
      },
    })
    servers.push(server)
    return server
  }
  const refuse = (reason: ReasonCode) => (tunnel: IncomingTunnel): void => tunnel.refuse(503, reason)
  const accept = (tunnel: IncomingTunnel): void => void tunnel.accept().end('hello')
  const decision = (): Decision => ({
    kind: 'waypoint', level: 'producer', authority: '10.0.0.1:80', port: { port: 80, protocol: 'http' },
    service: { kind: 'service', namespace: 'shop', name: 'cart', clusterIPs: ['10.0.0.1'], headless: false, ports: [{ port: 80, protocol: 'http' }] },
    waypoint: { kind: 'waypoint', namespace: 'shop', name: 'waypoint', identity: mesh.id('waypoint'), addresses: servers.map(({ address }) => address) },
  })

  for (const reason of ['no-configuration', 'draining', 'overload', 'unknown-destination'] as const) {
    it(`goes to the next one if one refuses with ${reason}`, async () => {
      await listen(refuse(reason))
      await listen(accept)
      const stream = await createOpener(client).open(decision(), {})
      const [chunk] = (await once(stream, 'data')) as [Buffer]
      assert.equal(chunk.toString(), 'hello')
      assert.deepEqual(asked, [0, 1])
      stream.destroy()
    })
  }

  it('goes to the next one if one drains and takes no new tunnels', async () => {
    const first = await listen(accept)
    await listen(accept)
    const opener = createOpener(client)
    const held = await opener.open(decision(), {})
    void first.drain()
    // The second is next in turn, the first the one after that.
    const streams = [await opener.open(decision(), {}), await opener.open(decision(), {})]
    assert.deepEqual(asked, [0, 1, 1])
    for (const each of [held, ...streams]) each.destroy()
  })

  it('asks nobody else if one judged the caller', async () => {
    await listen(refuse('denied'))
    await listen(accept)
    await assert.rejects(createOpener(client).open(decision(), {}), (error) => error instanceof EntryError && error.reason === 'denied')
    assert.deepEqual(asked, [0])
  })

  it('says what one answered rather than that another was not there', async () => {
    const gone = await listen(accept)
    await listen(refuse('no-configuration'))
    await gone.close()
    const opener = createOpener(client)
    for (let turn = 0; turn < 2; turn++) await assert.rejects(opener.open(decision(), {}), (error) => error instanceof EntryError && error.reason === 'no-configuration')
  })
})
