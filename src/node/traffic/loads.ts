/** How many connections a node has open to each peer, and which peers failed lately; shared by all its pods. */
export interface Loads {
  readonly opened: (peer: string) => void
  readonly closed: (peer: string) => void
  /** A connection to it could not be made. */
  readonly failed: (peer: string) => void
  /**
   * Picks of `candidates` the one with the smaller load of two drawn at random; those that failed within the last seconds only if there
   * is no other.
   * @param keyOf names a candidate as `opened` does
   * @returns undefined only if there is none
   */
  readonly pick: <T>(candidates: readonly T[], keyOf: (candidate: T) => string) => T | undefined
  /** Peers that are remembered. */
  readonly size: () => number
}

export interface LoadsOptions {
  readonly now: () => number
  /** Uniform in 0 ≤ x < 1. */
  readonly random: () => number
  /** For how long a failure is remembered. */
  readonly avoidMs?: number
}

/** Failures that are remembered at most; what fails beyond that is tried as if it had not. */
const maxFailures = 10_000

/** Source of the choice: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing". */
export function createLoads({ now, random, avoidMs = 5_000 }: LoadsOptions): Loads {
  const open = new Map<string, number>()
  const failedAt = new Map<string, number>()
  const isAvoided = (peer: string): boolean => {
    const at = failedAt.get(peer)
    if (at === undefined) return false
    if (now() - at < avoidMs) return true
    failedAt.delete(peer)
    return false
  }
  const loadOf = (peer: string): number => open.get(peer) ?? 0
  return {
    opened: (peer) => {
      open.set(peer, loadOf(peer) + 1)
      if (failedAt.size > 0) failedAt.delete(peer)
    },
    closed: (peer) => {
      const left = loadOf(peer) - 1
      if (left > 0) open.set(peer, left)
      else open.delete(peer)
    },
    failed: (peer) => {
      if (failedAt.size >= maxFailures) for (const [each, at] of failedAt) if (now() - at >= avoidMs) failedAt.delete(each)
      if (failedAt.size < maxFailures) failedAt.set(peer, now())
    },
    pick: (all, keyOf) => {
      // Nearly always nothing failed, and no list is made.
      const good = failedAt.size === 0 ? all : all.filter((each) => !isAvoided(keyOf(each)))
      const candidates = good.length > 0 ? good : all
      const count = candidates.length
      if (count <= 1) return candidates[0]
      const first = Math.floor(random() * count)
      // One of the others, each as likely.
      const a = candidates[first]
      const b = candidates[(first + 1 + Math.floor(random() * (count - 1))) % count]
      if (a === undefined || b === undefined) return a ?? b
      return loadOf(keyOf(b)) < loadOf(keyOf(a)) ? b : a
    },
    size: () => open.size + failedAt.size,
  }
}
