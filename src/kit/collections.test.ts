import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { growthFor } from './collections.ts'

describe('kit: collections', () => {
  it('leave a small heap the same spare whatever it holds, and a large one to V8', () => {
    assert.equal(growthFor(16 * 1024 * 1024), 400)
    assert.equal(growthFor(32 * 1024 * 1024), 200)
    assert.equal(growthFor(65 * 1024 * 1024), 0)
    assert.equal(growthFor(900 * 1024 * 1024), 0)
  })

  it('are set by an option that V8 still has: it says nothing of those that it does not know', () => {
    assert.match(execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' }), /--heap-growing-percent/)
  })
})
