import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import { systemClock } from '../../src/kit/clock.ts'
import { keepCredentials, type CredentialKeeper } from '../../src/transport/credentials.ts'
import { callUnary, echoClient, startEcho } from '../../waypoint/http2/testing/grpc-services.ts'
import { backend, type Backend } from './testing/backend.ts'
import { relay, tcpServer, type TcpServer } from './testing/relay.ts'
import { readAll } from './testing/client.ts'
import { l7Namespace, prefix, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

describe('connections that are not HTTP, and those whose protocol nobody declares (semantics 4)', () => {
  let mesh: Mesh
  let app: Backend
  let credentials: CredentialKeeper
  const closers: (() => void)[] = []
  const banner = async (name: string): Promise<TcpServer> => {
    const server = await tcpServer((socket) => void socket.write(`${name}\n`))
    closers.push(server.close)
    return server
  }
  const tlsApp = async (name: string): Promise<TlsServer> => {
    const { privateKeyPem, certificateChainPem } = credentials.current()
    const server = createTlsServer({ key: privateKeyPem, cert: certificateChainPem, ALPNProtocols: ['special'] }, (socket) => {
      socket.on('error', () => {})
      socket.end(`${name} ${String(socket.servername)} ${String(socket.alpnProtocol)}`)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => server.close())
    return server
  }
  const read = async (authority: string, send?: string): Promise<string> => {
    const socket = await mesh.tunnel('books', authority)
    if (send !== undefined) socket.end(send)
    return (await readAll(socket)).text
  }
  /** The first bytes that come without a word of ours. */
  const hear = async (authority: string): Promise<string> => {
    const socket = await mesh.tunnel('books', authority)
    const text = await new Promise<string>((resolve) => {
      socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))
      socket.once('close', () => resolve(''))
      socket.once('end', () => resolve(''))
    })
    socket.destroy()
    return text
  }
  const overTls = async (authority: string, servername: string | undefined): Promise<string> => {
    const socket = await mesh.tunnel('books', authority)
    const secure: TLSSocket = connectTls({ socket, rejectUnauthorized: false, ALPNProtocols: ['special'], ...(servername === undefined ? {} : { servername }) })
    return new Promise((resolve) => {
      let text = ''
      secure.on('data', (chunk: Buffer) => { text += chunk.toString() })
      secure.on('error', () => resolve('refused'))
      secure.on('end', () => resolve(text))
      secure.on('close', () => resolve(text === '' ? 'refused' : text))
    })
  }

  before(async () => {
    app = await backend('app')
    app.server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      const caller = request.headers['x-forwarded-client-cert'] as string
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\nx-seen: ${request.url ?? ''} ${caller}\r\n\r\n`)
      if (head.length > 0) socket.write(head)
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    closers.push(app.close)
    // Any certificate will do for the applications: the mesh does not look inside their TLS.
    const other = await startMesh([])
    const identity = { trustDomain: 'cluster.local', namespace: 'books', serviceAccount: 'tls' }
    credentials = await keepCredentials({ identity, clock: systemClock, fetch: (key) => other.world.mesh.ca.issue(identity, key), onError: () => {} })
    await other.close()
    const [a, b] = [await banner('a'), await banner('b')]
    const [tlsA, tlsB, tlsC] = [await tlsApp('a'), await tlsApp('b'), await tlsApp('c')]
    const echo = await tcpServer((socket) => void socket.pipe(socket))
    const { port: grpcPort, server: grpcServer } = await startEcho({ Unary: (call, done) => done(null, Buffer.from(call.metadata.get('x-forwarded-client-cert').join())) })
    closers.push(echo.close, () => grpcServer.forceShutdown())
    const tcp = { ports: [{ name: 'tcp', port: 80 }] }
    const undeclared = { ports: [{ name: 'main', port: 80 }] }
    const rule = (...backendRefs: Manifest[]): Manifest[] => [{ backendRefs }]
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), ...service('books/app', [app]),
      ...service('books/a', [a.server], tcp), ...service('books/b', [b.server], tcp), ...service('books/empty', [], tcp),
      ...service('books/tls-a', [tlsA]), ...service('books/tls-b', [tlsB]), ...service('books/tls-c', [tlsC]),
      ...service('books/shared', [], tcp), route('TCPRoute', 'books/shared', 'books/shared', rule(to('books/a', { weight: 3 }), to('books/b', { weight: 1 }), to('books/missing', { weight: 0 }))),
      ...service('books/half', [], tcp), route('TCPRoute', 'books/half', 'books/half', rule(to('books/a'), to('books/missing'))),
      ...service('books/none', [a.server], tcp), route('TCPRoute', 'books/none', 'books/none', rule(to('books/empty'))),
      ...service('books/vault', [tlsC], { ports: [{ name: 'tls', port: 80 }] }),
      route('TLSRoute', 'books/vault', 'books/vault', rule(to('books/tls-a')), { hostnames: ['vault.example'] }),
      route('TLSRoute', 'books/wild', 'books/vault', rule(to('books/tls-b')), { hostnames: ['*.example'] }),
      ...service('books/tls-any', [tlsC], undeclared), ...service('books/banner', [a.server], undeclared), ...service('books/echo', [echo.server], undeclared),
      ...service('books/any-http', [app], undeclared), ...service('books/any-grpc', [{ host: '127.0.0.1', port: grpcPort }], undeclared),
      ...service('books/ws', [], { ports: [{ name: 'ws', port: 80, appProtocol: 'kubernetes.io/ws' }] }),
      route('HTTPRoute', 'books/ws', 'books/ws', [prefix('/chat', { backendRefs: [to('books/app')], filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/inner' } } }] })]),
    )
  })
  after(async () => {
    await mesh.close()
    for (const close of closers) close()
    credentials.close()
  })

  it('a server that speaks first is heard though the client says nothing: declared TCP, by route, and undeclared', async () => {
    for (const name of ['a', 'banner']) assert.equal(await hear(`${name}.books:80`), 'a\n', name)
    assert.match(await hear('shared.books:80'), /^[ab]\n$/)
  })

  it('TCPRoute: connections are shared by weight, and a missing backend of weight 0 costs nothing', async () => {
    const heard: string[] = []
    for (let time = 0; time < 40; time++) heard.push(await hear('shared.books:80'))
    assert.deepEqual(['a\n', 'b\n'].map((name) => heard.filter((each) => each === name).length), [30, 10])
  })

  it('TCPRoute: an invalid backend\'s share of the connections is refused, and so is an empty one\'s', async () => {
    const heard = await Promise.all(Array.from({ length: 10 }, () => hear('half.books:80')))
    assert.deepEqual(heard.sort(), [...Array<string>(5).fill(''), ...Array<string>(5).fill('a\n')])
    assert.equal(await hear('none.books:80'), '')
  })

  it('TLSRoute: the server name decides, exact before wildcard, and TLS passes through untouched', async () => {
    assert.equal(await overTls('vault.books:80', 'vault.example'), 'a vault.example special')
    assert.equal(await overTls('vault.books:80', 'VAULT.example'), 'a VAULT.example special')
    assert.equal(await overTls('vault.books:80', 'x.example'), 'b x.example special')
    assert.equal(await overTls('vault.books:80', 'x.y.example'), 'b x.y.example special')
  })

  it('TLSRoute: another server name, none at all, or no TLS is refused, never sent to the Service\'s own endpoints', async () => {
    assert.equal(await overTls('vault.books:80', 'other.org'), 'refused')
    assert.equal(await overTls('vault.books:80', 'example'), 'refused')
    assert.equal(await overTls('vault.books:80', undefined), 'refused')
    assert.doesNotMatch(await read('vault.books:80', 'GET / HTTP/1.1\r\nhost: vault.example\r\n\r\n'), /200/)
  })

  it('on an undeclared port the first bytes tell HTTP/1, HTTP/2 and TLS apart, and everything else passes as it is', async () => {
    const identity = 'By=spiffe://cluster.local/ns/books/sa/waypoint;URI=spiffe://cluster.local/ns/books/sa/app'
    assert.deepEqual((await mesh.call('books', 'any-http.books:80')).seen.headers['x-forwarded-client-cert'], [identity])
    const port = await relay(mesh.entry('books'), 'any-grpc.books:80')
    const client = echoClient(port.port)
    assert.equal((await callUnary(client, Buffer.from('x'))).message?.toString(), identity)
    client.close()
    port.close()
    assert.equal(await overTls('tls-any.books:80', 'any.name'), 'c any.name special')
    for (const text of ['hello\r\n', 'PRI * HTTP', 'GET no request line\r\n\r\n', '\x16 but no TLS at all', '\0\x01\x02']) assert.equal(await read('echo.books:80', text), text)
  })

  it('bytes are not changed, and the end of one direction leaves the other open', async () => {
    const data = randomBytes(300_000)
    const socket: Socket = await mesh.tunnel('books', 'echo.books:80')
    socket.end(Buffer.concat([Buffer.from([0xff]), data]))
    const { text } = await readAll(socket)
    assert.ok(Buffer.from(text, 'latin1').subarray(1).equals(data))
  })

  const handshake = (target: string, host: string): string =>
    `GET ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-forwarded-client-cert: URI=spiffe://cluster.local/ns/bank/sa/boss\r\n\r\n`
  const talk = async (socket: Socket): Promise<{ head: string; echo: string }> => {
    let text = ''
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
        if (text.endsWith('\r\n\r\n')) socket.write('a frame')
        if (text.endsWith('a frame')) resolve()
      })
      socket.on('close', () => resolve())
      socket.on('end', () => resolve())
    })
    socket.destroy()
    const at = text.indexOf('\r\n\r\n')
    return { head: text.slice(0, at), echo: text.slice(at + 4) }
  }

  it('a WebSocket passes a route with its filters and the caller\'s identity, through a tunnel and through the forward proxy', async () => {
    const viaProxy = connect(mesh.entry('books'))
    viaProxy.write(handshake('http://ws.books/chat/room?q=1', 'ws.books'))
    const viaTunnel = await mesh.tunnel('books', 'ws.books:80')
    viaTunnel.write(handshake('/chat/room?q=1', 'ws.books'))
    for (const socket of [viaTunnel, viaProxy]) {
      const { head, echo } = await talk(socket)
      assert.match(head, /^HTTP\/1\.1 101 /)
      assert.match(head, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r?$/im)
      assert.match(head, /^x-seen: \/inner\/room\?q=1 By=[^;]*;URI=spiffe:\/\/cluster\.local\/ns\/books\/sa\/app\r?$/im)
      assert.equal(echo, 'a frame')
    }
  })

  it('a WebSocket that no rule matches is refused as any request', async () => {
    const socket = await mesh.tunnel('books', 'ws.books:80')
    socket.write(handshake('/elsewhere', 'ws.books'))
    const [first] = (await once(socket, 'data')) as [Buffer]
    assert.match(first.toString(), /^HTTP\/1\.1 404 [^]*x-waypoint-reason: no-route/)
    socket.destroy()
  })
})
