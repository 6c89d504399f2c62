import assert from 'node:assert/strict'
import { inParallel, together } from './wait.ts'

describe('work at the same time', () => {
  it('is waited for to its end, also if a part of it fails', async () => {
    const slow = Promise.withResolvers<undefined>()
    let over = false
    const all = together([Promise.reject(new Error('first')), slow.promise]).finally(() => (over = true))
    all.catch(() => {})
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(over, false)
    slow.resolve(undefined)
    await assert.rejects(all, /first/)
  })
  it('has a limit to how much of it runs at once', async () => {
    let running = 0
    let most = 0
    await inParallel([1, 2, 3, 4, 5], 2, async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    })
    assert.equal(most, 2)
  })
})
