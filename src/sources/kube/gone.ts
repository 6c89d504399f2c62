/**
 * Remembers which objects a watch has told the end of. The answer to a write and the watch come over different connections: an answer that comes
 * after the object's end must not bring it back to life, for nobody would tell of its end again.
 */
export interface Gone {
  readonly add: (uid: string | undefined) => void
  readonly has: (uid: string | undefined) => boolean
}

/** Answers are late by seconds at most, and few objects end in that time. */
const mostRemembered = 4096

export function createGone(most = mostRemembered): Gone {
  const uids = new Set<string>()
  return {
    add: (uid) => {
      if (uid === undefined) return
      uids.add(uid)
      for (const oldest of uids) if (uids.size > most) uids.delete(oldest)
    },
    has: (uid) => uid !== undefined && uids.has(uid),
  }
}
