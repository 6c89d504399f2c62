import assert from 'node:assert/strict'
import fc from 'fast-check'
import { lineSplitter } from './lines.ts'

describe('lineSplitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }).filter((line) => line !== '' && !line.includes('\n'))), fc.array(fc.nat(20)), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const { push } = lineSplitter(1_000_000)
        const got: string[] = []
        let from = 0
        for (const cut of cuts) {
          got.push(...push(bytes.subarray(from, from + cut)))
          from = Math.min(from + cut, bytes.length)
        }
        got.push(...push(bytes.subarray(from)))
        assert.deepEqual(got, lines)
      }),
    )
  })

  it('skips empty lines and keeps back what is not complete', () => {
    const { push } = lineSplitter(100)
    assert.deepEqual(push(Buffer.from('\n\na\nb')), ['a'])
    assert.deepEqual(push(Buffer.from('')), [])
    assert.deepEqual(push(Buffer.from('c\n')), ['bc'])
  })

  it('refuses a line that does not end within the limit, also when it comes in small pieces', () => {
    const { push } = lineSplitter(10)
    assert.deepEqual(push(Buffer.from('123456789\n12345')), ['123456789'])
    push(Buffer.from('67890'))
    assert.throws(() => push(Buffer.from('1')), RangeError)
  })
})
