import { Bag } from '../../src/kit/bag.ts'

/** A connection that was judged once, when it began. */
export interface StandingConnection {
  /** Why it would not be let through any more, in words; undefined: it would be. */
  readonly objection: () => string | undefined
  /** Resets it. */
  readonly cut: (why: string) => void
}

/** Connections whose bytes are not read: policies that change are put to them anew. */
export interface Standing {
  /** @returns takes it off again */
  readonly add: (connection: StandingConnection) => () => void
  /** Cuts those to which there is an objection now. */
  readonly recheck: () => void
}

export function createStanding(): Standing {
  const all = new Bag<StandingConnection>()
  return {
    add: (connection) => all.add(connection),
    recheck: () => {
      for (const connection of all) {
        const why = connection.objection()
        if (why !== undefined) connection.cut(why)
      }
    },
  }
}
