import type { RotationState } from '../../../ca/rotate.ts'
import { nextStep } from './info.ts'
import { caNames } from './names.ts'

/** What a person asked for by annotations of the Secret. */
export interface Wish {
  /** A rotation from the present generation to the next one. */
  readonly rotate: boolean
  /** Its steps do not wait. */
  readonly force: boolean
  /** Why a request is not followed. */
  readonly problem?: string
}

/** Reads the annotations of the Secret. A wish for a generation that is reached already is fulfilled, so that the annotation may stay. */
export function readWish(annotations: Readonly<Record<string, string>>, generation: number): Wish {
  const { [caNames.rotateTo]: to, [caNames.rotateForce]: force } = annotations
  const next = generation + 1
  const wanted = to === undefined ? 0 : /^\d{1,9}$/.test(to) ? Number(to) : NaN
  const wish = { rotate: wanted === next, force: force === String(next) }
  if (wanted <= next) return wish
  return { ...wish, problem: `annotation ${caNames.rotateTo} ${JSON.stringify(to?.slice(0, 40))}: the generation that comes next is ${next}; waymark ca rotate sets it` }
}

/** What the leader does next about a rotation. */
export type Plan =
  | { readonly kind: 'rest' }
  | { readonly kind: 'step'; readonly step: 'introduce' | 'sign' | 'retire'; readonly force: boolean }
  | { readonly kind: 'wait'; readonly untilMs: number }

export interface PlanInput {
  readonly rotation: RotationState
  readonly wish: Pick<Wish, 'rotate' | 'force'>
  /** A new root waits to follow the present one, asked for or not. */
  readonly rootWaits: boolean
  readonly nowMs: number
  /** How long a phase must stand, milliseconds. */
  readonly settleMs: number
  /** When this process saw the present phase first. */
  readonly seenMs: number
}

/**
 * Decides. A rotation that has begun is always brought to its end. A phase that says to have begun in the future (another clock was ahead, or somebody
 * edited it) is waited for as if it had begun when it was seen.
 */
export function planRotation({ rotation, wish, rootWaits, nowMs, settleMs, seenMs }: PlanInput): Plan {
  const step = nextStep(rotation)
  if (step === undefined) return wish.rotate || rootWaits ? { kind: 'step', step: 'introduce', force: wish.force } : { kind: 'rest' }
  const sinceMs = Math.min(rotation.sinceMs, seenMs)
  if (!wish.force && nowMs < sinceMs + settleMs) return { kind: 'wait', untilMs: sinceMs + settleMs }
  return { kind: 'step', step, force: wish.force || sinceMs < rotation.sinceMs }
}
