/** Cancels a timer; calling it again does nothing. */
export type Cancel = () => void

/** Time as the edges see it, so that tests turn it by hand (`testing/fake-clock.ts`). */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number
  /** Runs `task` once after `delayMs`. The timer never keeps the process alive. */
  readonly after: (delayMs: number, task: () => void) => Cancel
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
