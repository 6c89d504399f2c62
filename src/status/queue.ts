/** Keys that wait for their turn, each once. Namespaces take turns, so that one with much to do does not hold up the others. */
export interface FairQueue {
  /** Adds a key at the end of its namespace's line, unless it stands in it. */
  readonly add: (namespace: string, key: string) => void
  /** The next key; undefined if none waits. */
  readonly take: () => string | undefined
  readonly remove: (namespace: string, key: string) => void
  readonly clear: () => void
  readonly size: () => number
}

/** An empty queue. */
export function createFairQueue(): FairQueue {
  const lines = new Map<string, Set<string>>()
  let size = 0
  const drop = (namespace: string, line: Set<string>, key: string): void => {
    if (!line.delete(key)) return
    size--
    if (line.size === 0) lines.delete(namespace)
  }
  return {
    add: (namespace, key) => {
      const line = lines.get(namespace) ?? new Set()
      lines.set(namespace, line)
      if (line.has(key)) return
      line.add(key)
      size++
    },
    take: () => {
      // Maps and sets keep the order of insertion: the first namespace goes to the end of the round.
      for (const [namespace, line] of lines) {
        for (const key of line) {
          lines.delete(namespace)
          lines.set(namespace, line)
          drop(namespace, line, key)
          return key
        }
      }
      return undefined
    },
    remove: (namespace, key) => {
      const line = lines.get(namespace)
      if (line !== undefined) drop(namespace, line, key)
    },
    clear: () => {
      lines.clear()
      size = 0
    },
    size: () => size,
  }
}
