/**
 * Members that come and go by thousands a second.
 *
 * A `Set` would do, and costs more than it seems: when V8 makes a larger or cleaner table for one, the old table still points to the new one and to the
 * members of that moment. Once such a table is among the old objects, which each collection of the whole heap sees to, young collections free none of its
 * followers any more, nor what they point to: everything that was a member then is copied twice and stays until the next collection of the whole heap.
 * This and what was done for streams (`src/transport/streams.ts`, `trueEnds`) together saved a tenth of the CPU time of a new connection to a captured pod.
 */
export class Bag<T> implements Iterable<T> {
  readonly #slots: Slot<T>[] = []

  get size(): number {
    return this.#slots.length
  }

  /** @returns takes it out again; false if it is out already */
  add(item: T): () => boolean {
    const slots = this.#slots
    const slot = { item, at: slots.length }
    slots.push(slot)
    return () => {
      const { at } = slot
      if (at < 0) return false
      slot.at = -1
      const last = slots.pop()
      if (last !== undefined && last !== slot) {
        last.at = at
        slots[at] = last
      }
      return true
    }
  }

  /** The members as they are now, in no order: what comes or goes meanwhile changes nothing. */
  [Symbol.iterator](): Iterator<T> {
    return this.#slots.map(({ item }) => item).values()
  }
}

interface Slot<T> {
  readonly item: T
  /** Its index; -1: it is out. */
  at: number
}
