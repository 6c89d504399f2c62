import type { ReasonCode } from '../../src/model/reasons.ts'

/** Why bytes are not a message that we take. */
export interface Refusal {
  readonly kind: 'refused'
  readonly reason: Extract<ReasonCode, 'malformed-request' | 'header-too-large' | 'uri-too-long'>
  /** Names the rule that was broken; holds nothing of what the peer sent. */
  readonly detail: string
}

/** A message that breaks a rule of RFC 9110 or 9112. */
export function malformed(detail: string): Refusal {
  return { kind: 'refused', reason: 'malformed-request', detail }
}

/** A header section beyond the limits. */
export function tooLarge(detail: string): Refusal {
  return { kind: 'refused', reason: 'header-too-large', detail }
}
