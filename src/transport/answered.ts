import { constants } from 'node:http2'
import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import type { Clock } from '../kit/clock.ts'

// When a stream is reset, nghttp2 drops what it has not packed yet: frames that wait behind a write of the session. Node 26 does so
// where Node 24 mostly gets the frames out first. The peer then sees a reset and no answer.

/** Turns of the event loop that a write mostly takes; who waits longer waits for the network. */
const turns = 3
/** Milliseconds of the first wait after those; each further one is twice as long. */
const firstWaitMs = 5
const longestWaitMs = 1000

/** Calls `then` once `sent()` holds, in a later turn: the session sends what was queued in this one when it is over. */
function whenSent(clock: Clock, sent: () => boolean, then: () => void): void {
  let left = turns
  let waitMs = firstWaitMs
  const look = (): void => {
    if (sent()) {
      then()
    } else if (--left > 0) {
      setImmediate(look)
    } else {
      clock.after(waitMs, look)
      waitMs = Math.min(2 * waitMs, longestWaitMs)
    }
  }
  setImmediate(look)
}

/**
 * Tells the peer that nobody wants the rest of its request, once the answer went out: RST_STREAM(NO_ERROR), RFC 9113 §8.1. What still
 * comes is thrown away.
 * @param stream answered to its end: `respond` with `endStream`, or `end`
 */
export function closeOnceAnswered(stream: ServerHttp2Stream, clock: Clock): void {
  stream.resume()
  // Destroyed: the peer ended its half as well, or gave up.
  const over = (): boolean => stream.destroyed || stream.closed
  whenSent(clock, () => over() || stream.state.localClose === 1, () => {
    if (!over()) stream.close(constants.NGHTTP2_NO_ERROR)
  })
}

/**
 * Holds a reset of `stream` back while the head of its answer is on its way: to the peer, a tunnel that is reset before its answer
 * is one to be asked for again, one that is reset after it is a connection that broke. What still comes meanwhile is thrown away.
 */
export function headBeforeReset(stream: ServerHttp2Stream, clock: Clock): void {
  const answered = stream as AnsweredStream
  answered[head] = { clock, held: false }
  // One function for all streams, see `trueEnds`.
  stream.destroy = destroyAfterHead
}

/** A stream whose head may still be on its way. */
type AnsweredStream = ServerHttp2Stream & { [head]: { readonly clock: Clock; held: boolean } }
const head = Symbol('head')

// Not `_destroy`: a stream that says it is destroyed and whose handle still reads ends the process, for Node takes the bytes that come for an error.
const destroyAfterHead: ServerHttp2Stream['destroy'] = function (this: AnsweredStream, error) {
  const destroy = (): void => void Duplex.prototype.destroy.call(this, error)
  const sent = (): boolean => {
    const session: Http2Session | undefined = this.session
    return session === undefined || session.destroyed || (session.state.outboundQueueSize ?? 0) === 0
  }
  const state = this[head]
  // Also if it is held already: with its session it is over at once.
  if (sent()) {
    destroy()
  } else {
    if (!state.held) whenSent(state.clock, sent, destroy)
    state.held = true
    this.push = pushNothing
  }
  return this
}

function pushNothing(): boolean {
  return true
}
