import { apply, delta, isEmpty, type Delta, type Snapshot } from '../model/snapshot.ts'
import { slice, type Subscriber } from './slice.ts'

/** What a subscriber is told: the changes since the last update it was sent, and the version they lead to. */
export interface Update {
  readonly version: number
  readonly changes: Delta
}

export interface Subscription {
  /** Says that the subscriber now runs `version`. */
  readonly acknowledge: (version: number) => void
  /** The newest version that it acknowledged; 0: none yet. */
  readonly acknowledged: () => number
  readonly close: () => void
}

/** Hands each subscriber its slice of the newest Snapshot; only what changed travels. */
export interface Publisher {
  /** @returns the version that this Snapshot became; the same as before if nothing changed */
  readonly publish: (snapshot: Snapshot) => number
  /** The first update comes at once if there is a Snapshot, and holds the whole slice. */
  readonly subscribe: (subscriber: Subscriber, onUpdate: (update: Update) => void) => Subscription
  readonly version: () => number
}

/** A publisher within the process. */
export function createPublisher(): Publisher {
  let current: Snapshot | undefined
  let version = 0
  const receivers = new Set<() => void>()

  return {
    version: () => version,
    publish: (snapshot) => {
      const changes = delta(current ?? new Map(), snapshot)
      if (current !== undefined && isEmpty(changes)) return version
      current = apply(current ?? new Map(), changes)
      version++
      for (const receive of receivers) receive()
      return version
    },
    subscribe: (subscriber, onUpdate) => {
      let seen: Snapshot | undefined
      let acknowledged = 0
      const receive = (): void => {
        if (current === undefined) return
        const part = slice(current, subscriber)
        const changes = delta(seen ?? new Map(), part)
        if (seen !== undefined && isEmpty(changes)) {
          acknowledged = version
          return
        }
        seen = part
        onUpdate({ version, changes })
      }
      receivers.add(receive)
      receive()
      return {
        acknowledge: (upTo) => {
          acknowledged = Math.max(acknowledged, Math.min(upTo, version))
        },
        acknowledged: () => acknowledged,
        close: () => receivers.delete(receive),
      }
    },
  }
}
