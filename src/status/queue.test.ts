import assert from 'node:assert/strict'
import { createBucket } from './bucket.ts'
import { createFairQueue } from './queue.ts'
import { clip } from './text.ts'

describe('the queue of a writer', () => {
  it('lets namespaces take turns, each in its own order', () => {
    const queue = createFairQueue()
    for (const key of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2']) queue.add(key.charAt(0), key)
    assert.equal(queue.size(), 6)
    assert.deepEqual(Array.from({ length: 7 }, () => queue.take()), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', undefined])
    assert.equal(queue.size(), 0)
  })

  it('holds a key once, and gives up what is removed', () => {
    const queue = createFairQueue()
    for (const key of ['a1', 'a2', 'a1']) queue.add('a', key)
    queue.remove('a', 'a1')
    queue.remove('a', 'a1')
    queue.remove('z', 'z1')
    assert.equal(queue.size(), 1)
    assert.deepEqual([queue.take(), queue.take()], ['a2', undefined])
    queue.add('a', 'a3')
    queue.clear()
    assert.deepEqual([queue.size(), queue.take()], [0, undefined])
  })
})

describe('a bound on a rate', () => {
  it('gives a burst, then so many a second, and says when', () => {
    const bucket = createBucket({ burst: 2, perSecond: 10 })
    assert.deepEqual([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false])
    assert.equal(bucket.waitMs(0), 100)
    assert.equal(bucket.take(99), false)
    assert.equal(bucket.waitMs(100), 0)
    assert.deepEqual([bucket.take(100), bucket.take(100)], [true, false])
    assert.deepEqual([bucket.take(60_000), bucket.take(60_000), bucket.take(60_000)], [true, true, false])
  })

  it('takes a clock that is set back', () => {
    const bucket = createBucket({ burst: 1, perSecond: 10 })
    assert.equal(bucket.take(1_000_000), true)
    assert.equal(bucket.take(0), false)
    assert.equal(bucket.take(100), true)
  })
})

describe('clipped text', () => {
  it('ends at a whole character', () => {
    assert.equal(clip('abc', 3), 'abc')
    assert.equal(clip('abcdef', 5), 'ab…')
    assert.equal(clip('a😀bcd', 7), 'a…')
  })
})
