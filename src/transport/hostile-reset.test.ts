import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants, type ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { systemClock } from '../kit/clock.ts'
import { createHboneClient } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import { testMesh } from './testing/mesh.ts'

describe('a tunnel that its client resets while the answer waits for the window', () => {
  for (const code of ['NGHTTP2_NO_ERROR', 'NGHTTP2_CANCEL'] as const) {
    it(`is over for the server too, after ${code}`, async () => {
      const mesh = testMesh()
      const accepted = Promise.withResolvers<Duplex>()
      const server = await listenHbone({
        credentials: mesh.source('server'), host: '127.0.0.1', port: 0, clock: systemClock,
        onTunnel: (tunnel) => {
          const stream = tunnel.accept()
          stream.on('error', () => {})
          stream.write(Buffer.alloc(8 * 1024 * 1024))
          accepted.resolve(stream)
        },
      })
      const client = createHboneClient({ credentials: mesh.source('client'), clock: systemClock })
      const tunnel = await client.connect({ host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: mesh.id('server') } })
      const stream = await accepted.promise
      const closed = once(stream, 'close')
      ;(tunnel as ClientHttp2Stream).close(constants[code])
      await closed
      assert.equal(stream.destroyed, true)
      assert.equal(server.tunnels(), 0)
      client.close()
      await server.close()
    })
  }
})
