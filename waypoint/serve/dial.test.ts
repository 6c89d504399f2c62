import assert from 'node:assert/strict'
import { systemClock } from '../../src/kit/clock.ts'
import type { Endpoint } from '../../src/model/entries.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { createHboneClient } from '../../src/transport/hbone-client.ts'
import { listenHbone } from '../../src/transport/hbone-server.ts'
import { createDialer } from './dial.ts'
import { startRig, type Rig } from './testing/rig.ts'

describe('connections to endpoints', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await startRig()
  })
  afterEach(() => rig.close())

  it('are counted by how they are made, and only once they are', async () => {
    const backend = await rig.backend((_request, response) => response.end())
    const credentials = rig.source('books', 'reviews')
    const server = await listenHbone({ credentials, host: '127.0.0.1', port: 0, clock: systemClock, onTunnel: (tunnel) => void tunnel.accept().resume() })
    const hbone = createHboneClient({ credentials: rig.source('books', 'waypoint'), clock: systemClock })
    const counted: string[] = []
    const dial = createDialer({ hbone, clock: systemClock, connectTimeoutMs: 10_000, headers: {}, count: (event) => void counted.push(event) })
    const options = { allowHalfOpen: true, client: { id: '', address: undefined } }
    const encrypted: Endpoint = { ...backend, transport: { kind: 'hbone', port: server.address.port, identity: formatSpiffeId(credentials.identity) } }

    const streams = [await dial(backend, options), await dial(encrypted, options)]
    assert.deepEqual(counted, ['upstream-plain', 'upstream-hbone'])
    for (const stream of streams) stream.destroy()

    await server.close()
    await new Promise((resolve) => backend.server.close(resolve))
    await assert.rejects(dial(backend, options), { reason: 'connect-failure' })
    await assert.rejects(dial(encrypted, options))
    assert.equal(counted.length, 2)
    hbone.close()
  })
})
