import { backoffMs } from '../../kit/backoff.ts'
import { KubeError } from '../../kube/errors.ts'
import type { RelistReason, RestartReason } from './observer.ts'

/** Why a try to list or watch came to its end. */
export interface Fault {
  readonly reason: RestartReason
  /** In words, with what the server said. */
  readonly message: string
  /** How long the server asks to be left alone, milliseconds. */
  readonly retryAfterMs?: number | undefined
}

/** What is known when a fault is judged. */
export interface Circumstances {
  /** How many tries in a row made no progress, this one included. */
  readonly failures: number
  /** How long it has been failing for this reason, milliseconds. */
  readonly failingMs: number
  /** How long the watch had been open, milliseconds. */
  readonly openMs: number
  /** A number from 0 up to, not including, 1. */
  readonly random: () => number
}

/** What to do after a fault. */
export interface Step {
  readonly delayMs: number
  /** Undefined: go on from the last version. */
  readonly relist: RelistReason | undefined
  /** Whether the client must read its credentials anew. */
  readonly refresh: boolean
}

/** What comes over the watch can't be relied on; thrown by what reads it. */
export class WatchFault extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.message)
    this.fault = fault
  }
}

const baseMs = 200
/** An API server that restarts is back within a minute, and whoever waits for it must not add to that. */
const shortlyMs = 60_000
const maxShortlyMs = 1500
/** What passes by itself is tried often: a try at a port where nobody listens costs next to nothing. */
const maxPassingMs = 5000
/** What waits for somebody who installs or allows something. */
const maxMs = 15_000
/** However long the server asks for. */
const maxRetryAfterMs = 120_000
/** A watch that was open so long did its work: the next one follows at once. */
const healthyMs = 5000
/** So many failures in a row, and resuming is given up: the version may be one that the server will never know again. */
const patience = 5

/** Judges what was thrown while listing or watching. */
export function faultOf(error: unknown): Fault {
  if (error instanceof WatchFault) return error.fault
  if (!(error instanceof KubeError)) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    return { reason: /^(E[A-Z]+|ERR_STREAM_PREMATURE_CLOSE|ABORT_ERR|HPE_[A-Z_]+)$/.test(code) ? 'cut' : 'defect', message: String(error) }
  }
  const { message, retryAfterMs } = error
  return { reason: reasonOf(error), message, retryAfterMs }
}

/** Judges an ERROR event of a watch; `status` is its object. Source: Kubernetes API concepts, "410 Gone". */
export function faultOfEvent(code: unknown, message: string, retryAfterSeconds: unknown): Fault {
  const retryAfterMs = typeof retryAfterSeconds === 'number' && retryAfterSeconds >= 0 ? retryAfterSeconds * 1000 : undefined
  return { reason: code === 410 ? 'expired' : 'error-event', message: `the watch reports an error: ${message}`, retryAfterMs }
}

function reasonOf({ status }: KubeError): RestartReason {
  if (status === 0) return 'cut'
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'missing'
  if (status === 410) return 'expired'
  if (status === 429) return 'throttled'
  return status >= 500 ? 'server-error' : 'rejected'
}

/** What to do after a fault: a pause that grows with each failure and, later, with time, and whether the collection has to be listed again. */
export function nextStep({ reason, retryAfterMs = 0 }: Fault, { failures, failingMs, openMs, random }: Circumstances): Step {
  if (reason === 'ended' && openMs >= healthyMs) return { delayMs: 0, relist: undefined, refresh: false }
  const pause = backoffMs(failures, { baseMs, maxMs: failingMs < shortlyMs ? maxShortlyMs : passes(reason) ? maxPassingMs : maxMs, random })
  return {
    delayMs: Math.max(pause, Math.min(retryAfterMs, maxRetryAfterMs)),
    relist: relistReason(reason, failures),
    refresh: reason === 'unauthorized',
  }
}

function passes(reason: RestartReason): boolean {
  return reason === 'cut' || reason === 'silent' || reason === 'server-error' || reason === 'throttled'
}

function relistReason(reason: RestartReason, failures: number): RelistReason | undefined {
  switch (reason) {
    case 'expired':
    case 'bad-line':
    case 'error-event':
    case 'rejected':
    case 'defect':
    // Whoever may not watch gets at least a list with each try.
    case 'forbidden':
    case 'missing':
      return reason
    case 'server-error':
      return failures % patience === 0 ? 'failing' : undefined
    default:
      return undefined
  }
}
