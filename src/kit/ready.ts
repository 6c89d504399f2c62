/** A named thing that a process waits for before it is ready. */
export interface Pending {
  readonly name: string
  /** What is missing, in words. */
  readonly why: string
}

/** One named thing; it may become unready again. */
export interface ReadyHandle {
  readonly ready: () => void
  readonly notReady: (why: string) => void
}

/** Whether a process is ready, and if not, what is pending. */
export interface Readiness {
  /** Adds a thing that must be ready; it starts as pending. Registering a name again gives the same thing. */
  readonly register: (name: string, why: string) => ReadyHandle
  /** Says something under a name that does not stand in the way of being ready; undefined takes it back. */
  readonly note: (name: string, what: string | undefined) => void
  /** What is said that way, in the order in which it was said first. */
  readonly notes: () => readonly Pending[]
  /** What is pending, in the order of registration; empty: ready. */
  readonly pending: () => readonly Pending[]
  readonly isReady: () => boolean
  /** Resolves as soon as nothing is pending. */
  readonly whenReady: () => Promise<void>
}

/** A registry of what a process waits for; with nothing registered it is ready. */
export function createReadiness(): Readiness {
  const why = new Map<string, string | undefined>()
  const notes = new Map<string, string | undefined>()
  let waiters: (() => void)[] = []
  const isReady = (): boolean => [...why.values()].every((reason) => reason === undefined)
  const settle = (): void => {
    if (waiters.length === 0 || !isReady()) return
    const now = waiters
    waiters = []
    for (const waiter of now) waiter()
  }
  return {
    register: (name, reason) => {
      if (!why.has(name)) why.set(name, reason)
      return {
        ready: () => {
          why.set(name, undefined)
          settle()
        },
        notReady: (reason) => void why.set(name, reason),
      }
    },
    note: (name, what) => void notes.set(name, what),
    notes: () => listed(notes),
    pending: () => listed(why),
    isReady,
    whenReady: () => (isReady() ? Promise.resolve() : new Promise((resolve) => void waiters.push(resolve))),
  }
}

function listed(said: ReadonlyMap<string, string | undefined>): readonly Pending[] {
  return [...said].flatMap(([name, why]) => (why === undefined ? [] : [{ name, why }]))
}
