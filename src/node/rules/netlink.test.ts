import assert from 'node:assert/strict'
import { attribute, attributesOf, decodeAnswers, decodeObjects, encode, flag } from './netlink.ts'

const acknowledgement = (sequence: number, errno: number): Buffer => {
  const made = Buffer.alloc(36)
  made.writeUInt32LE(36, 0)
  made.writeUInt16LE(2, 4)
  made.writeUInt32LE(sequence, 8)
  made.writeInt32LE(-errno, 16)
  return made
}

describe('netlink', () => {
  it('pads attributes, closes strings, marks what is nested', () => {
    assert.equal(attribute(1, 'lo').toString('hex'), '070001006c6f0000')
    assert.equal(attribute(2, Buffer.from([1])).toString('hex'), '0500020001000000')
    assert.equal(attribute(3, [attribute(1, 'lo'), attribute(2, Buffer.alloc(4))]).toString('hex'), '14000380070001006c6f00000800020000000000')
    assert.throws(() => attribute(1, Buffer.alloc(65_532)), RangeError)
  })

  it('puts a header before a message', () => {
    assert.equal(encode({ type: 0x0a03, flags: flag.create, body: Buffer.from([1, 2, 3, 4]), about: '' }, 7).toString('hex'), '14000000030a0104070000000000000001020304')
  })

  it('reads objects with their attributes, until it is said that there are no more', () => {
    const body = Buffer.concat([Buffer.alloc(4), attribute(1, 'waymark'), attribute(0x8002, Buffer.from([9]))])
    const object = encode({ type: 0x0a00, flags: 0, body, about: '' }, 1)
    const end = encode({ type: 3, flags: 0, body: Buffer.alloc(4), about: '' }, 1)
    const { objects, done } = decodeObjects(Buffer.concat([object, acknowledgement(1, 0), end]))
    assert.deepEqual([objects.map(({ type }) => type), done], [[0x0a00], true])
    const attributes = attributesOf(objects[0]?.body ?? Buffer.alloc(0), 4)
    assert.deepEqual([attributes.get(1)?.toString(), attributes.get(2)?.[0]], ['waymark\0', 9])
    assert.deepEqual(decodeObjects(object.subarray(0, 20)), { objects: [], done: false })
    assert.equal(attributesOf(Buffer.from([200, 0, 1, 0]), 0).size, 0)
  })

  it('reads answers, however many come at once, and nothing beyond what came', () => {
    const both = Buffer.concat([acknowledgement(3, 0), acknowledgement(4, 17)])
    assert.deepEqual(decodeAnswers(both), [{ sequence: 3, errno: 0 }, { sequence: 4, errno: 17 }])
    assert.deepEqual(decodeAnswers(both.subarray(0, 60)), [{ sequence: 3, errno: 0 }])
    assert.deepEqual(decodeAnswers(Buffer.alloc(40)), [])
    assert.deepEqual(decodeAnswers(encode({ type: 20, flags: 0, body: Buffer.alloc(4), about: '' }, 1)), [])
  })
})
