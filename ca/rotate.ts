import { CaError } from './errors.ts'

/** The steps that replace a root, in order. */
export type RotationStep = 'introduce' | 'sign' | 'retire'

/** Where the replacement of a root stands. Roots are named by `Authority.id`. */
export interface RotationState {
  /**
   * `steady`: one root, trusted and signing. `introduced`: a second one is trusted, the first still signs.
   * `signing`: the second one signs, the first is still trusted.
   */
  readonly phase: 'steady' | 'introduced' | 'signing'
  /** The root that signs. */
  readonly signing: string
  /** Every root that is trusted, oldest first; `signing` is among them. */
  readonly trusted: readonly string[]
  /** How many replacements are complete. */
  readonly generation: number
  /** When the phase began, milliseconds since the epoch. */
  readonly sinceMs: number
}

export interface RotationOptions {
  readonly nowMs: number
  /**
   * How long a phase must stand before the next step: one SVID lifetime. After that every living process has fetched an SVID, and
   * with it the bundle, since the phase began, and no SVID from before it is valid.
   */
  readonly settleMs: number
  /** Skips that wait, for roots whose key is known to others. */
  readonly force?: boolean
}

/** The state of a CA that has one root. */
export function startRotation(root: string, nowMs: number): RotationState {
  return { phase: 'steady', signing: root, trusted: [root], generation: 0, sinceMs: nowMs }
}

/**
 * Trusts a new root beside the present one, which goes on signing. Again in the same phase: nothing changes, `newRoot` is not used.
 * @throws {CaError} `rotation-order`
 */
export function introduce(state: RotationState, newRoot: string, nowMs: number): RotationState {
  if (state.phase === 'introduced') return state
  if (state.phase === 'signing') throw new CaError('rotation-order', 'the former root is still trusted: retire it before the next one is introduced')
  if (state.trusted.includes(newRoot)) throw new CaError('rotation-order', 'the root to introduce is the present one: make a new root')
  return { ...state, phase: 'introduced', trusted: [...state.trusted, newRoot], sinceMs: nowMs }
}

/**
 * Lets the new root sign; both are trusted. Again in the same phase: nothing changes.
 * @throws {CaError} `rotation-order`, `rotation-too-early`
 */
export function signWithNew(state: RotationState, options: RotationOptions): RotationState {
  if (state.phase === 'signing') return state
  const next = state.trusted.at(-1)
  if (state.phase === 'steady' || next === undefined) throw new CaError('rotation-order', 'there is no new root that could sign: introduce one first')
  checkSettled(state, options, 'a process that has not yet got the new bundle would refuse the new certificates')
  return { ...state, phase: 'signing', signing: next, sinceMs: options.nowMs }
}

/**
 * Ends the trust in the former root. Again after a rotation is complete: nothing changes.
 * @throws {CaError} `rotation-order`, `rotation-too-early`
 */
export function retire(state: RotationState, options: RotationOptions): RotationState {
  if (state.phase === 'steady' && state.generation > 0) return state
  if (state.phase === 'steady') throw new CaError('rotation-order', 'there is only one root, which can not be retired: introduce a new one first')
  if (state.phase === 'introduced') throw new CaError('rotation-order', 'the former root still signs: let the new one sign before the former is retired')
  checkSettled(state, options, 'certificates that the former root signed may still be in use')
  return { phase: 'steady', signing: state.signing, trusted: [state.signing], generation: state.generation + 1, sinceMs: options.nowMs }
}

function checkSettled(state: RotationState, options: RotationOptions, danger: string): void {
  const waitMs = state.sinceMs + options.settleMs - options.nowMs
  if (waitMs > 0 && options.force !== true) throw new CaError('rotation-too-early', `${danger}; ${Math.ceil(waitMs / 1000)} s to go`)
}
