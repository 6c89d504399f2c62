/** Lets callers wait for a moment at which nothing is under way. */
export interface Idle {
  /** Resolves when nothing is under way, at once if so it is. */
  readonly wait: () => Promise<void>
  /** To be called whenever something has ended. */
  readonly check: () => void
}

/** @param isIdle whether nothing is under way now */
export function createIdle(isIdle: () => boolean): Idle {
  let waiters: (() => void)[] = []
  return {
    wait: () => (isIdle() ? Promise.resolve() : new Promise((resolve) => void waiters.push(resolve))),
    check: () => {
      if (waiters.length === 0 || !isIdle()) return
      const now = waiters
      waiters = []
      for (const waiter of now) waiter()
    },
  }
}
