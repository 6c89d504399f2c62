import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttp2Server, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { fakeClock, type FakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { Endpoint, PortProtocol } from '../../src/model/entries.ts'
import type { HttpRule, RouteRules } from '../../src/model/route.ts'
import { endpoints, http, routes, service, to } from './testing/entries.ts'
import { endpoint, startRig, type Rig } from './testing/rig.ts'

describe('a waypoint carries', () => {
  let rig: Rig
  let clock: FakeClock
  beforeEach(async () => {
    clock = fakeClock(Date.now())
    rig = await startRig({ clock })
  })
  afterEach(async () => {
    await rig.settled()
    await rig.close()
  })

  const configure = (rules: RouteRules | undefined, protocol: PortProtocol, ...all: readonly Endpoint[]): void => {
    const reviews = service('books', 'reviews', '10.0.0.1', protocol)
    rig.configure([reviews, endpoints('books', 'reviews', ...all), ...(rules === undefined ? [] : [routes('producer', 'books', reviews, rules)])])
  }
  const rule = (each: Partial<HttpRule>): RouteRules => http({ backends: [to('books', 'reviews')], ...each })

  const http2Backend = async (onStream: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void): Promise<Endpoint> => {
    const server = createHttp2Server()
    const sessions = new Set<{ destroy: () => void }>()
    server.on('session', (session) => sessions.add(session))
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {})
      onStream(stream, headers)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    rig.onClose(() => {
      server.close()
      for (const session of sessions) session.destroy()
    })
    return endpoint((server.address() as AddressInfo).port)
  }

  const rawBackend = async (onSocket: (socket: Socket) => void): Promise<Endpoint> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      onSocket(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    rig.onClose(() => server.close())
    return endpoint((server.address() as AddressInfo).port)
  }

  it('HTTP/2 to an HTTP/1.1 backend', async () => {
    const backend = await rig.backend((request, response) => response.end(`${request.httpVersion} ${request.headers.host ?? ''}`))
    configure(undefined, 'http', backend)
    const answer = await call(await rig.http2(), { ':path': '/', ':authority': 'reviews' })
    assert.deepEqual([answer.headers[':status'], answer.body], [200, '1.1 reviews'])
  })

  it('gRPC calls of one connection to all endpoints, with their trailers', async () => {
    const seen: number[] = []
    const one = (n: number) => http2Backend((stream) => {
      seen.push(n)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': `from ${n}` }))
      stream.end('x')
    })
    configure(undefined, 'http', await one(1), await one(2))
    const session = await rig.http2()
    for (let i = 0; i < 20; i++) {
      const answer = await call(session, grpc('/books.Reviews/Get'), 'request')
      assert.equal(answer.trailers['grpc-status'], '0')
    }
    assert.deepEqual([...new Set(seen)].sort(), [1, 2])
    assert.deepEqual([rig.records[0]?.protocol, rig.records[0]?.grpcStatus], ['grpc', 0])
  })

  it('gRPC streams in both directions, message by message', async () => {
    const backend = await http2Backend((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
      stream.on('data', (chunk) => stream.write(`echo ${String(chunk)}`))
      stream.on('end', () => stream.end())
    })
    configure(undefined, 'http', backend)
    const stream = (await rig.http2()).request(grpc('/books.Reviews/Chat'))
    stream.setEncoding('utf8')
    for (const word of ['one', 'two', 'three']) {
      stream.write(word)
      const [chunk] = await once(stream, 'data') as [string]
      assert.equal(chunk, `echo ${word}`)
    }
    stream.end()
    stream.resume()
    await once(stream, 'end')
  })

  it('its own answers to gRPC callers as trailers-only', async () => {
    configure({ protocol: 'grpc', rules: [] }, 'http')
    const session = await rig.http2()
    const unmatched = await call(session, grpc('/books.Reviews/Get'), 'x')
    assert.deepEqual([unmatched.headers[':status'], unmatched.headers['grpc-status'], unmatched.headers['x-waypoint-reason'], unmatched.body], [200, '12', 'no-route', ''])
    configure(undefined, 'http')
    const empty = await call(session, grpc('/books.Reviews/Get'), 'x')
    assert.deepEqual([empty.headers['grpc-status'], empty.headers['x-waypoint-reason']], ['14', 'no-endpoint'])
    assert.deepEqual(rig.records.map((each) => each.grpcStatus), [12, 14])
  })

  it('a caller\'s grpc-timeout out, with DEADLINE_EXCEEDED', async () => {
    let asked = 0
    configure(undefined, 'http', await http2Backend(() => { asked++ }))
    const answer = call(await rig.http2(), { ...grpc('/books.Reviews/Get'), 'grpc-timeout': '2S' }, 'x')
    await until(() => asked === 1)
    clock.advance(2000)
    const { headers } = await answer
    assert.deepEqual([headers['grpc-status'], headers['x-waypoint-reason']], ['4', 'request-timeout'])
  })

  it('cancellation by the caller to the backend', async () => {
    let aborted = false
    let asked = false
    configure(undefined, 'http', await http2Backend((stream) => {
      asked = true
      stream.on('close', () => { aborted = stream.rstCode !== 0 })
    }))
    const stream = (await rig.http2()).request(grpc('/books.Reviews/Get'))
    stream.on('error', () => {})
    await until(() => asked)
    stream.close(8)
    await until(() => aborted)
    await until(() => rig.records[0]?.reason === 'client-gone')
  })

  it('trailers of HTTP/1.1 in both directions', async () => {
    let trailers: unknown
    const backend = await rig.backend((request, response) => {
      request.resume().on('end', () => {
        trailers = request.trailers
        response.writeHead(200, { trailer: 'x-sum' })
        response.addTrailers({ 'x-sum': '42' })
        response.end('body')
      })
    })
    configure(undefined, 'http', backend)
    const tunnel = await rig.open()
    let text = ''
    tunnel.on('data', (chunk) => { text += String(chunk) })
    tunnel.write('POST / HTTP/1.1\r\nhost: reviews\r\nte: trailers\r\ntrailer: x-check\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-check: 7\r\n\r\n')
    await until(() => text.includes('x-sum: 42'))
    assert.deepEqual(trailers, { 'x-check': '7' })
    tunnel.destroy()
  })

  it('a WebSocket upgrade, then bytes both ways beyond the request timeout', async () => {
    const backend = await rig.backend(() => {})
    backend.server.on('upgrade', (request, socket: Socket) => {
      socket.on('error', () => {})
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: ${request.headers.upgrade ?? ''}\r\nconnection: upgrade\r\n\r\n`)
      socket.on('data', (chunk) => socket.write(`echo ${String(chunk)}`))
      socket.on('end', () => socket.end('bye'))
    })
    configure(rule({ timeouts: { requestMs: 1000 } }), 'http', backend)
    const tunnel = await rig.open()
    let text = ''
    tunnel.on('data', (chunk) => { text += String(chunk) })
    tunnel.write('GET /chat HTTP/1.1\r\nhost: reviews\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    await until(() => text.includes('\r\n\r\n'))
    assert.match(text, /^HTTP\/1\.1 101 /)
    clock.advance(5000)
    tunnel.write('hello')
    await until(() => text.includes('echo hello'))
    tunnel.end()
    await until(() => text.endsWith('bye'))
    await until(() => rig.records.length === 1)
    assert.deepEqual([rig.records[0]?.status, rig.records[0]?.bytesIn], [101, 5])
  })

  it('an upgrade that the backend declines as an ordinary answer', async () => {
    configure(undefined, 'http', await rig.backend((_request, response) => response.writeHead(426).end('no')))
    const answer = await rig.ask({ headers: { connection: 'upgrade', upgrade: 'websocket' } })
    assert.deepEqual([answer.status, answer.body], [426, 'no'])
  })

  it('a slow reader\'s answer without holding it in memory', async () => {
    let written = 0
    let stuck = false
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const total = 1024 * chunk.length
    const backend = await rig.backend((_request, response) => {
      const pump = (): void => {
        while (written < total) {
          written += chunk.length
          if (!response.write(chunk)) {
            stuck = true
            response.once('drain', pump)
            return
          }
        }
        response.end()
      }
      pump()
    })
    configure(undefined, 'http', backend)
    const tunnel = await rig.open()
    tunnel.write('GET / HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n\r\n')
    await until(() => stuck)
    // Stands still when every buffer on the way is full: far below the whole.
    let last = -1
    while (last !== written) {
      last = written
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.ok(written < total / 2, `${written} bytes were taken from the backend for a client that reads nothing`)
    let read = 0
    for await (const each of tunnel) read += (each as Buffer).length
    assert.ok(read >= total)
  })

  it('a large upload only as fast as the backend reads it', async () => {
    let begun = false
    let paused: Socket | undefined
    const backend = await rawBackend((socket) => {
      socket.pause()
      paused = socket
      begun = true
    })
    configure(undefined, 'http', backend)
    const tunnel = await rig.open()
    tunnel.on('error', () => {})
    const total = 64 * 1024 * 1024
    tunnel.write(`POST / HTTP/1.1\r\nhost: reviews\r\ncontent-length: ${total}\r\n\r\n`)
    let sent = 0
    const chunk = Buffer.alloc(64 * 1024)
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length
        if (!tunnel.write(chunk)) {
          tunnel.once('drain', pump)
          return
        }
      }
    }
    pump()
    await until(() => begun)
    let last = -1
    while (last !== sent) {
      last = sent
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.ok(sent < total / 2, `${sent} bytes were taken from the client for a backend that reads nothing`)
    let got = 0
    paused?.on('data', (each: Buffer) => {
      got += each.length
      if (got >= total) paused?.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    })
    paused?.resume()
    let text = ''
    tunnel.on('data', (each) => { text += String(each) })
    await until(() => text.startsWith('HTTP/1.1 200'))
    tunnel.destroy()
  })

  it('TCP in which the server speaks first, and refuses an invalid backend\'s connections', async () => {
    const backend = await rawBackend((socket) => {
      socket.write('220 ready\r\n')
      socket.on('data', (chunk) => socket.write(`got ${String(chunk)}`))
      socket.on('end', () => socket.end())
    })
    configure(undefined, 'tcp', backend)
    const tunnel = await rig.open()
    let text = ''
    tunnel.on('data', (chunk) => { text += String(chunk) })
    await until(() => text === '220 ready\r\n')
    tunnel.end('HELO')
    await until(() => text.endsWith('got HELO'))
    await until(() => rig.records.length === 1)
    assert.deepEqual([rig.records[0]?.protocol, rig.records[0]?.bytesIn, rig.records[0]?.service], ['tcp', 4, 'reviews'])

    const target = { kind: 'invalid', reason: 'invalid-backend', detail: 'missing' } as const
    const id = { routeKind: 'TCPRoute', namespace: 'books', name: 'r', rule: 0 } as const
    configure({ protocol: 'tcp', rules: [{ kind: 'tcp', id, backends: [{ target, weight: 1, filters: [] }] }] }, 'tcp', backend)
    const refused = await rig.open()
    const [error] = await Promise.race([once(refused, 'error'), once(refused.resume(), 'end').then(() => ['clean end'])]) as [unknown]
    assert.ok(error instanceof Error)
    assert.equal(rig.records[1]?.reason, 'invalid-backend')
  })
})

function grpc(path: string): OutgoingHttpHeaders {
  return { ':method': 'POST', ':path': path, ':authority': 'reviews', 'content-type': 'application/grpc', 'te': 'trailers' }
}

interface Http2Answer {
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
  readonly trailers: Readonly<Record<string, unknown>>
}

async function call(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Http2Answer> {
  const stream: ClientHttp2Stream = session.request(headers)
  let trailers: Record<string, unknown> = {}
  stream.on('trailers', (each: Record<string, unknown>) => { trailers = each })
  let answered: Record<string, unknown> = {}
  stream.on('response', (each) => { answered = each })
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk) => { text += String(chunk) })
  const closed = once(stream, 'close')
  stream.end(body)
  await closed
  return { headers: answered, body: text, trailers }
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2))
  assert.ok(condition(), 'it did not happen')
}
