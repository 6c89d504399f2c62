/** What threads counted, by slot. A thread that does not answer in time is shown as it was last. */
export interface ThreadCounts<Counts> {
  readonly hear: (slot: number, counts: Counts) => void
  /** The thread of a slot is gone; what it counted is not. */
  readonly gone: (slot: number) => void
  /** Those of threads that are gone as one, then one of each that has said something. */
  readonly all: () => readonly Counts[]
}

/** @param sum what threads counted that are gone; given at least one */
export function keepThreadCounts<Counts>(sum: (all: readonly Counts[]) => Counts): ThreadCounts<Counts> {
  const heard = new Map<number, Counts>()
  let gone: readonly Counts[] = []
  return {
    hear: (slot, counts) => void heard.set(slot, counts),
    gone: (slot) => {
      const last = heard.get(slot)
      heard.delete(slot)
      if (last !== undefined) gone = [sum([...gone, last])]
    },
    all: () => [...gone, ...heard.values()],
  }
}
