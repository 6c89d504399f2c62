import type { Cancel, Clock } from './clock.ts'

export interface DebounceOptions {
  readonly clock: Clock
  /** The task runs when it was quiet for so long, milliseconds. */
  readonly quietMs: number
  /** It runs so long after the first poke even if it never gets quiet, milliseconds. */
  readonly maxMs: number
}

export interface Debounce {
  /** Something happened: the task will run once for this and all that follows closely. */
  readonly poke: () => void
  /** Runs the task now if it is due at all. */
  readonly flush: () => void
  /** Forgets what is due. */
  readonly cancel: () => void
}

/** Runs `task` once for many pokes: soon after the last one, and never long after the first one. */
export function debounce(task: () => void, { clock, quietMs, maxMs }: DebounceOptions): Debounce {
  let timer: Cancel | undefined
  let firstMs = 0
  let lastMs = 0

  const run = (): void => {
    timer?.()
    timer = undefined
    task()
  }
  const dueMs = (): number => Math.min(lastMs + quietMs, firstMs + maxMs)
  // A clock that was set back must not put the run off until it has caught up.
  const isDue = (): boolean => clock.now() >= dueMs() || clock.now() < lastMs
  // One timer that looks again when it fires: thousands of pokes must not make thousands of timers.
  const wait = (): void => {
    timer = clock.after(dueMs() - clock.now(), () => (isDue() ? run() : wait()))
  }

  return {
    poke: () => {
      lastMs = clock.now()
      if (timer !== undefined) return
      firstMs = lastMs
      wait()
    },
    flush: () => {
      if (timer !== undefined) run()
    },
    cancel: () => {
      timer?.()
      timer = undefined
    },
  }
}
