import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { createHttp1Pool } from './pool.ts'
import { ask, closeAll, dialTo, forward, later, poolLimits, serve } from './testing/harness.ts'

const end = 'GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
const inner = 'GET /inner HTTP/1.1\r\nHost: b\r\n\r\n'
const post = (fields: string, body: string): string => `POST /p HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`
const chunked = 'Transfer-Encoding: chunked\r\n'

/** What an attacker may send to make two parsers see different requests. Some are legal, some are not. */
const vectors: readonly (readonly [name: string, bytes: string])[] = [
  ['a GET with a body that looks like a request', `GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`],
  ['a GET with a chunked body', `GET /g HTTP/1.1\r\nHost: a\r\n${chunked}\r\n5\r\nhello\r\n0\r\n\r\n`],
  ['a DELETE with a chunked body that holds a request', `DELETE /d HTTP/1.1\r\nHost: a\r\n${chunked}\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`],
  ['an OPTIONS with a length', `OPTIONS /o HTTP/1.1\r\nHost: a\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`],
  ['a HEAD with a body', `HEAD /h HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`],
  ['CL.TE', post(`Content-Length: 6\r\n${chunked}`, '0\r\n\r\nG')],
  ['TE.CL', post(`${chunked}Content-Length: 4\r\n`, `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`)],
  ['TE.TE with an unknown second coding', post(`${chunked}Transfer-Encoding: x\r\n`, '0\r\n\r\n')],
  ['TE with white space before the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n')],
  ['TE with a tab before its value', post('Transfer-Encoding:\tchunked\r\n', `5\r\nhello\r\n0\r\n\r\n`)],
  ['TE with a vertical tab', post('Transfer-Encoding:\x0bchunked\r\n', '0\r\n\r\n')],
  ['TE with trailing white space', post('Transfer-Encoding: chunked \t\r\n', '5\r\nhello\r\n0\r\n\r\n')],
  ['TE in capitals', post('TRANSFER-ENCODING: CHUNKED\r\n', '5\r\nhello\r\n0\r\n\r\n')],
  ['TE behind obs-fold', post('X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', 'abc')],
  ['TE folded', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n')],
  ['TE behind a bare LF', post('X: y\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
  ['TE behind a bare CR', post('X: y\rTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
  ['TE with an underscore', post('Transfer_Encoding: chunked\r\nContent-Length: 3\r\n', 'abc')],
  ['a length with an underscore', post(`Content_Length: 40\r\nContent-Length: 3\r\n`, 'abc')],
  ['a NUL after chunked', post('Transfer-Encoding: chunked\0\r\n', '0\r\n\r\n')],
  ['a length with leading zeros', post('Content-Length: 0003\r\n', 'abc')],
  ['a length with a plus', post('Content-Length: +3\r\n', 'abc')],
  ['an octal-looking length', post('Content-Length: 010\r\n', '0123456789')],
  ['two lengths', post('Content-Length: 3\r\nContent-Length: 4\r\n', 'abcd')],
  ['a list of lengths', post('Content-Length: 3,3\r\n', 'abc')],
  ['no length, body bytes behind', post('', inner)],
  ['length 0, a request behind', post('Content-Length: 0\r\n', inner)],
  ['a body shorter than its length', post('Content-Length: 5\r\n', `abcde${inner}`)],
  ['a chunk extension with a quoted line end', post(chunked, '5;a="\r\n"\r\nhello\r\n0\r\n\r\n')],
  ['a chunk extension', post(chunked, '5;a=b;c\r\nhello\r\n0;last\r\n\r\n')],
  ['a LF after a chunk extension', post(chunked, '5;a\nhello\r\n0\r\n\r\n')],
  ['a chunk size with leading zeros', post(chunked, '0000005\r\nhello\r\n000\r\n\r\n')],
  ['a chunk size that wraps at 64 bits', post(chunked, '10000000000000005\r\nhello\r\n0\r\n\r\n')],
  ['a chunk without its CRLF', post(chunked, '5\r\nhello0\r\n\r\n')],
  ['data beyond the chunk', post(chunked, '5\r\nhelloXX\r\n0\r\n\r\n')],
  ['framing in the trailers', post(chunked, '5\r\nhello\r\n0\r\nContent-Length: 50\r\nHost: evil\r\nX-T: 1\r\n\r\n')],
  ['TE in the trailers', post(chunked, '5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n')],
  ['a request in place of trailers', post(chunked, `0\r\n${inner}`)],
  ['a request behind the trailers', post(chunked, `0\r\nX-T: 1\r\n\r\n${inner}`)],
  ['Connection takes the framing away', post(`Connection: content-length\r\nContent-Length: ${inner.length}\r\n`, inner)],
  ['Connection takes a header away', `GET /c HTTP/1.1\r\nHost: a\r\nConnection: x-secret\r\nX-Secret: 1\r\n\r\n`],
  ['an h2c upgrade', 'GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n'],
  ['an upgrade with a body', post(`Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: ${inner.length}\r\n`, inner)],
  ['an absolute target with another Host', 'GET http://real/x HTTP/1.1\r\nHost: other\r\n\r\n'],
  ['an empty line first', `\r\n${inner}`],
  ['HTTP/1.0 with a length', 'POST /v0 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc'],
  ['HTTP/1.0 with chunked', `POST /v0 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n${chunked}\r\n0\r\n\r\n`],
  ['an expectation', post('Expect: 100-continue\r\nContent-Length: 3\r\n', 'abc')],
  ['TE: trailers', 'GET /te HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nConnection: TE\r\n\r\n'],
]

interface Seen {
  readonly method: string
  readonly target: string
  readonly authority: string
  readonly body: string
}

describe('HTTP/1 request smuggling', () => {
  afterEach(closeAll)

  for (const [name, bytes] of vectors) {
    it(`shows the endpoint the requests that were judged, and no others: ${name}`, async () => {
      const atOrigin: Seen[] = []
      const broken: string[] = []
      const origin = http.createServer((request, response) => {
        let body = ''
        request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
        request.on('end', () => {
          atOrigin.push({ method: request.method ?? '', target: request.url ?? '', authority: request.headers.host ?? '', body })
          assert.equal(request.headers['http2-settings'], undefined)
          assert.equal(request.headers['x-secret'], undefined)
          response.end('ok')
        })
      })
      // A request that is refused midway is cut: that is a reset, not a second request.
      origin.on('clientError', (error: NodeJS.ErrnoException) => error.code !== 'ECONNRESET' && broken.push(error.message))
      origin.listen(0, '127.0.0.1')
      await once(origin, 'listening')
      later(() => {
        origin.closeAllConnections()
        origin.close()
      })
      // One connection: whatever one message leaves over would become part of the next.
      const pool = createHttp1Pool(dialTo((origin.address() as AddressInfo).port), { ...poolLimits, maxConnections: 1 }, systemClock)
      later(() => pool.destroy())
      const judged: Seen[] = []
      const proxy = await serve(
        forward(pool, (head, body) => judged.push({ method: head.method, target: head.target, authority: head.authority, body: body.toString('latin1') })),
      )
      const text = await ask(proxy.port, bytes + end)
      assert.deepEqual(atOrigin, judged)
      assert.deepEqual(broken, [])
      if (proxy.errors.length === 0) {
        assert.equal(judged.at(-1)?.target, '/end')
        assert.equal(text.match(/HTTP\/1\.1 [2-5]\d\d /g)?.length, judged.length)
      }
    })
  }

  it('accepts some of these vectors and refuses others, or the table proves nothing', async () => {
    const server = await serve((exchange) => {
      exchange.body.start({ onData: () => {}, onAbort: () => {}, onEnd: () => {
        exchange.sendHead(200, [], 0)
        exchange.sendEnd()
      } })
    })
    const outcomes = await Promise.all(vectors.map(([, bytes]) => ask(server.port, bytes + end)))
    const refused = outcomes.filter((text) => text.includes('HTTP/1.1 400')).length
    assert.ok(vectors.length >= 30)
    assert.ok(refused >= 15 && refused <= vectors.length - 15, `${refused} of ${vectors.length} refused`)
  })
})
