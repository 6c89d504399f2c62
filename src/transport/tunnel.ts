import type { Duplex } from 'node:stream'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** How a tunnel ended: both sides said their last byte, or one of them was cut. */
export interface SpliceResult {
  readonly bytesAtoB: number
  readonly bytesBtoA: number
  readonly ended: 'clean' | 'reset'
}

export interface Splice {
  /** Never rejects; resolves when both sides are closed. */
  readonly done: Promise<SpliceResult>
}

/** What `Http2Stream` has beyond a Duplex. */
interface ResettableStream extends Duplex {
  readonly rstCode?: number
  readonly aborted?: boolean
}

/**
 * Cuts `stream` so that the other end sees a reset (TCP RST, RST_STREAM), never a clean end.
 * `Http2Stream.close(code)` must not be used for this: it sends END_STREAM before RST_STREAM, and a truncated answer looks complete.
 */
export function reset(stream: Duplex): void {
  if (stream.destroyed) return
  if (stream instanceof Socket && !(stream instanceof TLSSocket)) {
    try {
      stream.resetAndDestroy()
      return
    } catch {
      // A pipe or another handle that knows no RST.
    }
  }
  stream.destroy(new Error('the tunnel was reset'))
}

/**
 * Joins two byte streams until both ended. Ends are passed on by halves, so both must be made with `allowHalfOpen`; a reset on
 * either side resets the other. A slow reader stops the sender: no more than the two streams' own buffers is held.
 * Both streams belong to the splice from now on.
 */
export function splice(a: Duplex, b: Duplex): Splice {
  const done = new Promise<SpliceResult>((resolve) => {
    let open = 2
    let cut = false
    let bytesAtoB = 0
    let bytesBtoA = 0
    const cutBoth = (): void => {
      cut = true
      reset(a)
      reset(b)
    }
    const closed = (stream: Duplex): void => {
      // `writableFinished`: what the other side sent must have left before the close, or it was lost.
      if (!stream.readableEnded || !stream.writableFinished) cutBoth()
      if (--open === 0) resolve({ bytesAtoB, bytesBtoA, ended: cut ? 'reset' : 'clean' })
    }
    const join = (from: Duplex, to: Duplex, count: (bytes: number) => void): void => {
      from.on('error', cutBoth)
      from.on('aborted', () => {
        // Emitted when the stream closes before our own end: only a reset if a half of it is still missing.
        if (wasReset(from)) cutBoth()
      })
      from.on('end', () => {
        // Node emits 'end' on a reset HTTP/2 stream too, before it says so.
        if (wasReset(from)) cutBoth()
        else to.end()
      })
      to.on('drain', () => from.resume())
      from.on('data', (chunk: Buffer) => {
        count(chunk.length)
        if (!to.write(chunk)) from.pause()
      })
    }
    if (a.destroyed || b.destroyed) {
      for (const stream of [a, b]) {
        stream.on('error', () => {})
        reset(stream)
      }
      resolve({ bytesAtoB, bytesBtoA, ended: 'reset' })
      return
    }
    a.once('close', () => closed(a))
    b.once('close', () => closed(b))
    join(a, b, (bytes) => { bytesAtoB += bytes })
    join(b, a, (bytes) => { bytesBtoA += bytes })
    a.resume()
    b.resume()
  })
  return { done }
}

function wasReset(stream: ResettableStream): boolean {
  return stream.destroyed && !stream.readableEnded || (stream.rstCode ?? 0) !== 0 || stream.errored !== null
}
