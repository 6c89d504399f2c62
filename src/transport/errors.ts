/**
 * Why a tunnel could not be opened.
 * - `refused`: the peer answered the CONNECT with another status than 200
 * - `unreachable`: no connection or no HTTP/2 session with the peer
 * - `peer-identity`: the peer's certificate is not the one that was asked for
 * - `timeout`: no connection, or no answer to the CONNECT, in time
 * - `session-lost`: the session ended before the CONNECT was answered, also on every further try
 */
export type HboneErrorCode = 'refused' | 'unreachable' | 'peer-identity' | 'timeout' | 'session-lost'

export interface HboneErrorDetails {
  /** HTTP status of the peer's answer, with `refused`. */
  readonly status?: number
  /** Value of the peer's `x-waypoint-reason`, with `refused`. */
  readonly reason?: string
  /** Whether the peer may have acted on the CONNECT; no byte of the tunnel itself was sent in any case. */
  readonly sent: boolean
  readonly cause?: unknown
}

const advice: Readonly<Record<HboneErrorCode, string>> = {
  'refused': 'the reason says which of the peer\'s rules refused it',
  'unreachable': 'check that the peer runs, that its port is reachable, and that it trusts the root of our certificate',
  'peer-identity': 'check which workload answers on that address, and that both sides hold the present trust bundle',
  'timeout': 'check that no NetworkPolicy drops packets on the way and that the peer is not overloaded',
  'session-lost': 'the peer went away; another endpoint may answer',
}

/** A tunnel that could not be opened. */
export class HboneError extends Error {
  readonly code: HboneErrorCode
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly sent: boolean
  /** What the reader can do next. */
  readonly advice: string

  constructor(code: HboneErrorCode, message: string, details: HboneErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'HboneError'
    this.code = code
    this.status = details.status
    this.reason = details.reason
    this.sent = details.sent
    this.advice = advice[code]
  }
}
