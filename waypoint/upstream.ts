import type { Duplex } from 'node:stream'
import type { ReasonCode } from '../src/model/reasons.ts'
import type { BodyLength, HeaderList } from './exchange.ts'

/** A request as it goes to an endpoint: after filters, headers as in `HeaderList`. */
export interface UpstreamHead {
  readonly method: string
  readonly scheme: 'http' | 'https'
  readonly authority: string
  /** Path and query, or `*`. */
  readonly target: string
  readonly headers: HeaderList
  /** 0: no body follows and `end` need not be called. */
  readonly length: BodyLength
  readonly upgrade?: string
}

/** Why a try failed. */
export interface UpstreamFailure {
  readonly reason: Extract<
    ReasonCode,
    'connect-failure' | 'connect-timeout' | 'peer-identity' | 'upstream-reset' | 'upstream-protocol' | 'overload'
  >
  /** For logs: what happened, in words. */
  readonly detail: string
  /** False only if it is certain that the endpoint did not process any of it (no connection, REFUSED_STREAM, GOAWAY below our stream). */
  readonly maybeProcessed: boolean
  /**
   * True if a kept-alive connection closed before the first byte of the answer: the usual race with the endpoint's own idle timeout.
   * An idempotent request without a body (or with a replayable one) may then be sent again at once.
   */
  readonly staleConnection: boolean
}

/** Takes the answer of one try. After `onEnd`, `onFailure` or `onUpgrade` nothing more is called. */
export interface UpstreamHandler {
  /** 1xx other than 101. */
  readonly onInformational: (status: number, headers: HeaderList) => void
  readonly onHead: (status: number, headers: HeaderList, length: BodyLength) => void
  readonly onData: (chunk: Buffer) => void
  readonly onEnd: (trailers: HeaderList) => void
  readonly onFailure: (failure: UpstreamFailure) => void
  /** The endpoint takes more after `write` gave false. */
  readonly onDrain: () => void
  /** The endpoint answered 101; the raw connection is the caller's now. */
  readonly onUpgrade: (headers: HeaderList, stream: Duplex) => void
}

/** One try on its way. Every method may be called at any time; after its end they do nothing. */
export interface UpstreamStream {
  /** @returns false if the caller should pause until `onDrain` */
  readonly write: (chunk: Buffer) => boolean
  readonly end: (trailers?: HeaderList) => void
  /** Stops and restarts the flow of the answer's body. */
  readonly pause: () => void
  readonly resume: () => void
  /** Gives the try up; the handler hears nothing more. */
  readonly abort: () => void
}

/** The connections to one endpoint in one protocol. */
export interface UpstreamPool {
  /** Never throws: failures reach the handler, later than this call returns. */
  readonly request: (head: UpstreamHead, handler: UpstreamHandler) => UpstreamStream
  /** Requests on their way: what least-request balancing compares. */
  readonly inFlight: () => number
  /** Takes nothing new, lets requests finish, closes idle connections now. */
  readonly drain: () => void
  readonly destroy: () => void
}

/**
 * Makes one connection to an endpoint.
 * Rejects with an `Error` whose `reason` is an `UpstreamFailure['reason']`.
 */
export type Dial = () => Promise<Duplex>

/** An error of `Dial`. */
export class DialError extends Error {
  readonly reason: UpstreamFailure['reason']
  constructor(reason: UpstreamFailure['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

export interface PoolLimits {
  /** Connections at a time; HTTP/1.1 requests beyond them wait. */
  readonly maxConnections: number
  /** Requests that may wait for a connection; one more fails with `overload`. */
  readonly maxPending: number
  /** Milliseconds; idle connections older than this are closed. */
  readonly idleTimeoutMs: number
  /** Milliseconds; a connection older than this takes nothing new. */
  readonly maxAgeMs: number
}
