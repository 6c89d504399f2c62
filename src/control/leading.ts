import { messageOf } from '../kit/message.ts'
import { printable } from '../kit/printable.ts'

/** What only the leader does. */
export interface LeaderWork {
  /** Must be heard of at once if it is to stop. */
  readonly setActive: (active: boolean) => void
}

export interface LeadingOptions {
  readonly work: readonly LeaderWork[]
  /** Begins only when `settled` has resolved after `work` became active. */
  readonly later: readonly LeaderWork[]
  readonly settled: () => Promise<void>
  readonly log: (line: string) => void
}

/**
 * Passes the word on whether this process leads. All of it stops at once; but what is written from memory begins only when it is known
 * what others wrote: a controller may lead that was cut off while the CA went on.
 */
export function createLeading({ work, later, settled, log }: LeadingOptions): (leading: boolean) => void {
  let term = 0
  const tell = (all: readonly LeaderWork[], active: boolean): void => {
    for (const each of all) {
      // One that fails must not leave the others without the word: they would write on, or never begin.
      try {
        each.setActive(active)
      } catch (error) {
        log(`a defect in what only the leader does: ${printable(messageOf(error))}`)
      }
    }
  }
  return (leading) => {
    const mine = ++term
    if (!leading) {
      tell([...work, ...later], false)
      return
    }
    tell(work, true)
    void settled().then(() => {
      if (mine === term) tell(later, true)
    }, (error: unknown) => log(`a defect in what only the leader does: ${printable(String(error))}`))
  }
}
