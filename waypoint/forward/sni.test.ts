import assert from 'node:assert/strict'
import fc from 'fast-check'
import { clientHello } from '../testing/client-hello.ts'
import { maxClientHelloBytes, parseClientHello } from './sni.ts'

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
const extension = (type: number, data: Buffer): Buffer => Buffer.concat([u16(type), u16(data.length), data])
const serverName = (name: string, kind = 0): Buffer => {
  const entry = Buffer.concat([Buffer.from([kind]), u16(name.length), Buffer.from(name, 'latin1')])
  return extension(0, Buffer.concat([u16(entry.length), entry]))
}

/** A ClientHello message without its record. */
function message(extensions: readonly Buffer[] | undefined): Buffer {
  const tail = extensions === undefined ? Buffer.alloc(0) : Buffer.concat([u16(Buffer.concat(extensions).length), ...extensions])
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), Buffer.from([0]), u16(2), Buffer.from([0x13, 1]), Buffer.from([1, 0]), tail])
  return Buffer.concat([Buffer.from([1, 0]), u16(body.length), body])
}

/** Cuts a message into records of `size` bytes. */
function records(bytes: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size)
    parts.push(Buffer.from([22, 3, 1]), u16(part.length), part)
  }
  return Buffer.concat(parts)
}

describe('parseClientHello', () => {
  it('reads what a real client sends, and asks for more at every cut before its end', async () => {
    const hello = await clientHello('Db.Example')
    assert.deepEqual(parseClientHello(hello), { kind: 'hello', serverName: 'db.example' })
    for (let length = 0; length < hello.length; length++) {
      assert.deepEqual(parseClientHello(hello.subarray(0, length)), { kind: 'incomplete' }, `${length} bytes`)
    }
    assert.deepEqual(parseClientHello(await clientHello(undefined)), { kind: 'hello', serverName: undefined })
  })

  it('puts a message together that comes in many records', () => {
    const hello = message([extension(10, Buffer.alloc(4)), serverName('a.example')])
    for (const size of [1, 3, 4, 5, 50]) assert.deepEqual(parseClientHello(records(hello, size)), { kind: 'hello', serverName: 'a.example' })
  })

  const cases: readonly (readonly [what: string, bytes: Buffer, found: ReturnType<typeof parseClientHello>])[] = [
    ['a message without extensions', records(message(undefined)), { kind: 'hello', serverName: undefined }],
    ['a trailing dot', records(message([serverName('a.example.')])), { kind: 'hello', serverName: 'a.example' }],
    ['bytes after the message', Buffer.concat([records(message([serverName('a')])), Buffer.from('x')]), { kind: 'hello', serverName: 'a' }],
    ['two server names', records(message([serverName('a'), serverName('b')])), { kind: 'invalid' }],
    ['a name that is no DNS name', records(message([serverName('a\0b')])), { kind: 'invalid' }],
    ['an empty name', records(message([serverName('')])), { kind: 'invalid' }],
    ['another kind of name', records(message([serverName('a', 1)])), { kind: 'invalid' }],
    ['an extension longer than the message', records(message([Buffer.from([0, 5, 255, 255])])), { kind: 'invalid' }],
    ['a ServerHello', records(Buffer.concat([Buffer.from([2]), message([]).subarray(1)])), { kind: 'invalid' }],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0]), { kind: 'invalid' }],
    ['an alert record', Buffer.from([21, 3, 1, 0, 2, 1, 0]), { kind: 'invalid' }],
    ['SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 1]), { kind: 'invalid' }],
    ['a message longer than the limit', records(Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff]), Buffer.alloc(100)])), { kind: 'invalid' }],
  ]
  for (const [what, bytes, found] of cases) it(`judges ${what}`, () => assert.deepEqual(parseClientHello(bytes), found))

  it('never throws, decides within its limit, and never changes its mind', () => {
    const hello = records(message([serverName('a.example')]), 20)
    const damaged = fc.tuple(fc.nat(hello.length - 1), fc.nat(255)).map(([at, value]) => {
      const copy = Buffer.from(hello)
      copy[at] = value
      return copy
    })
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)), damaged), fc.nat(200), (bytes, cut) => {
      const early = parseClientHello(bytes.subarray(0, cut))
      if (early.kind !== 'incomplete') assert.deepEqual(parseClientHello(bytes), early)
    }))
    const endless = records(Buffer.concat([Buffer.from([1, 0, 0x3f, 0xff]), Buffer.alloc(4 * maxClientHelloBytes)]), 1)
    assert.notEqual(parseClientHello(endless).kind, 'incomplete')
  })
})
