/** Cancels a timer; calling it again does nothing. */
export type Cancel = () => void

/** Time as the edges see it, so that tests turn it by hand (`testing/fake-clock.ts`). */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number
  /** Runs `task` once after `delayMs`, soon if that is negative. The timer never keeps the process alive. */
  readonly after: (delayMs: number, task: () => void) => Cancel
}

/** Longer timers of Node fire at once. */
const longestMs = 0x7fffffff

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, Math.min(Math.max(0, delayMs), longestMs))
    timer.unref()
    return () => clearTimeout(timer)
  },
}
