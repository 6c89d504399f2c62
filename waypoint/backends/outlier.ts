/** When an endpoint is taken out and for how long. */
export interface OutlierOptions {
  /** Failures in a row that eject. */
  readonly consecutiveFailures: number
  /** Milliseconds of the first ejection; each further one lasts twice as long as the one before. */
  readonly baseEjectionMs: number
  readonly maxEjectionMs: number
}

/** What is remembered of one endpoint. Times in milliseconds of whatever clock the caller passes. */
export interface OutlierState {
  /** Failures since the last success. */
  readonly failures: number
  /** Ejections that have not been forgiven. */
  readonly ejections: number
  readonly ejectedUntilMs: number
}

/** An endpoint of which nothing is known yet. */
export const newOutlierState: OutlierState = { failures: 0, ejections: 0, ejectedUntilMs: 0 }

export const defaultOutlierOptions: OutlierOptions = { consecutiveFailures: 5, baseEjectionMs: 5_000, maxEjectionMs: 300_000 }

/** Whether the endpoint is out at `nowMs`. */
export function isEjected(state: OutlierState, nowMs: number): boolean {
  return nowMs < state.ejectedUntilMs
}

/**
 * The state after a request that failed for the endpoint's sake (no connection, reset, gateway error).
 * Failures of requests that were on their way when the endpoint was ejected do not count again. After its time is over the endpoint is
 * on probation: only a success ends the run of failures, so one more failure ejects it again, for twice as long.
 */
export function afterFailure(state: OutlierState, nowMs: number, options: OutlierOptions = defaultOutlierOptions): OutlierState {
  if (isEjected(state, nowMs)) return state
  const failures = state.failures + 1
  if (failures < options.consecutiveFailures) return { ...state, failures }
  return { failures, ejections: state.ejections + 1, ejectedUntilMs: nowMs + ejectionMs(state.ejections, options) }
}

/**
 * The state after a request that the endpoint answered; the same object if nothing changes. An endpoint that is out comes back at
 * once. Its past ejections are forgiven when it has stayed in for as long as the last one took.
 */
export function afterSuccess(state: OutlierState, nowMs: number, options: OutlierOptions = defaultOutlierOptions): OutlierState {
  if (state.ejections > 0 && nowMs >= state.ejectedUntilMs + ejectionMs(state.ejections - 1, options)) return newOutlierState
  if (state.failures === 0 && !isEjected(state, nowMs)) return state
  return { failures: 0, ejections: state.ejections, ejectedUntilMs: Math.min(state.ejectedUntilMs, nowMs) }
}

function ejectionMs(earlier: number, { baseEjectionMs, maxEjectionMs }: OutlierOptions): number {
  return Math.min(maxEjectionMs, baseEjectionMs * 2 ** earlier)
}
