/** A bound on how often something is done: so many at once, then so many a second. */
export interface Bucket {
  /** Takes one; false if none is left. @param nowMs of any clock, the same one at every call */
  readonly take: (nowMs: number) => boolean
  /** Milliseconds until one is there; 0 if one is there now. */
  readonly waitMs: (nowMs: number) => number
}

/** A token bucket, full at first. */
export function createBucket({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }): Bucket {
  let tokens = burst
  let filledMs: number | undefined
  const fill = (nowMs: number): void => {
    // A clock that is set back costs nothing but the time in between.
    if (filledMs !== undefined) tokens = Math.min(burst, tokens + (Math.max(0, nowMs - filledMs) / 1000) * perSecond)
    filledMs = nowMs
  }
  return {
    take: (nowMs) => {
      fill(nowMs)
      if (tokens < 1) return false
      tokens--
      return true
    },
    waitMs: (nowMs) => {
      fill(nowMs)
      return tokens >= 1 ? 0 : Math.max(1, Math.ceil(((1 - tokens) / perSecond) * 1000))
    },
  }
}
