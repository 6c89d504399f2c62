import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import type { ConnectionOptions, SecureContextOptions, TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { badCertificates, goodCertificates } from '../../ca/testing/bad-certs.ts'
import type { GoodCertificate } from '../../ca/testing/bad-certs.ts'
import { craftFixture } from '../../ca/testing/craft.ts'
import { systemClock } from '../kit/clock.ts'
import { readToEnd } from '../kit/testing/read.ts'
import type { Credentials } from '../model/credentials.ts'
import { contextOptions } from './contexts.ts'
import { HboneError } from './errors.ts'
import { createHboneClient } from './hbone-client.ts'
import { listenHbone } from './hbone-server.ts'
import type { HboneRefusal, HboneServer, HboneServerLimits, IncomingTunnel } from './hbone-server.ts'
import { sessionWindowBytes } from './session.ts'
import { toldCredentials } from '../publish/threads.ts'
import { testMesh } from './testing/mesh.ts'
import { reset } from './tunnel.ts'

const mesh = testMesh()

describe('listenHbone', () => {
  let server: HboneServer
  let refused: HboneRefusal[] = []
  let tunnels: IncomingTunnel[] = []
  const cleanups: (() => unknown)[] = []
  afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

  const listen = async (limits?: Partial<HboneServerLimits>, credentials = mesh.issue('server'), onTunnel?: (tunnel: IncomingTunnel) => void): Promise<void> => {
    refused = []
    tunnels = []
    server = await listenHbone({
      credentials: toldCredentials(credentials),
      host: '127.0.0.1',
      port: 0,
      clock: systemClock,
      ...(limits === undefined ? {} : { limits }),
      onTunnel: onTunnel ?? ((tunnel) => {
        tunnels.push(tunnel)
        const stream = tunnel.accept({ baggage: 'service.name=echo' })
        stream.pipe(stream)
      }),
      onRefused: (info) => refused.push(info),
    })
    const mine = server
    cleanups.push(() => mine.close())
  }

  /** A raw TLS client: what a peer that is not ours may do. */
  const handshake = async (options: ConnectionOptions): Promise<TLSSocket> => {
    const socket = connectTls({ host: '127.0.0.1', port: server.address.port, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...options })
    cleanups.push(() => socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }
  const asMember = (credentials: Credentials = mesh.issue('client')): ConnectionOptions => contextOptions(credentials)

  const session = async (options = asMember()): Promise<ClientHttp2Session> => {
    const socket = await handshake(options)
    const http2 = connectHttp2('https://x', { createConnection: () => socket })
    http2.on('error', () => {})
    cleanups.push(() => http2.destroy())
    return http2
  }
  const ask = async (http2: ClientHttp2Session, headers: OutgoingHttpHeaders, more = ''): Promise<{ status: number | undefined; reason: unknown; body: string }> => {
    const stream = http2.request(headers, { endStream: false })
    stream.on('error', () => {})
    const [answer] = (await once(stream, 'response')) as [Record<string, string | number | undefined>]
    stream.end(more)
    return { status: Number(answer[':status']), reason: answer['x-waypoint-reason'], body: String(await readToEnd(stream)) }
  }

  it('says who asks, for what, and with which headers', async () => {
    await listen()
    const http2 = await session()
    const { status, body } = await ask(http2, { ':method': 'CONNECT', ':authority': '[FD00::1]:80', 'baggage': 'a=b', 'forwarded': 'for="1.2.3.4:5"' }, 'hello')
    assert.deepEqual({ status, body }, { status: 200, body: 'hello' })
    const [tunnel] = tunnels
    assert.equal(tunnel?.peerId, mesh.id('client'))
    assert.deepEqual(tunnel.peer, { trustDomain: 'mesh.example', namespace: 'shop', serviceAccount: 'client' })
    assert.deepEqual([tunnel.authority, tunnel.host, tunnel.port], ['[FD00::1]:80', 'fd00::1', 80])
    assert.deepEqual([tunnel.headers['baggage'], tunnel.headers['forwarded']], ['a=b', 'for="1.2.3.4:5"'])
    assert.equal(tunnel.remoteAddress, '127.0.0.1')
  })

  it('answers 400 to what is not a CONNECT, and to a destination that is not address:port', async () => {
    await listen()
    const http2 = await session()
    const bad: OutgoingHttpHeaders[] = [
      { ':method': 'GET', ':path': '/', ':authority': '10.0.0.1:80', ':scheme': 'https' },
      { ':method': 'POST', ':path': '/', ':authority': '10.0.0.1:80', ':scheme': 'https' },
      { ':method': 'CONNECT', ':authority': '10.0.0.1' },
      { ':method': 'CONNECT', ':authority': '10.0.1:80' },
    ]
    for (const headers of bad) {
      const { status, reason } = await ask(http2, headers)
      assert.deepEqual({ status, reason }, { status: 400, reason: 'malformed-request' })
    }
    assert.equal(tunnels.length, 0)
    assert.deepEqual(refused.map(({ kind }) => kind), ['request', 'request', 'request', 'request'])
    assert.equal((await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })).status, 200, 'the session lives on')
  })

  it('refuses tunnels beyond its limit with 503, and takes new ones once others ended', async () => {
    await listen({ maxTunnels: 2 })
    const http2 = await session()
    const held = [1, 2].map(() => http2.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' }))
    await Promise.all(held.map((stream) => once(stream, 'response')))
    const { status, reason } = await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    assert.deepEqual({ status, reason }, { status: 503, reason: 'overload' })
    for (const stream of held) {
      stream.resume()
      stream.end()
      await once(stream, 'close')
    }
    assert.equal((await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })).status, 200)
  })

  it('answers before it resets what it accepted, however soon: the peer must not ask again', async () => {
    await listen({}, undefined, (tunnel) => reset(tunnel.accept()))
    for (let round = 0; round < 10; round++) {
      // The first stream of a session: its answer waits behind the server's own settings.
      const stream = (await session()).request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
      const broken = Promise.withResolvers<number>()
      stream.on('error', () => {})
      stream.once('close', () => broken.resolve(stream.rstCode))
      const [answer] = (await once(stream, 'response')) as [Record<string, number | undefined>]
      assert.equal(answer[':status'], 200)
      assert.notEqual(await broken.promise, 0)
    }
  })

  it('resets a stream that it refused only after its answer, and keeps none', async () => {
    await listen({}, undefined, (tunnel) => tunnel.refuse(503, 'no-endpoint'))
    for (let round = 0; round < 10; round++) {
      const http2 = await session()
      // A peer that never ends its own half.
      const stream = http2.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
      stream.write('early')
      const closed = once(stream.resume(), 'close')
      const [answer] = (await once(stream, 'response')) as [Record<string, unknown>]
      assert.deepEqual([answer[':status'], answer['x-waypoint-reason']], [503, 'no-endpoint'])
      await closed
      assert.equal(stream.rstCode, 0)
    }
    while (server.tunnels() > 0) await new Promise(setImmediate)
  })

  it('closes connections beyond its limit before their handshake', async () => {
    await listen({ maxSessions: 1 })
    const http2 = await session()
    await assert.rejects(handshake(asMember()))
    assert.equal((await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })).status, 200)
    assert.deepEqual(refused.map(({ kind }) => kind), ['overload'])
  })

  it('offers big windows and frames, and no push', async () => {
    await listen({ maxTunnelsPerSession: 256 })
    const http2 = await session()
    // The peer's settings come before its first answer.
    await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    const { initialWindowSize, maxFrameSize, maxConcurrentStreams } = http2.remoteSettings
    assert.deepEqual({ initialWindowSize, maxFrameSize, maxConcurrentStreams }, { initialWindowSize: 1 << 20, maxFrameSize: 1 << 20, maxConcurrentStreams: 256 })
    assert.equal(http2.state.remoteWindowSize, sessionWindowBytes)
  })

  it('survives any number of tunnels that are reset: they are its clients\' broken TCP connections', async function () {
    this.timeout(60_000)
    await listen()
    const http2 = await session()
    const kept = http2.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    await once(kept, 'response')
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 50 }, async () => {
        const stream = http2.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
        stream.on('error', () => {})
        await once(stream, 'response')
        stream.destroy(new Error('reset'))
      }))
    }
    kept.end('still here')
    assert.equal(String(await readToEnd(kept)), 'still here')
  })

  it('resumes no TLS session, for a resumed one would not look at the certificate', async () => {
    await listen()
    const offered: Buffer[] = []
    const first = connectTls({ host: '127.0.0.1', port: server.address.port, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...asMember() })
    first.on('session', (ticket) => offered.push(ticket))
    await once(first, 'secureConnect')
    const http2 = connectHttp2('https://x', { createConnection: () => first })
    http2.on('error', () => {})
    await ask(http2, { ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
    http2.destroy()
    const session = first.getSession()
    for (const ticket of [...offered, ...(session === undefined ? [] : [session])]) {
      const again = await handshake({ ...asMember(), session: ticket })
      assert.equal(again.isSessionReused(), false)
    }
  })

  describe('lets no stranger in', () => {
    const root = testMesh()
    const strangers: readonly (readonly [who: string, options: () => ConnectionOptions])[] = [
      ['a client without a certificate', () => ({})],
      ['a certificate of another root', () => asMember(root.issue('client'))],
      ['a certificate of another trust domain, from our root', () => {
        const other = testMesh('other.example')
        return asMember(other.issue('client', { root: mesh.root }))
      }],
      ['an expired certificate', () => asMember(mesh.issue('client', { notAfterMs: Date.now() - 1000 }))],
      ['TLS 1.2', () => ({ ...asMember(), ciphers: 'DEFAULT', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })],
      ['another protocol by ALPN', () => ({ ...asMember(), ALPNProtocols: ['http/1.1'] })],
      ['no ALPN', () => ({ ...asMember(), ALPNProtocols: [] })],
    ]
    for (const [who, options] of strangers) {
      it(`refuses ${who}, whatever it sends`, async () => {
        await listen()
        const outcome = await tryTunnel(handshake(options()))
        assert.equal(outcome, 'refused')
        assert.equal(tunnels.length, 0)
        assert.equal(server.sessions(), 0)
      })
    }
  })

  describe('and the matrix of bad certificates, in real handshakes', () => {
    const fixture = craftFixture({ trustDomain: 'mesh.example', nowMs: Date.now() })
    const own = (): Credentials => ({ ...mesh.issue('server'), trustBundlePem: [mesh.root.rootPem, fixture.rootPem] })
    const load = (certificate: GoodCertificate): SecureContextOptions & { readonly ALPNProtocols: string[] } => ({
      cert: certificate.chainPem, key: certificate.keyPem, ca: [mesh.root.rootPem, fixture.rootPem], minVersion: 'TLSv1.3', ciphers: 'DEFAULT:@SECLEVEL=0', ALPNProtocols: ['h2'],
    })

    it('accepts the good ones, as clients and as servers', async () => {
      for (const good of goodCertificates(fixture)) {
        const credentials = { ...own(), certificateChainPem: good.chainPem, privateKeyPem: good.keyPem }
        await listen({}, credentials)
        assert.equal(await tryTunnel(handshake(load(good))), 'accepted', `${good.name}: ${JSON.stringify(refused.at(-1))}`)
        const client = createHboneClient({ credentials: toldCredentials(credentials), clock: systemClock })
        cleanups.push(() => client.close())
        const stream = await client.connect({ host: '127.0.0.1', port: server.address.port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: tunnels[0]?.peerId ?? '' } })
        stream.destroy()
      }
    })

    it('refuses the bad ones as clients before a byte of a request is looked at', async function () {
      this.timeout(60_000)
      await listen({}, own())
      let presented = 0
      for (const bad of badCertificates(fixture).filter(({ usage }) => usage !== 'server')) {
        const options = load(bad)
        if (!presentable(options) || reencoded.has(bad.name)) continue
        presented++
        const before = refused.length
        assert.equal(await tryTunnel(handshake(options)), 'refused', bad.name)
        assert.equal(tunnels.length, 0, bad.name)
        assert.ok(refused.slice(before).every(({ kind }) => kind === 'handshake' || kind === 'peer'), bad.name)
      }
      assert.ok(presented > 40, `only ${presented} could be presented`)
    })

    it('refuses the bad ones as servers before a byte of a request is sent', async function () {
      this.timeout(60_000)
      const client = createHboneClient({ credentials: toldCredentials(own()), clock: systemClock })
      cleanups.push(() => client.close())
      let presented = 0
      for (const bad of badCertificates(fixture).filter(({ usage }) => usage !== 'client')) {
        const options = load(bad)
        if (!presentable(options) || reencoded.has(bad.name)) continue
        presented++
        let seen = 0
        const listener = createTlsServer({ ...options, requestCert: true, rejectUnauthorized: false }, (socket) => {
          socket.on('error', () => {})
          socket.on('data', (chunk: Buffer) => { seen += chunk.length })
        })
        listener.on('tlsClientError', () => {})
        listener.listen(0, '127.0.0.1')
        await once(listener, 'listening')
        const { port } = listener.address() as AddressInfo
        const error = await client.connect({ host: '127.0.0.1', port, authority: '10.0.0.1:80', peer: { kind: 'identity', id: 'spiffe://mesh.example/ns/shop/sa/cart' } }).then(() => undefined, (failure: unknown) => failure)
        // Keys that OpenSSL has no signature for end in an alert of the handshake.
        assert.ok(error instanceof HboneError && (error.code === 'peer-identity' || /ssl\/tls alert/.test(error.message)), `${bad.name}: ${String(error)}`)
        assert.equal(seen, 0, bad.name)
        assert.doesNotMatch(error.message, / not spiffe:/, `${bad.name} is refused for itself, not for its name`)
        listener.close()
      }
      assert.ok(presented > 40, `only ${presented} could be presented`)
    })
  })

  /** Asks for a tunnel over a connection that may be refused at any point. */
  async function tryTunnel(connecting: Promise<TLSSocket>): Promise<'accepted' | 'refused'> {
    const socket = await connecting.catch(() => undefined)
    if (socket === undefined) return 'refused'
    const http2 = connectHttp2('https://x', { createConnection: () => socket })
    try {
      http2.on('error', () => {})
      const stream = http2.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' })
      stream.on('error', () => {})
      return await new Promise((resolve) => {
        stream.once('response', () => resolve('accepted'))
        stream.once('close', () => resolve('refused'))
      })
    } finally {
      http2.destroy()
    }
  }
})

/** OpenSSL hands these to us in DER, whatever they were on the wire. */
const reencoded: ReadonlySet<string> = new Set(['indefinite length', 'length with a leading zero'])

/** Whether OpenSSL lets somebody present this at all; `checkSvid` has its own tests for the others. */
function presentable(options: SecureContextOptions): boolean {
  try {
    createTlsServer(options).close()
    return true
  } catch {
    return false
  }
}
