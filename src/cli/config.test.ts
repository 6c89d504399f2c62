import assert from 'node:assert/strict'
import { wantsColour } from './config.ts'
import { ansi } from './io.ts'

describe('colours', () => {
  it('are for terminals, and not where NO_COLOR is set to anything', () => {
    assert.equal(wantsColour({ isTTY: true }, {}), true)
    assert.equal(wantsColour({ isTTY: true }, { NO_COLOR: '' }), true)
    assert.equal(wantsColour({ isTTY: true }, { NO_COLOR: '0' }), false)
    assert.equal(wantsColour({ isTTY: true }, { TERM: 'dumb' }), false)
    assert.equal(wantsColour({}, {}), false)
  })

  it('end where they began', () => {
    assert.equal(ansi('red', 'x'), '\u001b[31mx\u001b[39m')
  })
})
