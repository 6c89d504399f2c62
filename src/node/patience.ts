import type { Clock } from '../kit/clock.ts'

/** How often something is mended that somebody breaks again and again: what is cheap to break must not keep the agent busy. */
export interface Patience {
  /** Whether it is time to look. */
  readonly may: () => boolean
  /** It was mended: after a few times in a row the next look is later. */
  readonly mended: () => void
}

/** Mended at once so often, and then half a minute apart at most. */
const atOnce = 3
const longestMs = 30_000
/** After so long without a repair all is forgotten. */
const forgottenMs = 120_000

export function createPatience({ now }: Pick<Clock, 'now'>): Patience {
  let inRow = 0
  let lastMs = -Infinity
  let notBeforeMs = -Infinity
  return {
    may: () => now() >= notBeforeMs,
    mended: () => {
      inRow = now() - lastMs > forgottenMs ? 1 : inRow + 1
      lastMs = now()
      notBeforeMs = inRow <= atOnce ? -Infinity : lastMs + Math.min(longestMs, 1_000 * 2 ** (inRow - atOnce))
    },
  }
}
