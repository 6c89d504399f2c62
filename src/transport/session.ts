import type { Http2Session, Http2Stream, SessionOptions } from 'node:http2'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../kit/clock.ts'

/** Timers take at most this many milliseconds (about 24 days). */
const longestTimerMs = 2 ** 31 - 1

/**
 * Bytes that may be on their way on the whole session; each stream has its own window beside it. Node stops reading a session while
 * a write of its own waits for the kernel; if both ends may send more than the kernel's buffers hold, both wait for ever. So this
 * must stay below what those buffers take, also on a new connection.
 */
export const sessionWindowBytes = 1024 * 1024

/** The header that carries a code of the reason table beside a status other than 200. */
export const reasonHeader = 'x-waypoint-reason'

/**
 * How both ends set their HTTP/2 up.
 * @param maxTunnels tunnels that the other side may open at a time
 */
export function sessionOptions(maxTunnels: number): SessionOptions & { readonly streamResetBurst: number; readonly streamResetRate: number } {
  return {
    settings: {
      // Only the stream window bounds what a stalled reader costs: Node credits the session's window at once.
      initialWindowSize: 1024 * 1024,
      // Small frames cost a third of the throughput.
      maxFrameSize: 1024 * 1024,
      maxConcurrentStreams: maxTunnels,
      enablePush: false,
    },
    // Megabytes. The default (10) would refuse streams while other streams of the session wait for slow readers.
    maxSessionMemory: 256,
    // A tunnel whose client resets its TCP connection ends as a RST_STREAM. The defaults, meant for the open internet, end the
    // whole session and every tunnel in it after 1,000 resets that come faster than 33 a second.
    streamResetBurst: 100_000,
    streamResetRate: 10_000,
  }
}

/**
 * Mends what Node's streams get wrong for a tunnel. A reset stream never says 'end': Node ends it as if it were complete, and if our
 * half has ended already there is neither 'aborted' nor an error beside that; with this it only closes, which every reader takes for
 * a cut. And strings may be written into it, see `writeSafeStrings`.
 */
export function trueEnds(stream: Http2Stream): void {
  stream.push = pushTrueEnd
  stream._writev = writeSafeStrings
}

// The same functions for all streams: with functions of their own as properties, streams that had ended were seen to stay until the whole heap was collected.

function pushTrueEnd(this: Http2Stream, chunk: unknown, encoding?: BufferEncoding): boolean {
  // A genuine end is pushed before the stream is closed or destroyed.
  return chunk === null && (this.destroyed || this.rstCode !== 0) ? false : Duplex.prototype.push.call(this, chunk, encoding)
}

/**
 * Lets strings be written into a tunnel. Node's gathered write on HTTP/2 streams frees the copy that it makes of a string while the
 * bytes still wait to be sent, if a buffer follows (a request head and its body, as `node:http` writes them): others' bytes go out in
 * their place. Strings of a gathered write become one buffer here, which Node keeps.
 */
const writeSafeStrings: NonNullable<Http2Stream['_writev']> = function (this: Http2Stream, chunks, callback) {
  if (chunks.every(({ chunk }) => typeof chunk !== 'string')) {
    const { _writev } = Object.getPrototypeOf(this) as Pick<Http2Stream, '_writev'>
    _writev?.call(this, chunks, callback)
    return
  }
  const bytes = chunks.map(({ chunk, encoding }) => (typeof chunk === 'string' ? Buffer.from(chunk, encoding) : (chunk as Buffer)))
  // Not in Node's types: how a stream is told that the chunk is bytes already.
  this._write(Buffer.concat(bytes), 'buffer' as BufferEncoding, callback)
}

export interface Liveness {
  readonly clock: Clock
  /** Milliseconds between pings. */
  readonly intervalMs: number
  /** Called once, when two intervals passed without a sign of the peer. */
  readonly onDead: () => void
}

/**
 * Pings the peer and reports its silence: a machine that lost power sends neither FIN nor RST.
 * Any byte that arrives is a sign of life, for an answer may wait behind megabytes of other tunnels' data.
 */
export function watchLiveness(session: Http2Session, socket: Socket, { clock, intervalMs, onDead }: Liveness): void {
  let unanswered = 0
  let seenBytes = socket.bytesRead
  let cancel: Cancel = () => {}
  const tick = (): void => {
    if (session.destroyed) return
    if (socket.bytesRead !== seenBytes) unanswered = 0
    seenBytes = socket.bytesRead
    if (unanswered >= 2) {
      onDead()
      return
    }
    unanswered++
    session.ping(() => {})
    cancel = clock.after(intervalMs, tick)
  }
  cancel = clock.after(intervalMs, tick)
  session.once('close', () => cancel())
}

/** Runs `task` at `atMs` (milliseconds since the epoch), or after 24 days if that is sooner. */
export function at(clock: Clock, atMs: number, task: () => void): Cancel {
  return clock.after(Math.min(Math.max(0, atMs - clock.now()), longestTimerMs), task)
}
