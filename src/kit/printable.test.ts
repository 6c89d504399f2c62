import assert from 'node:assert/strict'
import { printable } from './printable.ts'

describe('printable', () => {
  it('shows what a terminal would obey', () => {
    assert.equal(printable('X\u001b[31mRED\nfake: error\u202e'), 'X\\u001b[31mRED\\u000afake: error\\u202e')
  })
  it('leaves all else as it is', () => assert.equal(printable('Übung "1" — ok'), 'Übung "1" — ok'))
})
