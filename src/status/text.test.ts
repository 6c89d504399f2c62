import assert from 'node:assert/strict'
import { clip } from './text.ts'

describe('clip', () => {
  it('gives what fits as it is, and cuts the rest between characters', () => {
    assert.equal(clip('für', 4), 'für')
    assert.equal(clip('fürs', 4), 'f…')
    assert.equal(clip('😀😀', 7), '😀…')
    assert.ok(Buffer.byteLength(clip('ü'.repeat(100), 33)) <= 33)
  })

  it('leaves no half of a character', () => {
    assert.equal(clip('"a\ud83d', 100), '"a\ufffd')
    assert.equal(clip('"a\ud83d'.repeat(9), 20).isWellFormed(), true)
  })
})
