import { messageOf } from '../kit/message.ts'
import type { CredentialSource, Credentials } from '../model/credentials.ts'
import type { Entry, EntryKey } from '../model/entries.ts'
import { apply, delta, isEmpty, type Delta, type Snapshot } from '../model/snapshot.ts'

// What one thread of a process receives from a controller, and others run.

/** Changes as they travel between threads, see `encodeDelta`, and the number of what they lead to. */
export interface ThreadConfiguration {
  readonly type: 'configure'
  readonly generation: number
  readonly delta: string
}

/** What a thread says of a configuration that it was told. */
export type ThreadVerdict =
  | { readonly type: 'configured'; readonly generation: number }
  | { readonly type: 'refused'; readonly generation: number; readonly message: string }

/**
 * Changes as JSON, made once for all threads. Entries came as JSON, so nothing is lost; for 5,000 route tables it takes half of the
 * sender's and two thirds of the receiver's time of a structured clone, which is made anew for each thread.
 */
export function encodeDelta(change: Delta): string {
  return JSON.stringify(change)
}

/** The Snapshot after changes that `encodeDelta` encoded. */
export function applyEncoded(before: Snapshot, encoded: string): Snapshot {
  return apply(before, JSON.parse(encoded) as Delta)
}

/** Hands configurations on to threads, by slot. */
export interface ThreadConfigurations {
  /** Everything, for a thread that is started in a slot: it is waited for from now on. */
  readonly begin: (slot: number) => ThreadConfiguration
  /** The thread of a slot is gone. Whoever is to come has the newest configuration from the start, and is not waited for until it does. */
  readonly gone: (slot: number) => void
  readonly hear: (slot: number, verdict: ThreadVerdict) => void
  /**
   * Takes a configuration over.
   * @returns when every thread has it in force; rejects if a thread can not run it
   */
  readonly configure: (snapshot: Snapshot) => Promise<void>
}

/** @param tell says something to every thread that there is */
export function configureThreads(first: Snapshot, tell: (message: ThreadConfiguration) => void): ThreadConfigurations {
  let snapshot = first
  let generation = 1
  /** The newest configuration that a thread runs, by slot; 0: none yet. */
  const running = new Map<number, number>()
  let waiting: { readonly generation: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []

  const settle = (): void => {
    const all = running.size === 0 ? 0 : Math.min(...running.values())
    const done = waiting.filter((each) => each.generation <= all)
    waiting = waiting.filter((each) => each.generation > all)
    for (const { resolve } of done) resolve()
  }
  return {
    begin: (slot) => {
      running.set(slot, 0)
      return { type: 'configure', generation, delta: encodeDelta({ put: [...snapshot] satisfies [EntryKey, Entry][], remove: [] }) }
    },
    gone: (slot) => {
      running.delete(slot)
      settle()
    },
    hear: (slot, verdict) => {
      if (verdict.type === 'configured') {
        running.set(slot, verdict.generation)
        settle()
        return
      }
      const those = waiting.filter((each) => each.generation === verdict.generation)
      waiting = waiting.filter((each) => each.generation !== verdict.generation)
      for (const each of those) each.reject(new Error(verdict.message))
    },
    configure: (next) => {
      const change = delta(snapshot, next)
      snapshot = next
      if (!isEmpty(change)) {
        generation++
        tell({ type: 'configure', generation, delta: encodeDelta(change) })
      }
      return new Promise((resolve, reject) => {
        waiting.push({ generation, resolve, reject })
        settle()
      })
    },
  }
}

/**
 * Runs in a thread what it is told. The first configuration must be one that runs.
 * @returns takes each further one
 */
export function runConfigurations(
  first: ThreadConfiguration, run: (snapshot: Snapshot) => void, say: (verdict: ThreadVerdict) => void,
): (next: ThreadConfiguration) => void {
  let snapshot = applyEncoded(new Map(), first.delta)
  run(snapshot)
  say({ type: 'configured', generation: first.generation })
  return ({ generation, delta: change }) => {
    // Also if it can not be run: what comes next is told as changes of this.
    snapshot = applyEncoded(snapshot, change)
    try {
      run(snapshot)
      say({ type: 'configured', generation })
    } catch (error) {
      say({ type: 'refused', generation, message: messageOf(error) })
    }
  }
}

/** Credentials that another thread renews. */
export interface ToldCredentials extends CredentialSource {
  readonly set: (credentials: Credentials) => void
}

export function toldCredentials(first: Credentials): ToldCredentials {
  let present = first
  const listeners = new Set<(credentials: Credentials) => void>()
  return {
    identity: first.identity,
    current: () => present,
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    set: (next) => {
      present = next
      for (const listener of [...listeners]) listener(next)
    },
  }
}
