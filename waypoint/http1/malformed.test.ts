import assert from 'node:assert/strict'
import { ask, closeAll, echo, serve, talk } from './testing/harness.ts'

const host = 'Host: a\r\n'
const long = (bytes: number): string => 'x'.repeat(bytes)

/** Bytes that must be refused with 400, by the rule that they break. */
const malformed: readonly (readonly [rule: string, bytes: string])[] = [
  ['bare LF after the request line', `GET / HTTP/1.1\n${host}\r\n`],
  ['bare LF after a header', `GET / HTTP/1.1\r\nHost: a\n\r\n`],
  ['bare LF as the empty line', `GET / HTTP/1.1\r\n${host}\n`],
  ['LF LF at the end', `GET / HTTP/1.1\r\nHost: a\n\n`],
  ['bare CR in the request line', `GET /\rx HTTP/1.1\r\n${host}\r\n`],
  ['bare CR in a value', `GET / HTTP/1.1\r\n${host}A: b\rc\r\n\r\n`],
  ['bare CR before what could be a header', `GET / HTTP/1.1\r\n${host}A: b\rXB: c\r\n\r\n`],
  ['bare CR at the end of a value', `GET / HTTP/1.1\r\n${host}A: b\r\r\n\r\n`],
  ['bare CR in a name', `GET / HTTP/1.1\r\n${host}A\rb: c\r\n\r\n`],
  ['obs-fold with a space', `GET / HTTP/1.1\r\n${host}A: b\r\n c\r\n\r\n`],
  ['obs-fold with a tab', `GET / HTTP/1.1\r\n${host}A: b\r\n\tc\r\n\r\n`],
  ['white space before the first header', `GET / HTTP/1.1\r\n ${host}\r\n`],
  ['space before the colon', `GET / HTTP/1.1\r\nHost : a\r\n\r\n`],
  ['tab before the colon', `GET / HTTP/1.1\r\nHost\t: a\r\n\r\n`],
  ['space in a name', `GET / HTTP/1.1\r\n${host}A b: c\r\n\r\n`],
  ['empty name', `GET / HTTP/1.1\r\n${host}: c\r\n\r\n`],
  ['no colon', `GET / HTTP/1.1\r\n${host}Abc\r\n\r\n`],
  ['NUL in a name', `GET / HTTP/1.1\r\n${host}A\0b: c\r\n\r\n`],
  ['8-bit name', `GET / HTTP/1.1\r\n${host}A\xe9: c\r\n\r\n`],
  ['parenthesis in a name', `GET / HTTP/1.1\r\n${host}A(b): c\r\n\r\n`],
  ['quote in a name', `GET / HTTP/1.1\r\n${host}"A": c\r\n\r\n`],
  ['NUL in a value', `GET / HTTP/1.1\r\n${host}A: b\0c\r\n\r\n`],
  ['control character in a value', `GET / HTTP/1.1\r\n${host}A: b\x01c\r\n\r\n`],
  ['DEL in a value', `GET / HTTP/1.1\r\n${host}A: b\x7fc\r\n\r\n`],
  ['vertical tab in a value', `GET / HTTP/1.1\r\n${host}A: b\x0bc\r\n\r\n`],
  ['no Host', 'GET / HTTP/1.1\r\nA: b\r\n\r\n'],
  ['no headers at all', 'GET / HTTP/1.1\r\n\r\n'],
  ['two Hosts', `GET / HTTP/1.1\r\n${host}Host: b\r\n\r\n`],
  ['two equal Hosts', `GET / HTTP/1.1\r\n${host}${host}\r\n`],
  ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['user information in Host', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  ['space in Host', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['query in Host', 'GET / HTTP/1.1\r\nHost: a?b\r\n\r\n'],
  ['list in Host', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['bad port in Host', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n'],
  ['port out of range in Host', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n'],
  ['two ports in Host', 'GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n'],
  ['bad IPv6 in Host', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n'],
  ['IPv6 with letters in Host', 'GET / HTTP/1.1\r\nHost: [::zz]\r\n\r\n'],
  ['two Hosts on 1.0', `GET / HTTP/1.0\r\n${host}${host}\r\n`],
  ['length and chunked', `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunked and length', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
  ['two lengths', `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`],
  ['the same length twice', `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['list of lengths', `POST / HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n\r\nhello`],
  ['signed length', `POST / HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\nhello`],
  ['negative length', `POST / HTTP/1.1\r\n${host}Content-Length: -5\r\n\r\nhello`],
  ['hex length', `POST / HTTP/1.1\r\n${host}Content-Length: 0x5\r\n\r\nhello`],
  ['length with a space inside', `POST / HTTP/1.1\r\n${host}Content-Length: 1 0\r\n\r\nhello`],
  ['empty length', `POST / HTTP/1.1\r\n${host}Content-Length:\r\n\r\nhello`],
  ['fraction as length', `POST / HTTP/1.1\r\n${host}Content-Length: 5.0\r\n\r\nhello`],
  ['length that overflows', `POST / HTTP/1.1\r\n${host}Content-Length: 18446744073709551621\r\n\r\nhello`],
  ['unknown coding', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip\r\n\r\n`],
  ['chunked not last', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, gzip\r\n\r\n`],
  ['gzip, chunked', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`],
  ['identity', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\n\r\n`],
  ['chunked twice in a line', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, chunked\r\n\r\n`],
  ['chunked on two lines', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ['quoted chunked', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: "chunked"\r\n\r\n`],
  ['xchunked', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n`],
  ['chunked with a parameter', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked;a=b\r\n\r\n`],
  ['empty Transfer-Encoding', `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n\r\n`],
  ['chunked on 1.0', `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['HTTP/0.9', 'GET /\r\n'],
  ['HTTP/1.2', `GET / HTTP/1.2\r\n${host}\r\n`],
  ['HTTP/2.0', `GET / HTTP/2.0\r\n${host}\r\n`],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/01.1', `GET / HTTP/01.1\r\n${host}\r\n`],
  ['lower-case http', `GET / http/1.1\r\n${host}\r\n`],
  ['space after the version', `GET / HTTP/1.1 \r\n${host}\r\n`],
  ['two spaces before the target', `GET  / HTTP/1.1\r\n${host}\r\n`],
  ['two spaces after the target', `GET /  HTTP/1.1\r\n${host}\r\n`],
  ['tab in the request line', `GET\t/ HTTP/1.1\r\n${host}\r\n`],
  ['leading space', ` GET / HTTP/1.1\r\n${host}\r\n`],
  ['two empty lines first', `\r\n\r\nGET / HTTP/1.1\r\n${host}\r\n`],
  ['LF first', `\nGET / HTTP/1.1\r\n${host}\r\n`],
  ['TLS ClientHello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['method that is no token', `G@T / HTTP/1.1\r\n${host}\r\n`],
  ['method too long', `${long(33)} / HTTP/1.1\r\n${host}\r\n`],
  ['8-bit target', `GET /\xe9 HTTP/1.1\r\n${host}\r\n`],
  ['NUL in the target', `GET /\0 HTTP/1.1\r\n${host}\r\n`],
  ['fragment in the target', `GET /a#b HTTP/1.1\r\n${host}\r\n`],
  ['CONNECT', `CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n`],
  ['authority form with GET', `GET a:80 HTTP/1.1\r\n${host}\r\n`],
  ['asterisk with GET', `GET * HTTP/1.1\r\n${host}\r\n`],
  ['relative target', `GET a/b HTTP/1.1\r\n${host}\r\n`],
  ['absolute target of another scheme', `GET https://a/ HTTP/1.1\r\n${host}\r\n`],
  ['absolute target with user information', `GET http://u:p@a/ HTTP/1.1\r\n${host}\r\n`],
  ['absolute target without a host', `GET http:///x HTTP/1.1\r\n${host}\r\n`],
  ['absolute target and no Host', 'GET http://a/ HTTP/1.1\r\n\r\n'],
  ['Connection names Host', `GET / HTTP/1.1\r\n${host}Connection: close, host\r\n\r\n`],
  ['Connection names Content-Length', `POST / HTTP/1.1\r\n${host}Connection: content-length\r\nContent-Length: 1\r\n\r\nx`],
  ['Connection names Transfer-Encoding', `POST / HTTP/1.1\r\n${host}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['Connection names Authorization', `GET / HTTP/1.1\r\n${host}Connection: authorization\r\n\r\n`],
  ['Connection is no token', `GET / HTTP/1.1\r\n${host}Connection: a b\r\n\r\n`],
]

const chunkedHead = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`
/** Chunked bodies that must be refused with 400. */
const badChunks: readonly (readonly [rule: string, bytes: string])[] = [
  ['no size', '\r\nhello'],
  ['size that is not hex', 'g\r\nhello\r\n0\r\n\r\n'],
  ['0x before the size', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['negative size', '-5\r\nhello\r\n0\r\n\r\n'],
  ['signed size', '+5\r\nhello\r\n0\r\n\r\n'],
  ['space before the size', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['space after the size', '5 \r\nhello\r\n0\r\n\r\n'],
  ['size that overflows', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['LF after the size', '5\nhello\r\n0\r\n\r\n'],
  ['CR after the size', '5\rhello\r\n0\r\n\r\n'],
  ['LF after the data', '5\r\nhello\n0\r\n\r\n'],
  ['data longer than its size', '5\r\nhellooo\r\n0\r\n\r\n'],
  ['data shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['control character in an extension', '5;a=\x01\r\nhello\r\n0\r\n\r\n'],
  ['LF in an extension', '5;a=b\nhello\r\n0\r\n\r\n'],
  ['extension too long', `5;a=${long(2000)}\r\nhello\r\n0\r\n\r\n`],
  ['another byte and LF after the data', '5\r\nhelloX\n0\r\n\r\n'],
  ['LF after the last size', '5\r\nhello\r\n0\n\r\n'],
  ['bad trailer name', '5\r\nhello\r\n0\r\nA b: c\r\n\r\n'],
  ['folded trailer', '5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n'],
  ['two lengths in the trailers', '5\r\nhello\r\n0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n'],
  ['LF at the end of the trailers', '5\r\nhello\r\n0\r\nA: b\n\r\n'],
  ['LF as the end', '5\r\nhello\r\n0\r\n\n'],
]

const oversized: readonly (readonly [rule: string, status: number, bytes: string])[] = [
  ['header section too large in one line', 431, `GET / HTTP/1.1\r\n${host}A: ${long(17_000)}\r\n\r\n`],
  ['header section too large in many lines', 431, `GET / HTTP/1.1\r\n${host}${`A: ${long(1000)}\r\n`.repeat(20)}\r\n`],
  ['header section that never ends', 431, `GET / HTTP/1.1\r\n${host}A: ${long(17_000)}`],
  ['too many headers', 431, `GET / HTTP/1.1\r\n${host}${'A: b\r\n'.repeat(101)}\r\n`],
  ['trailer section too large', 431, `${chunkedHead}0\r\nA: ${long(17_000)}\r\n\r\n`],
  ['target too long', 414, `GET /${long(5000)} HTTP/1.1\r\n${host}\r\n`],
  ['target that never ends', 414, `GET /${long(5000)}`],
]

describe('a malformed HTTP/1 request', () => {
  afterEach(closeAll)

  const cases = [
    ...malformed.map(([rule, bytes]) => [rule, 400, bytes] as const),
    ...badChunks.map(([rule, bytes]) => [`chunked: ${rule}`, 400, chunkedHead + bytes] as const),
    ...oversized,
  ]
  for (const [rule, status, bytes] of cases) {
    it(`is refused with ${status} and the connection closed: ${rule}`, async () => {
      const server = await serve(echo)
      // What follows must never be read as a request.
      const text = await ask(server.port, `${bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
      assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text)
      assert.match(text, /\r\nconnection: close\r\n/)
      assert.equal(text.match(/HTTP\/1\.1 \d{3} /g)?.length, 1, text)
      assert.equal(server.errors.length, 1)
      assert.equal(server.exchanges.filter((each) => each.head.target !== '/').length, 0)
    })
  }

  it('tells which rule it breaks, in the body and to the owner, and carries the owner\'s headers', async () => {
    const server = await serve(echo)
    const text = await ask(server.port, 'GET / HTTP/1.1\r\nHost : a\r\n\r\n')
    assert.match(text, /white space stands between a header name and its colon/)
    assert.match(text, /\r\nx-waypoint-reason: malformed-request\r\n/)
    assert.deepEqual(server.errors, [['malformed-request', 'white space stands between a header name and its colon (RFC 9112 §5.1)']])
  })

  it('does not stop the requests before it from being answered, in order', async () => {
    const server = await serve(echo)
    const text = await ask(server.port, `GET /1 HTTP/1.1\r\n${host}\r\nGET /2 HTTP/1.1\r\n${host}\r\nBAD\r\n\r\n`)
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  it('is refused as soon as its line is complete, without waiting for the rest of the head', async () => {
    const server = await serve(echo)
    const client = talk(server.port, 'GET /index.html\r\n')
    assert.equal(await client.closed, 'end')
    assert.match(client.text(), /^HTTP\/1\.1 400 /)
  })
})
