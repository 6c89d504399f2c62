import type { Clock } from '../clock.ts'

/** A clock that stands still until `advance` is called. */
export interface FakeClock extends Clock {
  /** Moves time forward by `ms`, running due timers in order of their time. */
  readonly advance: (ms: number) => void
}

/** @param startMs milliseconds since the Unix epoch at which the clock stands first */
export function fakeClock(startMs = 0): FakeClock {
  let nowMs = startMs
  let sequence = 0
  const timers = new Map<number, { dueMs: number; task: () => void }>()
  return {
    now: () => nowMs,
    after: (delayMs, task) => {
      const id = sequence++
      timers.set(id, { dueMs: nowMs + delayMs, task })
      return () => timers.delete(id)
    },
    advance: (ms) => {
      const endMs = nowMs + ms
      for (;;) {
        let next: [number, { dueMs: number; task: () => void }] | undefined
        for (const entry of timers) if (entry[1].dueMs <= endMs && (next === undefined || entry[1].dueMs < next[1].dueMs)) next = entry
        if (next === undefined) break
        timers.delete(next[0])
        nowMs = next[1].dueMs
        next[1].task()
      }
      nowMs = endMs
    },
  }
}
