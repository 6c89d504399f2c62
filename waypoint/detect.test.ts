import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import { fakeClock } from '../src/kit/testing/fake-clock.ts'
import type { PortProtocol } from '../src/model/entries.ts'
import { dialLoopback, listenTcp } from '../src/transport/testing/mesh.ts'
import { classify, detect } from './detect.ts'
import type { Detected } from './detect.ts'
import { clientHello } from './testing/client-hello.ts'

const clientPreface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** A real connection: what `client` does is seen by `server`. */
async function pair(): Promise<{ client: Socket; server: Socket; close: () => void }> {
  const accepted = Promise.withResolvers<Socket>()
  const listener = await listenTcp((socket) => accepted.resolve(socket))
  const client = await dialLoopback(listener.port)
  const server = await accepted.promise
  return { client, server, close: () => { client.destroy(); listener.close() } }
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}

describe('detect', () => {
  const cases: readonly (readonly [declared: PortProtocol, bytes: string, found: Detected['protocol']])[] = [
    ['http', 'GET / HTTP/1.1\r\n', 'http1'],
    ['http', 'POST', 'http1'],
    ['http', 'nonsense', 'http1'],
    ['http', `${clientPreface}rest`, 'http2'],
    ['auto', `${clientPreface}rest`, 'http2'],
    ['auto', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'http1'],
    ['auto', 'OPTIONS * HTTP/1.1\r\n', 'http1'],
    ['auto', 'M-SEARCH http://a/ HTTP/1.0\n', 'http1'],
    ['auto', 'EHLO me\r\n', 'tcp'],
    ['auto', 'PING\r\n', 'tcp'],
    ['auto', 'GET / FTP/1.1\r\n', 'tcp'],
    ['auto', '\x00\x01\x02', 'tcp'],
    ['auto', '\x16\x03\x09\x00\x00', 'tcp'],
    ['auto', '\x16\x02', 'tcp'],
    ['auto', 'PRI * HTTP/2.0\r\n\r\nSN', 'tcp'],
    ['tls', 'GET / HTTP/1.1\r\n', 'tcp'],
  ]
  for (const [declared, bytes, protocol] of cases) {
    it(`says ${protocol} to ${JSON.stringify(bytes.slice(0, 24))} on a port declared ${declared}, and leaves every byte in place`, async () => {
      const { client, server, close } = await pair()
      client.write(bytes, 'latin1')
      const found = await detect(server, declared, { clock: fakeClock() })
      assert.equal(found.protocol, protocol)
      client.end('tail')
      assert.equal(await readAll(server), `${bytes}tail`)
      close()
    })
  }

  it('decides the same however the bytes are cut', () => {
    fc.assert(fc.property(fc.constantFrom(...cases.map(([, bytes]) => bytes)), fc.nat(40), (text, cut) => {
      const bytes = Buffer.from(text, 'latin1')
      const early = classify(bytes.subarray(0, Math.min(cut, bytes.length)))
      const whole = classify(bytes)
      // A prefix may be undecided, but never decided otherwise.
      if (early !== undefined && bytes.length > 0 && cut > 0) assert.deepEqual(early, whole)
    }))
  })

  it('never throws and never calls random bytes HTTP/2', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.notEqual(classify(Buffer.from(bytes))?.protocol, 'http2')
    }))
  })

  it('does not look at tcp ports: a client that never speaks is served at once', async () => {
    const { server, close } = await pair()
    assert.deepEqual(await detect(server, 'tcp', { clock: fakeClock() }), { protocol: 'tcp' })
    assert.deepEqual(await detect(server, 'http2', { clock: fakeClock() }), { protocol: 'http2' })
    assert.equal(server.listenerCount('readable'), 0)
    close()
  })

  it('takes a client of an auto port that stays silent, or unclear, for one that waits for the server', async () => {
    for (const sent of ['', 'GE', '\x16\x03\x01\x02\x00\x01']) {
      const { client, server, close } = await pair()
      const clock = fakeClock()
      if (sent !== '') client.write(sent, 'latin1')
      const found = detect(server, 'auto', { clock, sniffMs: 100 })
      while (server.readableLength < sent.length) await new Promise(setImmediate)
      clock.advance(99)
      assert.equal(await Promise.race([found, new Promise((resolve) => setImmediate(() => resolve('waits')))]), 'waits')
      clock.advance(1)
      assert.deepEqual(await found, { protocol: 'tcp' })
      client.end('.')
      assert.equal(await readAll(server), `${sent}.`)
      close()
    }
  })

  it('looks once more before it gives up: a busy process reads late what came in time', async () => {
    const { client, server, close } = await pair()
    const clock = fakeClock()
    const found = detect(server, 'auto', { clock, sniffMs: 100 })
    // It is in the kernel; nothing of this process has read it when the time is up.
    client.write('GET / HTTP/1.1\r\n')
    clock.advance(100)
    assert.deepEqual(await found, { protocol: 'http1' })
    close()
  })

  it('is not confused by an end right behind the first bytes', async () => {
    const { client, server, close } = await pair()
    client.end('GET / HTTP/1.0\r\n\r\n')
    assert.deepEqual(await detect(server, 'auto', { clock: fakeClock() }), { protocol: 'http1' })
    assert.equal(await readAll(server), 'GET / HTTP/1.0\r\n\r\n')
    close()
  })

  it('leaves a client that only closes to the protocol\'s own code', async () => {
    for (const declared of ['http', 'auto', 'tls'] as const) {
      const { client, server, close } = await pair()
      const found = detect(server, declared, { clock: fakeClock() })
      client.resetAndDestroy()
      assert.equal((await found).protocol, declared === 'http' ? 'http1' : 'tcp')
      close()
    }
  })

  it('reads the server name of a ClientHello that arrives in pieces', async () => {
    const hello = await clientHello('Shop.Example')
    for (const declared of ['tls', 'auto'] as const) {
      const stream = new PassThrough()
      const found = detect(stream, declared, { clock: fakeClock() })
      for (const byte of hello) {
        stream.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      assert.deepEqual(await found, { protocol: 'tls', serverName: 'shop.example' })
      stream.end()
      assert.equal(await readAll(stream), hello.toString('latin1'))
    }
  })
})
