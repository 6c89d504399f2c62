import type { Echo } from './protocol.ts'

/** What this pod has seen, by keys that callers choose. */
export interface Memory {
  readonly remember: (key: string, echo: Echo) => void
  /** The requests with that key: how many, and the last 20. */
  readonly of: (key: string) => { readonly count: number; readonly echoes: readonly Echo[] }
  /** Counts up and gives the new count, 1 at first. */
  readonly count: (key: string) => number
}

/** Keys that are kept; the oldest go. */
const kept = 2_000

export function memory(): Memory {
  const echoes = new Map<string, { count: number; echoes: Echo[] }>()
  const counts = new Map<string, number>()
  const trim = (map: Map<string, unknown>): void => {
    const [oldest] = map.keys()
    if (map.size > kept && oldest !== undefined) map.delete(oldest)
  }
  return {
    remember: (key, echo) => {
      const known = echoes.get(key) ?? { count: 0, echoes: [] }
      known.count++
      known.echoes.push(echo)
      if (known.echoes.length > 20) known.echoes.shift()
      echoes.set(key, known)
      trim(echoes)
    },
    of: (key) => echoes.get(key) ?? { count: 0, echoes: [] },
    count: (key) => {
      const next = (counts.get(key) ?? 0) + 1
      counts.set(key, next)
      trim(counts)
      return next
    },
  }
}
