import type { RotationState } from './rotate.ts'

/** What must be remembered of a CA to know its future from another CA's: no keys. */
export type RotationTrace = Pick<RotationState, 'phase' | 'generation' | 'trusted'> & { readonly sinceMs?: number }

const rank = { steady: 0, introduced: 1, signing: 2 } as const

/**
 * Says why `next` can not be what rotations made of `known`, in any number of steps. Rotations only go forward, and within one generation the
 * roots stay; so a store that was put back to an older state, or that holds another root, shows.
 * @returns undefined if it can be: the same state or a later one
 */
export function whyNotNext(known: RotationTrace, next: RotationState): string | undefined {
  if (next.generation < known.generation) return `it is of generation ${next.generation}, and this mesh has reached ${known.generation}`
  if (next.generation === known.generation + 1 && known.phase !== 'steady' && next.trusted[0] !== known.trusted[1]) {
    return `its root is not the one that was introduced to follow generation ${known.generation}`
  }
  if (next.generation > known.generation) return undefined
  if (next.trusted[0] !== known.trusted[0]) return `it has another root than this mesh has at generation ${known.generation}`
  if (rank[next.phase] < rank[known.phase]) return `its rotation stands at ${next.phase}, and this mesh's is at ${known.phase} already`
  if (known.phase !== 'steady' && next.trusted[1] !== known.trusted[1]) return 'the root that it introduces is not the one that this mesh introduced'
  if (next.phase === known.phase && next.sinceMs < (known.sinceMs ?? next.sinceMs)) return `its phase began earlier than this mesh's phase ${known.phase} did`
  return undefined
}
