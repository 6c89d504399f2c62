import assert from 'node:assert/strict'
import { debounce } from './debounce.ts'
import { fakeClock } from './testing/fake-clock.ts'

describe('debounce', () => {
  const start = () => {
    const clock = fakeClock()
    const ranAt: number[] = []
    const debounced = debounce(() => ranAt.push(clock.now()), { clock, quietMs: 25, maxMs: 250 })
    return { clock, ranAt, ...debounced }
  }

  it('runs once, when it has been quiet since the last poke', () => {
    const { clock, ranAt, poke } = start()
    poke()
    clock.advance(20)
    poke()
    clock.advance(24)
    assert.deepEqual(ranAt, [])
    clock.advance(1000)
    assert.deepEqual(ranAt, [45])
  })

  it('runs at the latest maxMs after the first poke, however often it is poked', () => {
    const { clock, ranAt, poke } = start()
    for (let at = 0; at < 600; at += 10) {
      poke()
      clock.advance(10)
    }
    assert.deepEqual(ranAt, [250, 500])
  })

  it('does nothing without a poke, and starts anew after each run', () => {
    const { clock, ranAt, poke, flush } = start()
    flush()
    clock.advance(1000)
    poke()
    clock.advance(1000)
    poke()
    clock.advance(1000)
    assert.deepEqual(ranAt, [1025, 2025])
  })

  it('a poke from within the task counts for the next run', () => {
    const clock = fakeClock()
    let runs = 0
    const task = () => {
      if (++runs < 3) poke()
    }
    const { poke } = debounce(task, { clock, quietMs: 25, maxMs: 250 })
    poke()
    clock.advance(1000)
    assert.equal(runs, 3)
  })

  it('flush runs at once what is due, and cancel forgets it', () => {
    const { clock, ranAt, poke, flush, cancel } = start()
    poke()
    clock.advance(5)
    flush()
    poke()
    cancel()
    clock.advance(1000)
    assert.deepEqual(ranAt, [5])
  })
})
