import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { backend, type Backend } from './testing/backend.ts'
import { readAll, type RawReply } from './testing/client.ts'
import { l7Namespace, prefix, route, service, to } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${more}\r\n`
const post = (headers: string, body = ''): string => `POST / HTTP/1.1\r\nhost: x\r\n${headers}\r\n${body}`
/** What a smuggler would hide behind the first request. */
const hidden = 'GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n'

/** Byte sequences that two parsers can read differently. */
const ambiguous: Readonly<Record<string, string>> = {
  'two different lengths': post('content-length: 3\r\ncontent-length: 5\r\n', 'abc' + hidden),
  'two lengths in one line': post('content-length: 3, 3\r\n', 'abc' + hidden),
  'a length and a transfer coding': post('content-length: 5\r\ntransfer-encoding: chunked\r\n', '0\r\n\r\n' + hidden),
  'a transfer coding and a length': post('transfer-encoding: chunked\r\ncontent-length: 5\r\n', '0\r\n\r\n' + hidden),
  'a signed length': post('content-length: +3\r\n', 'abc'),
  'a negative length': post('content-length: -1\r\n'),
  'a hexadecimal length': post('content-length: 0x3\r\n', 'abc'),
  'a length with a space inside': post('content-length: 1 0\r\n', 'abc'),
  'a length beyond all bounds': post('content-length: 99999999999999999999\r\n', 'abc'),
  'an empty length': post('content-length:\r\n', 'abc'),
  'an unknown transfer coding': post('transfer-encoding: xchunked\r\n', '0\r\n\r\n' + hidden),
  'chunked before another coding': post('transfer-encoding: chunked, identity\r\n', '0\r\n\r\n' + hidden),
  'chunked twice': post('transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n', '0\r\n\r\n' + hidden),
  'a quoted transfer coding': post('transfer-encoding: "chunked"\r\n', '0\r\n\r\n' + hidden),
  'a space before the colon': post('transfer-encoding : chunked\r\n', '0\r\n\r\n' + hidden),
  'a tab before the colon': post('content-length\t: 3\r\n', 'abc'),
  'a vertical tab in the coding': post('transfer-encoding: \x0bchunked\r\n', '0\r\n\r\n' + hidden),
  'a folded line': post('x-a: b\r\n content-length: 3\r\n', 'abc'),
  'a first line that is folded': post(' content-length: 3\r\n', 'abc'),
  'lines that end in LF': 'GET / HTTP/1.1\nhost: x\n\n',
  'one line that ends in LF': 'GET / HTTP/1.1\r\nhost: x\nx-a: b\r\n\r\n',
  'a CR inside a value': get('/', 'x-a: b\rc\r\n'),
  'a NUL inside a value': get('/', 'x-a: b\0c\r\n'),
  'a control inside a name': get('/', 'x-\x01a: b\r\n'),
  'a name with a space': get('/', 'x a: b\r\n'),
  'an empty name': get('/', ': b\r\n'),
  'a line without a colon': get('/', 'garbage\r\n'),
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'two Hosts': 'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
  'a Host with a path': 'GET / HTTP/1.1\r\nhost: a/b\r\n\r\n',
  'a Host with user info': 'GET / HTTP/1.1\r\nhost: a@b\r\n\r\n',
  'a request line with two spaces': 'GET  / HTTP/1.1\r\nhost: x\r\n\r\n',
  'a request line with a tab': 'GET\t/\tHTTP/1.1\r\nhost: x\r\n\r\n',
  'a request line without a version': 'GET /\r\nhost: x\r\n\r\n',
  'another version': 'GET / HTTP/1.2\r\nhost: x\r\n\r\n',
  'a method that is no token': 'GE(T / HTTP/1.1\r\nhost: x\r\n\r\n',
  'a Connection that names the identity': get('/', 'x-forwarded-client-cert: URI=x\r\nconnection: x-forwarded-client-cert\r\n'),
  'a Connection that names Host': get('/', 'connection: host\r\n'),
}

/** Bodies that break after a good head: the answer to the first request may come, but nothing behind them may pass. */
const chunked = (body: string): string => post('transfer-encoding: chunked\r\n', body)
const brokenBodies: Readonly<Record<string, string>> = {
  'a chunk size that is no number': chunked('x\r\n' + hidden),
  'a chunk size with a sign': chunked('+3\r\nabc\r\n0\r\n\r\n' + hidden),
  'a chunk size in 0x': chunked('0x3\r\nabc\r\n0\r\n\r\n' + hidden),
  'a chunk size with a space before': chunked(' 3\r\nabc\r\n0\r\n\r\n' + hidden),
  'a chunk size beyond all bounds': chunked('fffffffffffffffff\r\nabc\r\n0\r\n\r\n' + hidden),
  'a chunk line that ends in LF': chunked('3\nabc\r\n0\r\n\r\n' + hidden),
  'a chunk that is longer than its size': chunked('3\r\nabcd\r\n0\r\n\r\n' + hidden),
  'a chunk that ends in LF': chunked('3\r\nabc\n0\r\n\r\n' + hidden),
  'a bare CR in an extension': chunked('3;a=\rb\r\nabc\r\n0\r\n\r\n' + hidden),
  'a trailer with a space in its name': chunked('0\r\nx a: b\r\n\r\n' + hidden),
  'a length and a transfer coding among the trailers': chunked('0\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n' + hidden),
  'a last chunk that ends in LF': chunked('0\n\n' + hidden),
}

/** Path as sent → path as matched and forwarded; undefined: refused. */
const spellings: Readonly<Record<string, string | undefined>> = {
  '/public/a': '/public/a', '/public//a': '/public/a', '//public/a': '/public/a', '/public/./a': '/public/a', '/public/x/../a': '/public/a', '/./public/a': '/public/a',
  '/public/%61': '/public/a', '/public/%2561': '/public/%2561', '/%70ublic/a': '/public/a', '/public/%7Ea': '/public/~a', '/public/a%20b': '/public/a%20b', '/public/%c3%a9': '/public/%C3%A9',
  '/public/a;b=c': '/public/a;b=c', '/public/a%3Fb': '/public/a%3Fb', '/public/a%23b': '/public/a%23b', '/public/a%3b': '/public/a%3B', '/public/...': '/public/...', '/public/a..b': '/public/a..b',
  '/public/../admin': '/admin', '/public/%2e%2e/admin': '/admin', '/public/.%2E/admin': '/admin', '/public//../admin': '/admin', '/public/x/%2e%2e/../admin': '/admin', '/public/..': '/', '/admin/../public/a': '/public/a',
  '/public%2fa': undefined, '/public%2Fa': undefined, '/public/..%2fadmin': undefined, '/public/%5c..%5cadmin': undefined, '/public\\..\\admin': undefined, '/public/%00': undefined, '/public/%0d%0a': undefined,
  '/public/%7f': undefined, '/public/%c0%ae%c0%ae/admin': undefined, '/public/%e0%80%af': undefined, '/public/%ff': undefined, '/public/%zz': undefined, '/public/%': undefined, '/public/%u002e': undefined,
  '/..': undefined, '/../admin': undefined, '/public/../../admin': undefined, '/public/..;/admin': undefined, '/public/a#b': undefined, 'public/a': undefined, '/public/\x7f': undefined, '/public/\xe9': undefined,
}

describe('what is ambiguous on the wire (semantics 7, design 9)', () => {
  let app: Backend
  let mesh: Mesh
  before(async () => {
    app = await backend('app')
    mesh = await startMesh(
      ['books', 'shop'], ...l7Namespace('books'), ...service('books/app', [app]), ...service('books/front', []), ...service('books/open', [app]),
      route('HTTPRoute', 'books/front', 'books/front', [
        prefix('/public', { backendRefs: [to('books/app')] }),
        prefix('/', { backendRefs: [to('books/app')], filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-rule', value: 'other' }] } }] }),
      ]),
    )
  })
  after(async () => {
    await mesh.close()
    app.close()
  })
  afterEach(() => void (app.seen.length = 0))
  const raw = (bytes: string): Promise<RawReply> => mesh.raw('books', 'front.books:80', bytes)

  for (const [what, bytes] of Object.entries(ambiguous)) {
    it(`${what}: 400, the connection is closed, the backend sees nothing`, async () => {
      const { status, answers, reason } = await raw(bytes)
      assert.deepEqual([status, answers, reason], [400, 1, 'malformed-request'])
      assert.deepEqual(app.seen, [])
    })
  }

  for (const [what, bytes] of Object.entries(brokenBodies)) {
    it(`${what}: 400, the connection is closed, nothing behind it passes`, async () => {
      const { status, answers, reason } = await raw(bytes)
      assert.deepEqual([status, answers, reason], [400, 1, 'malformed-request'])
      assert.deepEqual(app.seen, [])
    })
  }

  it('the vectors are told apart from what is right: each neighbour of theirs passes, and so does the request behind it', async () => {
    const last = get('/last', 'connection: close\r\n')
    for (const first of [
      post('content-length: 3\r\n', 'abc'), chunked('3\r\nabc\r\n0\r\n\r\n'), chunked('3;a="b"\r\nabc\r\n0\r\nx-t: 1\r\n\r\n'), chunked('0003\r\nabc\r\n0\r\n\r\n'),
      post('Transfer-Encoding: Chunked\r\n', '0\r\n\r\n'), get('/', 'x-a:\tb \r\n'), get('/', 'x-empty:\r\n'), 'GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n', '\r\n' + get('/'),
    ]) {
      const { answers, text } = await raw(first + last)
      assert.equal(answers, 2, first)
      assert.ok(!text.includes('x-waypoint-reason'), first)
    }
    assert.equal(app.seen.filter(({ url }) => url === '/last').length, 9)
  })

  it('an absolute target\'s authority is the Host, whatever the header says', async () => {
    await raw('GET http://Other:81/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    assert.deepEqual(app.seen.map(({ host, url }) => [host, url]), [['other:81', '/x']])
  })

  it('trailers pass, but none that frames, routes or claims an identity', async () => {
    const trailers = 'content-length: 3\r\nhost: y\r\nx-forwarded-client-cert: URI=x\r\nx-waypoint-reason: z\r\nauthorization: a\r\nx-sum: 1\r\n'
    await raw(post('transfer-encoding: chunked\r\nconnection: close\r\ntrailer: x-sum\r\n', `3\r\nabc\r\n0\r\n${trailers}\r\n`))
    assert.deepEqual(app.seen.map(({ body, trailers }) => [body, { ...trailers }]), [['abc', { 'x-sum': '1' }]])
  })

  it('the same holds for a Service port without routes', async () => {
    for (const bytes of [ambiguous['two different lengths'], ambiguous['a space before the colon'], brokenBodies['a chunk that is longer than its size']]) {
      assert.equal((await mesh.raw('shop', 'open.books:80', bytes ?? '')).status, 400)
    }
    assert.deepEqual(app.seen, [])
  })

  it('every spelling of a path is matched as it is forwarded, or refused with 400', async () => {
    for (const [spelling, expected] of Object.entries(spellings)) {
      const { status, reason } = await raw(get(spelling, 'connection: close\r\n'))
      const one = app.seen.pop()
      if (expected === undefined) {
        assert.deepEqual([status, reason, one], [400, 'malformed-request', undefined], spelling)
      } else {
        assert.deepEqual([status, one?.url], [200, expected], spelling)
        assert.equal(one?.headers['x-rule'] === undefined, /^\/public(\/|$)/.test(expected), spelling)
      }
    }
  })

  it('the entry\'s absolute form judges paths as a tunnel does', async () => {
    for (const [spelling, expected] of [['/public/../admin', '/admin'], ['/public%2fa', undefined], ['/public/%2e%2e/admin', '/admin'], ['?q', '/?q'], ['/a?b#c', undefined]] as const) {
      const socket = connect(mesh.entry('books'))
      socket.write(`GET http://front.books${spelling} HTTP/1.1\r\nhost: front.books\r\nconnection: close\r\n\r\n`)
      const { status } = await readAll(socket)
      assert.deepEqual([status, app.seen.pop()?.url], [expected === undefined ? 400 : 200, expected], spelling)
    }
  })

  it('a forged identity is replaced by the caller\'s, whatever the spelling of its header', async () => {
    const forged = 'URI=spiffe://cluster.local/ns/bank/sa/boss'
    for (const name of ['x-forwarded-client-cert', 'X-Forwarded-Client-Cert', 'X-FORWARDED-CLIENT-CERT']) {
      for (const headers of [{ [name]: forged }, { [name]: [forged, forged] }]) {
        const { seen } = await mesh.call('shop', 'front.books:80', { headers })
        assert.deepEqual(seen.headers['x-forwarded-client-cert'], ['By=spiffe://cluster.local/ns/books/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/app'])
      }
    }
    const { seen } = await mesh.call('books', 'open.books:80', { headers: { 'x-forwarded-client-cert': forged } })
    assert.match(seen.headers['x-forwarded-client-cert']?.join() ?? '', /URI=spiffe:\/\/cluster\.local\/ns\/books\/sa\/app$/)
  })

  it('headers of ours are stripped from callers, and hop-by-hop ones are not passed on', async () => {
    const { seen } = await mesh.call('shop', 'front.books:80', {
      headers: { 'x-waypoint-reason': 'denied', 'X-Waypoint-Anything': '1', 'connection': 'keep-alive, x-hop', 'x-hop': '1', 'keep-alive': 'timeout=5', 'proxy-connection': 'x', 'te': 'trailers', 'x-kept': '1' },
    })
    assert.deepEqual(Object.keys(seen.headers).filter((name) => /^x-(waypoint|hop|kept)|^keep-alive|^proxy/.test(name)), ['x-kept'])
  })

  it('a header section that is too large gets 431, a target that is too long 414, and neither reaches the backend', async () => {
    for (const [bytes, status, reason] of [
      [get('/', `x-big: ${'x'.repeat(70_000)}\r\n`), 431, 'header-too-large'],
      [get('/', Array.from({ length: 300 }, (_, at) => `x-${at}: 1\r\n`).join('')), 431, 'header-too-large'],
      [get('/', Array.from({ length: 100 }, (_, at) => `x-${at}: ${'y'.repeat(1000)}\r\n`).join('')), 431, 'header-too-large'],
      [get(`/${'x'.repeat(40_000)}`), 414, 'uri-too-long'],
      [get(`/?${'x'.repeat(40_000)}`), 414, 'uri-too-long'],
    ] as const) {
      const reply = await raw(bytes)
      assert.deepEqual([reply.status, reply.answers, reply.reason], [status, 1, reason])
    }
    assert.deepEqual(app.seen, [])
    assert.equal((await raw(get(`/${'x'.repeat(30_000)}`, `x-big: ${'x'.repeat(10_000)}\r\nconnection: close\r\n`))).status, 200)
  })

  it('requests in one connection are answered in their order', async () => {
    const { text, answers } = await raw([1, 2, 3].map((at) => get(`/${at}`)).join('') + get('/4', 'connection: close\r\n'))
    assert.equal(answers, 4)
    assert.deepEqual([...text.matchAll(/"url":"\/(\d)"/g)].map(([, at]) => at), ['1', '2', '3', '4'])
  })

  it('a HEAD has no body, a 204 has none, and the connection lives on', async () => {
    const { text, answers } = await raw('HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n' + get('/b', 'connection: close\r\n'))
    assert.equal(answers, 2)
    assert.deepEqual([...text.matchAll(/"url":"\/(\w)"/g)].map(([, at]) => at), ['b'])
  })
})
