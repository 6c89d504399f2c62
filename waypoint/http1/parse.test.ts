import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseAuthority } from './authority.ts'
import { BodyDecoder } from './body.ts'
import { RequestReader, ResponseReader } from './heads.ts'
import type { RequestHead, ResponseHead } from './parse.ts'
import type { Refusal } from './refusal.ts'

const limits = { maxHeaderBytes: 400, maxHeaders: 8, maxTargetBytes: 60 }

type Event = unknown

/** What the pure parts say to `chunks`, with neighbouring pieces of a body joined. */
function read(chunks: readonly Buffer[], side: 'request' | 'response'): Event[] {
  const events: Event[] = []
  const requests = new RequestReader(limits, 'http')
  const answers = new ResponseReader(limits)
  let decoder: BodyDecoder | undefined
  let body = ''
  for (const chunk of chunks) {
    let pos = 0
    while (pos < chunk.length) {
      if (decoder === undefined) {
        const reader = side === 'request' ? requests : answers
        const head = reader.read(chunk, pos)
        if (head === undefined) break
        events.push(head)
        if (head.kind === 'refused') return events
        pos = reader.next
        const framing = head.kind === 'request' ? (head.length ?? 'chunked') : head.chunked ? 'chunked' : (head.contentLength ?? 'until-close')
        decoder = framing === 0 ? undefined : new BodyDecoder(framing, limits)
        continue
      }
      const step = decoder.step(chunk, pos)
      if (step === 'refused') return [...events, body, decoder.refusal]
      pos = decoder.next
      if (step === 'data') body += decoder.data.toString('latin1')
      if (step === 'end' || decoder.remaining === 0) {
        events.push(body, decoder.trailers)
        body = ''
        decoder = undefined
      }
    }
  }
  return [...events, body]
}

/** Cuts `bytes` at `cuts`. */
function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((each) => each % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...at, bytes.length].map((end, i) => bytes.subarray(at[i - 1] ?? 0, end))
}

function request(text: string): RequestHead | Refusal | undefined {
  return new RequestReader({ maxHeaderBytes: 4000, maxHeaders: 20, maxTargetBytes: 100 }, 'http').read(Buffer.from(text, 'latin1'), 0)
}

function response(text: string): ResponseHead | Refusal | undefined {
  return new ResponseReader({ maxHeaderBytes: 4000, maxHeaders: 20, maxTargetBytes: 0 }).read(Buffer.from(text, 'latin1'), 0)
}

function taken<T extends { kind: string }>(result: T | undefined): Exclude<T, { kind: 'refused' }> {
  if (result === undefined || result.kind === 'refused') assert.fail(JSON.stringify(result))
  return result as Exclude<T, { kind: 'refused' }>
}

const eol = fc.oneof({ weight: 30, arbitrary: fc.constant('\r\n') }, fc.constantFrom('\n', '\r', '\r\r\n', '\n\r\n', '\r\n\r\n'))
const header = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('A: b', 'X-Long-Name: some value, with a comma', 'Cookie: a=b', 'TE: trailers', 'Accept:  */* ') },
  fc.constantFrom('Host: b', 'Content-Length: 5', 'Content-Length: 3', 'Transfer-Encoding: chunked', 'Connection: close', 'Connection: a', 'Bad Name: x', 'A : b', ' fold', 'A\x01: b', 'none', `B: ${'x'.repeat(300)}`),
)
const line = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('GET / HTTP/1.1', 'POST /a?b=c HTTP/1.1', 'HTTP/1.1 200 OK', 'HTTP/1.1 204 ', 'HTTP/1.0 404 Not Found') },
  fc.constantFrom('GET /', `GET /${'y'.repeat(70)} HTTP/1.1`, 'GET  / HTTP/1.1', 'GET / HTTP/3.0', 'HTTP/1.1 20 OK', 'HTTP/1.1 700 X', 'SSH-2.0-x', '\x16\x03'),
)
const bodyPart = fc.constantFrom('', 'hello', '5\r\nhello\r\n', '0\r\n\r\n', '0\r\nT: x\r\n\r\n', '3;e=1\r\nabc\r\n0\r\n\r\n', 'z', '5\nhello', '5\r\nhelloX', '0\r\nContent-Length: 3\r\nU: v\r\n\r\n')
const message = fc
  .tuple(fc.constantFrom('', '', '', '\r\n', '\r\n\r\n', '\n'), line, eol, fc.constantFrom('Host: a\r\n', ''), fc.array(fc.tuple(header, eol), { maxLength: 6 }), eol, fc.array(bodyPart, { maxLength: 3 }))
  .map(([before, start, startEnd, host, headers, last, body]) => before + start + startEnd + host + headers.flat().join('') + last + body.join(''))
