import type { Authority } from './root.ts'
import type { RotationState } from './rotate.ts'

/** Everything that a CA is: its roots with their keys, and where a rotation stands. */
export interface CaState {
  readonly trustDomain: string
  readonly rotation: RotationState
  /** Every root that is trusted, in the order of `rotation.trusted`. */
  readonly authorities: readonly Authority[]
}

/** The roots that everybody must trust now, PEM, oldest first: one, or two during a rotation. */
export function trustBundle(state: CaState): readonly string[] {
  return state.authorities.map((each) => each.rootPem)
}

/** The authority that signs now. @throws if the state lacks it, which `checkState` rules out */
export function signingAuthority(state: CaState): Authority {
  const found = state.authorities.find((each) => each.id === state.rotation.signing)
  if (found === undefined) throw new Error(`the root ${state.rotation.signing} is to sign and is not there`)
  return found
}

/** The state after a step: without the authorities that are no longer trusted, with `added`. */
export function withRotation(state: CaState, rotation: RotationState, added: readonly Authority[] = []): CaState {
  const all = new Map([...state.authorities, ...added].map((each) => [each.id, each]))
  return { ...state, rotation, authorities: rotation.trusted.flatMap((id) => all.get(id) ?? []) }
}

/** The state with `authority` in the place of the one with the same root: another key or chain below a root that is trusted already. */
export function withAuthority(state: CaState, authority: Authority): CaState {
  return { ...state, authorities: state.authorities.map((each) => (each.id === authority.id ? authority : each)) }
}
