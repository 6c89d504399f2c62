import assert from 'node:assert/strict'
import { systemClock } from '../kit/clock.ts'
import { createHboneClient } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import { testMesh } from './testing/mesh.ts'

const tunnels = 40
const bytesEach = 4 * 1024 * 1024
const chunk = Buffer.alloc(256 * 1024)

describe('an HBONE session', () => {
  it('does not stand still when both ends send all they can at once', async function () {
    this.timeout(60_000)
    const mesh = testMesh()
    const server = await listenHbone({
      credentials: mesh.source('echo'), host: '127.0.0.1', port: 0, clock: systemClock,
      onTunnel: (tunnel) => {
        const stream = tunnel.accept()
        stream.on('data', (data: Buffer) => {
          if (!stream.write(data)) stream.pause()
        })
        stream.on('drain', () => stream.resume())
        stream.on('end', () => stream.end())
      },
    })
    const client = createHboneClient({ credentials: mesh.source('caller'), clock: systemClock })
    const echoed = await Promise.all(
      Array.from({ length: tunnels }, async () => {
        const stream = await client.connect({ host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('echo') } })
        let left = bytesEach
        const send = (): void => {
          while (left > 0) {
            left -= chunk.length
            if (!stream.write(chunk)) return
          }
          stream.end()
        }
        stream.on('drain', send)
        send()
        let got = 0
        for await (const data of stream) got += (data as Buffer).length
        return got
      }),
    )
    assert.deepEqual(echoed, new Array(tunnels).fill(bytesEach))
    client.close()
    await server.close()
  })
})
