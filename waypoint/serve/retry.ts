import type { RetryPolicy } from '../../src/model/route.ts'
import type { UpstreamFailure } from '../upstream.ts'

/** How a try ended that may be repeated. */
export type TryOutcome =
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'failure'; readonly failure: UpstreamFailure }
  | { readonly kind: 'timeout' }

/** What was done before the decision. */
export interface RetryState {
  readonly policy: RetryPolicy | undefined
  readonly method: string
  /** Retries of the policy that were made. */
  readonly retries: number
  /** Retries that every request has once, policy or not, that were made. */
  readonly freeRetries: number
  /** Whether the whole body could be sent again: it is empty, or still in the buffer. */
  readonly replayable: boolean
  /** Whether there is an endpoint that was not tried. */
  readonly otherEndpoint: boolean
  /** Uniform in 0 ≤ x < 1. */
  readonly random: () => number
}

export type RetryDecision =
  | { readonly kind: 'give-up'; /** True if the policy would have retried but for its number of attempts. */ readonly exhausted: boolean }
  | { readonly kind: 'retry'; readonly delayMs: number; /** Not counted against the policy. */ readonly free: boolean }

/** Source: RFC 9110 §9.2.2. */
const idempotentMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])
/** Back-off grows up to this multiple of its base. */
const maxBackoffFactor = 10

const giveUp: RetryDecision = { kind: 'give-up', exhausted: false }
const retryAtOnce: RetryDecision = { kind: 'retry', delayMs: 0, free: true }

/** Whether a request of this method may be repeated though it may have been processed. */
export function isIdempotent(method: string): boolean {
  return idempotentMethods.has(method)
}

/**
 * Decides whether a try is repeated.
 * - The usual race on a kept-alive connection, and a request that the endpoint certainly did not process, is repeated once, at once.
 * - A connection that could not be made is repeated once on another endpoint, if there is one.
 * - The rest is the policy's: its codes, and failures; what may have been processed only if the method is idempotent.
 * Source: GEP-1731; RFC 9110 §9.2.2; RFC 9113 §8.7.
 */
export function decideRetry(outcome: TryOutcome, state: RetryState): RetryDecision {
  if (!state.replayable) return giveUp
  if (outcome.kind === 'failure' && state.freeRetries === 0 && isFree(outcome.failure, state)) return retryAtOnce
  if (state.policy === undefined || !isCovered(outcome, state.policy, state.method)) return giveUp
  if (state.retries >= state.policy.attempts) return { kind: 'give-up', exhausted: state.policy.attempts > 0 }
  return { kind: 'retry', delayMs: backoffMs(state.policy.backoffMs, state.retries, state.random), free: false }
}

function isFree(failure: UpstreamFailure, state: RetryState): boolean {
  if (failure.staleConnection) return isIdempotent(state.method) || !failure.maybeProcessed
  if (failure.maybeProcessed) return false
  // The endpoint turned it away unseen (REFUSED_STREAM, GOAWAY): the same one may take it on another connection.
  if (failure.reason === 'upstream-reset') return true
  return state.policy === undefined && state.otherEndpoint
}

function isCovered(outcome: TryOutcome, policy: RetryPolicy, method: string): boolean {
  switch (outcome.kind) {
    case 'status':
      return policy.codes.includes(outcome.status)
    case 'failure':
      return !outcome.failure.maybeProcessed || isIdempotent(method)
    case 'timeout':
      return isIdempotent(method)
  }
}

/** The base is the least pause (GEP-1731); it doubles with each retry, and jitter adds up to half of it. */
function backoffMs(baseMs: number, retries: number, random: () => number): number {
  return Math.min(baseMs * 2 ** retries, baseMs * maxBackoffFactor) * (1 + random() / 2)
}
