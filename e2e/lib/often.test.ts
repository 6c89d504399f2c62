import assert from 'node:assert/strict'
import { often } from './often.ts'

describe('doing something often', () => {
  const going = new AbortController().signal

  it('does it as often as it is told, a few at a time', async () => {
    let done = 0
    let busy = 0
    let most = 0
    await often(50, async () => {
      most = Math.max(most, ++busy)
      await new Promise(setImmediate)
      busy--
      done++
    }, going)
    assert.equal(done, 50)
    assert.equal(most, 5)
  })

  it('ends with the first failure, and says which time it was', async () => {
    let begun = 0
    const work = async (): Promise<void> => {
      begun++
      await new Promise(setImmediate)
      if (begun >= 10) throw new Error('wrong')
    }
    await assert.rejects(often(50, work, going), /^Error: time \d+ of 50: wrong$/)
    assert.ok(begun < 20)
  })

  it('says nothing of times where there is one only', async () => {
    await assert.rejects(often(1, () => Promise.reject(new Error('wrong')), going), /^Error: wrong$/)
  })

  it('begins nothing after the end of its time', async () => {
    await assert.rejects(often(5, () => Promise.resolve(), AbortSignal.abort(new Error('late'))), /late/)
  })
})
