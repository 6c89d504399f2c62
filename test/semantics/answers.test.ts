import assert from 'node:assert/strict'
import { tcpServer, type TcpServer } from './testing/relay.ts'
import { l7Namespace, service } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const ok = 'HTTP/1.1 200 OK\r\n'
/** What a request behind the first must never get. */
const poison = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison'

/** Answers that are none, or mean different things to different readers. */
const broken: Readonly<Record<string, string>> = {
  'no HTTP at all': 'SSH-2.0-OpenSSH\r\n',
  'two different lengths': `${ok}content-length: 3\r\ncontent-length: 9\r\n\r\nabc`,
  'a length and a transfer coding': `${ok}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a length that is no number': `${ok}content-length: x\r\n\r\nabc`,
  'a space before the colon': `${ok}content-length : 3\r\n\r\nabc`,
  'a folded line': `${ok}x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n`,
  'a NUL in a value': `${ok}x-a: b\0\r\ncontent-length: 0\r\n\r\n`,
  'a status that is none': 'HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n',
  'a head beyond all bounds': `${ok}x-big: ${'x'.repeat(300_000)}\r\n\r\n`,
}
/** Answers that break off after they began. */
const cut: Readonly<Record<string, string>> = {
  'a body shorter than its length': `${ok}content-length: 10\r\n\r\nabc`,
  'a chunked body without its end': `${ok}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  'a chunk size that is no number': `${ok}transfer-encoding: chunked\r\n\r\nx\r\n`,
  'a chunk that is longer than its size': `${ok}transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n`,
}

describe('answers that an endpoint gets wrong (semantics 6)', () => {
  let mesh: Mesh
  let server: TcpServer
  let answer = ''
  let close = true
  before(async () => {
    server = await tcpServer((socket) => {
      socket.on('data', () => {
        socket.write(Buffer.from(answer, 'latin1'))
        if (close) socket.end()
      })
    })
    mesh = await startMesh(['books'], ...l7Namespace('books'), ...service('books/app', [server.server]))
  })
  after(async () => {
    await mesh.close()
    server.close()
  })
  beforeEach(() => void (close = true))

  for (const [what, bytes] of Object.entries(broken)) {
    it(`${what}: 502 with a reason, and nothing of it reaches the caller`, async () => {
      answer = bytes
      const { status, reason, headers } = await mesh.call('books', 'app.books:80')
      assert.deepEqual([status, reason, 'x-a' in headers], [502, 'upstream-protocol', false])
    })
  }

  for (const [what, bytes] of Object.entries(cut)) {
    it(`${what}: the caller's answer is cut, never whole`, async () => {
      answer = bytes
      await assert.rejects(mesh.call('books', 'app.books:80'), /aborted|hang up|ECONNRESET|Parse Error/)
    })
  }

  it('no answer at all is 502 upstream-reset', async () => {
    answer = ''
    const { status, reason } = await mesh.call('books', 'app.books:80')
    assert.deepEqual([status, reason], [502, 'upstream-reset'])
  })

  it('an answer without a length ends with its connection', async () => {
    answer = `${ok}\r\nall of it`
    assert.equal((await mesh.call('books', 'app.books:80')).body, 'all of it')
  })

  it('what an endpoint sends behind its answer is nobody\'s answer', async () => {
    close = false
    const client = mesh.keepAlive('books', 'app.books:80', 1)
    for (let time = 0; time < 5; time++) {
      answer = `${ok}content-length: 4\r\n\r\nours${poison}`
      assert.equal((await client.call()).body, 'ours')
    }
    answer = `HTTP/1.1 204 No Content\r\n\r\n${poison}`
    assert.deepEqual([(await client.call()).status, (await client.call()).body], [204, ''])
  })

  it('a HEAD\'s answer has no body whatever its length says', async () => {
    answer = `${ok}content-length: 4\r\n\r\n`
    const { status, body, headers } = await mesh.call('books', 'app.books:80', { method: 'HEAD' })
    assert.deepEqual([status, body, headers['content-length']], [200, '', ['4']])
  })

  it('an endpoint can not speak in the proxy\'s name', async () => {
    answer = `${ok}x-waypoint-reason: denied\r\nx-waypoint-other: 1\r\ncontent-length: 0\r\n\r\n`
    const { headers } = await mesh.call('books', 'app.books:80')
    assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith('x-waypoint')), [])
  })
})
