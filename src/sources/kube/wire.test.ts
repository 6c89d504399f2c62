import assert from 'node:assert/strict'
import fc from 'fast-check'
import { WatchFault } from './decide.ts'
import { isOlder, readEvent, readPage } from './wire.ts'

describe('readEvent and readPage', () => {
  it('read anything or throw a WatchFault', () => {
    const wild = fc.json().map((text) => [`{"type":"ADDED","object":${text}}`, `{"type":"ERROR","object":${text}}`, `{"metadata":${text},"items":[${text}]}`, text])
    fc.assert(
      fc.property(wild, (texts) => {
        for (const text of texts) {
          for (const read of [readEvent, readPage]) {
            try {
              read(text)
            } catch (error) {
              assert.ok(error instanceof WatchFault, String(error))
            }
          }
        }
      }),
    )
  })

  it('hold names like those of Object.prototype for types that are not known', () => {
    for (const type of ['constructor', '__proto__', 'toString', 'added']) {
      assert.equal(readEvent(JSON.stringify({ type, object: { metadata: { name: 'x' } } })).type, 'dropped')
    }
  })
})

describe('isOlder', () => {
  it('compares as numbers of any length, and never what is no number', () => {
    const pairs = [['9', '10'], ['10', '9'], ['10', '10'], ['123456789012345678901', '123456789012345678902'], ['a', 'b'], ['', '1'], ['1', ''], ['01', '2']] as const
    assert.deepEqual(pairs.map(([a, b]) => isOlder(a, b)), [true, false, false, true, false, false, false, false])
  })
})