const wire = fc.array(message, { minLength: 1, maxLength: 3 }).map((messages) => Buffer.from(messages.join(''), 'latin1'))
const cuts = fc.array(fc.nat(2000), { maxLength: 12 })

describe('reading HTTP/1', () => {
  for (const side of ['request', 'response'] as const) {
    it(`gives the same ${side}s however the bytes are cut`, () => {
      fc.assert(fc.property(wire, cuts, (bytes, at) => assert.deepEqual(read(cut(bytes, at), side), read([bytes], side))), { numRuns: 1500 })
    })

    it(`gives the same ${side}s byte by byte`, () => {
      fc.assert(fc.property(wire, (bytes) => assert.deepEqual(read([...bytes].map((byte) => Buffer.of(byte)), side), read([bytes], side))), { numRuns: 500 })
    })

    it(`never throws on any bytes (${side})`, () => {
      fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), (chunks) => void read(chunks.map((each) => Buffer.from(each)), side)), { numRuns: 1000 })
    })

    it(`never throws on a broken message (${side})`, () => {
      fc.assert(
        fc.property(wire, fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 4 }), cuts, (bytes, edits, at) => {
          const broken = Buffer.from(bytes)
          for (const [where, byte] of edits) if (broken.length > 0) broken[where % broken.length] = byte
          assert.deepEqual(read(cut(broken, at), side), read([broken], side))
        }),
        { numRuns: 1500 },
      )
    })
  }

  it('covers requests that are taken and each kind of refusal, or the properties prove nothing', () => {
    const kinds = new Set<unknown>()
    for (const bytes of fc.sample(wire, 3000)) {
      for (const event of read([bytes], 'request') as { kind?: string; reason?: string }[]) if (event.kind !== undefined) kinds.add(event.reason ?? event.kind)
    }
    assert.deepEqual([...kinds].sort(), ['header-too-large', 'malformed-request', 'request', 'uri-too-long'])
  })

  it('lower-cases names and authority, trims values, and keeps order, repetitions and 8-bit values', () => {
    const { head } = taken(request('GET /A?B HTTP/1.1\r\nHost: EXAMPLE.com:80\r\nX-B:  1 \t\r\nA: \xe9\r\nx-b:2\r\nE:\r\n\r\n'))
    assert.deepEqual(head, {
      version: 'http1', method: 'GET', scheme: 'http', authority: 'example.com:80', target: '/A?B', headers: ['x-b', '1', 'a', '\xe9', 'x-b', '2', 'e', ''],
    })
  })

  it('takes hop-by-hop fields and those that Connection names off', () => {
    const { head, keepAlive } = taken(
      request('GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, X-Hop, close\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: foo\r\nTrailer: t\r\nB: c\r\n\r\n'),
    )
    assert.deepEqual(head.headers, ['trailer', 't', 'b', 'c'])
    assert.equal(keepAlive, false)
    assert.equal(head.upgrade, undefined)
  })

  it('keeps te only as trailers', () => {
    assert.deepEqual(taken(request('GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, trailers\r\nConnection: TE\r\n\r\n')).head.headers, ['te', 'trailers'])
  })

  const upgrades: readonly (readonly [fields: string, upgrade: string | undefined])[] = [
    ['Connection: upgrade\r\nUpgrade: WebSocket\r\n', 'websocket'],
    ['Connection: keep-alive, Upgrade\r\nUpgrade: tls/1.3\r\n', 'tls/1.3'],
    ['Upgrade: websocket\r\n', undefined],
    ['Connection: upgrade\r\n', undefined],
    ['Connection: upgrade\r\nUpgrade: h2c\r\n', undefined],
    ['Connection: upgrade\r\nUpgrade: a, b\r\n', undefined],
    ['Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n', undefined],
    ['Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n', undefined],
  ]
  for (const [fields, upgrade] of upgrades) {
    it(`reads ${JSON.stringify(fields)} as ${upgrade === undefined ? 'no upgrade' : `an upgrade to ${upgrade}`}`, () => {
      assert.equal(taken(request(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)).head.upgrade, upgrade)
    })
  }

  const targets: readonly (readonly [line: string, authority: string, target: string])[] = [
    ['GET http://Real:81/x?y HTTP/1.1', 'real:81', '/x?y'],
    ['GET HTTP://real HTTP/1.1', 'real', '/'],
    ['GET http://real?q HTTP/1.1', 'real', '/?q'],
    ['OPTIONS http://real HTTP/1.1', 'real', '*'],
    ['OPTIONS * HTTP/1.1', 'host', '*'],
    ['GET //x//../y HTTP/1.1', 'host', '//x//../y'],
  ]
  for (const [line_, authority, target] of targets) {
    it(`reads ${line_} as ${target} of ${authority}`, () => {
      const { head } = taken(request(`${line_}\r\nHost: host\r\n\r\n`))
      assert.deepEqual([head.authority, head.target], [authority, target])
    })
  }

  it('keeps an HTTP/1.0 connection only if asked, ignores its expectation, and lets it have no Host', () => {
    const plain = taken(request('GET / HTTP/1.0\r\n\r\n'))
    assert.deepEqual([plain.keepAlive, plain.head.authority], [false, ''])
    const kept = taken(request('POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n'))
    assert.deepEqual([kept.keepAlive, kept.expectContinue, kept.head.headers], [true, false, []])
  })

  const authorities: readonly (readonly [text: string, authority: string | undefined])[] = [
    ['A.b-c_d~e', 'a.b-c_d~e'], ['[::1]:80', '[::1]:80'], ['1.2.3.4:65535', '1.2.3.4:65535'], ['a:', undefined], ['a:123456', undefined],
    ['a%2fb', undefined], ['[1.2.3.4]', undefined], ['a\\b', undefined], ['a,b', undefined],
  ]
  for (const [text, authority] of authorities) {
    it(`reads the authority ${text} as ${authority ?? 'none'}`, () => assert.equal(parseAuthority(text), authority))
  }

  const answers: readonly (readonly [text: string, status: number | undefined])[] = [
    ['HTTP/1.1 200 OK\r\n\r\n', 200], ['HTTP/1.1 200 \r\n\r\n', 200], ['HTTP/1.1 200\r\n\r\n', 200], ['HTTP/1.0 599 caf\xe9\r\n\r\n', 599],
    ['HTTP/1.1 099 X\r\n\r\n', undefined], ['HTTP/1.1 600 X\r\n\r\n', undefined], ['HTTP/1.1 2000 X\r\n\r\n', undefined], ['HTTP/1.1  200 X\r\n\r\n', undefined],
    ['HTTP/2 200 X\r\n\r\n', undefined], ['HTTP/1.1 200 a\x01b\r\n\r\n', undefined], ['HTTP/1.1 200 OK\n\r\n', undefined],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n', undefined], ['HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', undefined],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', undefined], ['HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', undefined],
  ]
  for (const [text, status] of answers) {
    it(`${status === undefined ? 'refuses' : 'takes'} the answer ${JSON.stringify(text)}`, () => {
      const head = response(text)
      assert.equal(head?.kind === 'response' ? head.status : undefined, status)
      assert.notEqual(head, undefined)
    })
  }
})
