import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { backend, type Backend } from './testing/backend.ts'
import { readAll, type RawReply } from './testing/client.ts'
import { l7Namespace, service } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

describe('the entry as a forward proxy (design 9)', () => {
  let app: Backend
  let mesh: Mesh
  before(async () => {
    app = await backend('app')
    mesh = await startMesh(['books'], ...l7Namespace('books'), ...service('books/app', [app]), ...service('club/app', [app]))
  })
  after(async () => {
    await mesh.close()
    app.close()
  })
  afterEach(() => void (app.seen.length = 0))
  const raw = (bytes: string): Promise<RawReply> => {
    const socket = connect(mesh.entry('books'))
    socket.on('error', () => {})
    socket.write(Buffer.from(bytes, 'latin1'))
    return readAll(socket)
  }
  const request = (method: string, rest: string, host = 'app.books'): string => `${method} http://${host}/x HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n${rest}`

  for (const host of ['app.books', 'app.club']) {
    it(`a body passes whole, with every method and framing, and is nothing but a body: ${host}`, async () => {
      const inner = 'GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n'
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'OPTIONS']) {
        for (const framed of [`content-length: ${inner.length}\r\n\r\n${inner}`, `transfer-encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`]) {
          const { status } = await raw(request(method, framed, host))
          assert.equal(status, 200, method)
          assert.deepEqual(app.seen.splice(0).map((seen) => [seen.method, seen.url, seen.body]), [[method, '/x', inner]])
        }
      }
    })
  }

  it('bodies of many requests at a time are not mixed up', async () => {
    const bodies = Array.from({ length: 60 }, (_, at) => `${at}-`.repeat(200 + at))
    const replies = await Promise.all(bodies.map((body) => raw(request('POST', `content-length: ${body.length}\r\n\r\n${body}`))))
    assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200])
    assert.deepEqual(app.seen.map(({ body }) => body).sort(), bodies.sort())
  })

  it('trailers pass, and so does 100-continue', async () => {
    await raw(request('POST', 'transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n'))
    assert.deepEqual(app.seen.map(({ body, trailers }) => [body, { ...trailers }]), [['abc', { 'x-sum': '1' }]])
    const { answers, text } = await raw(request('POST', 'expect: 100-continue\r\ncontent-length: 2\r\n\r\nok'))
    assert.deepEqual([answers, text.startsWith('HTTP/1.1 100 ')], [2, true])
  })

  it('what is no request to a proxy, names nobody or is ambiguous is refused with a reason', async () => {
    for (const [bytes, status, reason] of [
      ['GET /x HTTP/1.1\r\nhost: app.books\r\nconnection: close\r\n\r\n', 400, 'malformed-request'],
      ['OPTIONS * HTTP/1.1\r\nhost: app.books\r\nconnection: close\r\n\r\n', 400, 'malformed-request'],
      [request('GET', '\r\n', 'nobody.books'), 502, 'unknown-destination'],
      [request('GET', '\r\n', '0x7f.1'), 502, 'unknown-destination'],
      [request('GET', '\r\n', 'app.books:81'), 502, 'unknown-destination'],
      [request('POST', 'content-length: 3\r\ncontent-length: 4\r\n\r\nabc'), 400, 'malformed-request'],
      [request('POST', 'content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc'), 400, 'malformed-request'],
      [request('GET', 'x a: b\r\n\r\n'), 400, 'malformed-request'],
      [request('GET', `x-big: ${'x'.repeat(100_000)}\r\n\r\n`), 431, 'header-too-large'],
    ] as const) {
      const reply = await raw(bytes)
      assert.deepEqual([reply.status, reply.answers, reply.reason], [status, 1, reason], bytes.slice(0, 100))
    }
    assert.deepEqual(app.seen, [])
  })

  it('headers that the waypoint accepts are not refused before it', async () => {
    assert.equal((await raw(request('GET', `x-big: ${'x'.repeat(50_000)}\r\n\r\n`))).status, 200)
  })
})
