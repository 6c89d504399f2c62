import type { Cancel, Clock } from '../../src/kit/clock.ts'

/** One deadline that is moved often and passes seldom: setting it costs no timer as long as one is under way that fires early enough. */
export class Deadline {
  private dueMs = Infinity
  private timerMs = Infinity
  private cancelTimer: Cancel | undefined
  private readonly clock: Clock
  private readonly task: () => void

  /** @param task runs once for each deadline that passes */
  constructor(clock: Clock, task: () => void) {
    this.clock = clock
    this.task = task
  }

  /** Moves the deadline to `delayMs` from now. */
  set(delayMs: number): void {
    this.dueMs = this.clock.now() + delayMs
    if (this.dueMs >= this.timerMs) return
    this.cancelTimer?.()
    this.arm(delayMs)
  }

  /** Takes the deadline away; a timer under way may still fire once, for nothing. */
  clear(): void {
    this.dueMs = Infinity
  }

  /** Takes the deadline and the timer away. */
  stop(): void {
    this.clear()
    this.cancelTimer?.()
    this.cancelTimer = undefined
    this.timerMs = Infinity
  }

  private arm(delayMs: number): void {
    this.timerMs = this.clock.now() + delayMs
    this.cancelTimer = this.clock.after(delayMs, this.fire)
  }

  private readonly fire = (): void => {
    this.timerMs = Infinity
    this.cancelTimer = undefined
    if (this.dueMs === Infinity) return
    const leftMs = this.dueMs - this.clock.now()
    if (leftMs > 0) {
      this.arm(leftMs)
      return
    }
    this.dueMs = Infinity
    this.task()
  }
}
