import type { Duplex } from 'node:stream'

/**
 * Headers as one flat list: name, value, name, value, …; names in lower case, values without surrounding white space, order and
 * repetitions kept. It never holds pseudo-headers, `host`, framing (`content-length`, `transfer-encoding`) or hop-by-hop
 * headers (`connection`, what it names, `keep-alive`, `proxy-connection`, `upgrade`; `te` only as `trailers`): the protocol
 * servers and clients take those off on the way in and put their own on the way out.
 */
export type HeaderList = string[]

/** Length of a body: 0 = none, a number = exactly so many bytes, undefined = not known before its end. */
export type BodyLength = number | undefined

/** A request as a protocol server read it: well-formed, not yet judged. */
export interface IncomingHead {
  readonly version: 'http1' | 'http2'
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** `Host` or `:authority`, lower case, with its port if it has one; '' only for HTTP/1.0 without Host. */
  readonly authority: string
  /** Path and query as on the wire, in origin form, or `*`. */
  readonly target: string
  readonly headers: HeaderList
  /** Lower-case protocol that an HTTP/1.1 client asks to switch to (`websocket`). */
  readonly upgrade?: string
}

/** Who takes a body. Nothing is called after `onEnd` or `onAbort`, and one of them always comes. */
export interface BodyReader {
  readonly onData: (chunk: Buffer) => void
  /** @param trailers empty if there are none */
  readonly onEnd: (trailers: HeaderList) => void
  /** The sender went away or broke the protocol: the body is not complete. */
  readonly onAbort: (error: Error) => void
}

/** A body on its way in. It stands still until `start`; then it flows but for `pause` … `resume`. */
export interface IncomingBody {
  readonly length: BodyLength
  /** May be called once. A body of length 0 ends at once. */
  readonly start: (reader: BodyReader) => void
  readonly pause: () => void
  readonly resume: () => void
}

/** One request and the way to answer it, whatever protocol the client speaks. */
export interface ServerExchange {
  readonly head: IncomingHead
  readonly body: IncomingBody
  /** Called at most once, when the client is gone or reset the exchange before the answer was complete. Set it before anything async. */
  onClientGone: (() => void) | undefined
  /** Called when the client takes more after `sendData` gave false. */
  onDrain: (() => void) | undefined
  /** A 1xx answer other than 101. */
  readonly sendInformational: (status: number, headers: HeaderList) => void
  /**
   * Starts the answer. To HEAD, 204 and 304 no body follows, whatever `length` says; `sendEnd` is still to be called.
   * @param close HTTP/1.1: ends the connection after this answer
   */
  readonly sendHead: (status: number, headers: HeaderList, length: BodyLength, close?: boolean) => void
  /** @returns false if the caller should pause until `onDrain` */
  readonly sendData: (chunk: Buffer) => boolean
  /** Completes the answer. A request body that was not read to its end is dropped: drained if short, else the connection ends. */
  readonly sendEnd: (trailers?: HeaderList) => void
  /** Ends the exchange so that the client sees it is incomplete (reset stream, cut connection), never a clean end. */
  readonly abort: () => void
  /** Answers an `upgrade` request with 101 and hands over the raw connection. HTTP/1.1 only. */
  readonly switchProtocols: (headers: HeaderList) => Duplex
}

/** Takes each request of a connection. */
export type ExchangeHandler = (exchange: ServerExchange) => void

/** A protocol server of one client connection (one accepted tunnel). */
export interface ServerConnection {
  /** Answers what is in flight, takes nothing new (`connection: close` or GOAWAY), then closes the stream. */
  readonly drain: () => void
  /** Ends it now. */
  readonly destroy: () => void
}

/** What a protocol server refuses by itself, before there is an exchange; limits in bytes. */
export interface ServerLimits {
  readonly maxHeaderBytes: number
  readonly maxHeaders: number
  readonly maxTargetBytes: number
  /** Milliseconds from the first byte of a request's head to its last. */
  readonly headTimeoutMs: number
  /** Milliseconds that a connection may stay without a request. */
  readonly idleTimeoutMs: number
}
