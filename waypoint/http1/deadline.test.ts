import assert from 'node:assert/strict'
import { fakeClock } from '../../src/kit/testing/fake-clock.ts'
import type { FakeClock } from '../../src/kit/testing/fake-clock.ts'
import { Deadline } from './deadline.ts'

interface Watched {
  readonly clock: FakeClock
  readonly deadline: Deadline
  readonly passed: () => number
  readonly timers: () => number
}

function watch(): Watched {
  const clock = fakeClock()
  let passed = 0
  let timers = 0
  const counting = { ...clock, after: (delayMs: number, task: () => void) => {
    timers++
    return clock.after(delayMs, task)
  } }
  return { clock, deadline: new Deadline(counting, () => passed++), passed: () => passed, timers: () => timers }
}

describe('a deadline', () => {
  it('passes once', () => {
    const { clock, deadline, passed } = watch()
    deadline.set(100)
    clock.advance(99)
    assert.equal(passed(), 0)
    clock.advance(1)
    clock.advance(1000)
    assert.equal(passed(), 1)
  })

  it('that is moved again and again costs one timer', () => {
    const { clock, deadline, passed, timers } = watch()
    for (let i = 0; i < 90; i++) {
      deadline.set(100)
      clock.advance(1)
      deadline.clear()
    }
    assert.equal(timers(), 1)
    deadline.set(100)
    clock.advance(99)
    assert.equal(passed(), 0)
    clock.advance(1)
    assert.equal(passed(), 1)
    assert.equal(timers(), 2)
  })

  it('that comes earlier than the timer under way still passes in time', () => {
    const { clock, deadline, passed } = watch()
    deadline.set(1000)
    deadline.set(10)
    clock.advance(10)
    assert.equal(passed(), 1)
  })

  it('that was taken away does not pass', () => {
    const { clock, deadline, passed } = watch()
    deadline.set(10)
    deadline.clear()
    clock.advance(100)
    deadline.set(10)
    deadline.stop()
    clock.advance(100)
    assert.equal(passed(), 0)
  })
})
