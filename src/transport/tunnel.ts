import type { Duplex } from 'node:stream'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** How a tunnel ended: both sides said their last byte, or one of them was cut. */
export interface SpliceResult {
  readonly bytesAtoB: number
  readonly bytesBtoA: number
  readonly ended: 'clean' | 'reset'
  /** The side that was cut first, with `reset`. */
  readonly resetBy?: 'a' | 'b'
}

export interface Splice {
  /** Never rejects; resolves when both sides are closed. */
  readonly done: Promise<SpliceResult>
  /** What has passed so far. */
  readonly passed: () => Pick<SpliceResult, 'bytesAtoB' | 'bytesBtoA'>
}

/** What `Http2Stream` has beyond a Duplex. */
interface ResettableStream extends Duplex {
  readonly rstCode?: number
}

/**
 * Emitted by a tunnel of `HboneClient` whose session takes no others any more: the peer is about to end, or a certificate is. It goes on, but not for long:
 * whoever keeps it for later use should not.
 */
export const retiringEvent = 'retiring'

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

/** Bytes that wait for a slow reader, beyond which its sender is stopped. Stopping for every chunk would cost a tenth of the throughput. */
const heldBytes = 256 * 1024
/**
 * Chunks of at least so many bytes are written with all others of their turn of the event loop: TLS hands bulk out in records of 16 KiB, and a
 * system call for each would cost another tenth. Smaller ones go at once.
 */
const gatherBytes = 8 * 1024

export interface SpliceOptions {
  /** Bytes, both directions together, from which on a splice counts as bulk. */
  readonly bulkBytes?: number
  /** Called once when that many have passed. */
  readonly onBulk?: () => void
}

/**
 * Joins two byte streams until both ended. Ends are passed on by halves, so both must be made with `allowHalfOpen`; a reset on
 * either side resets the other. A slow reader stops the sender: no more than `heldBytes` and the two streams' own buffers is held.
 * Both streams belong to the splice from now on.
 */
export function splice(a: Duplex, b: Duplex, { bulkBytes = Infinity, onBulk }: SpliceOptions = {}): Splice {
  const { promise: done, resolve } = Promise.withResolvers<SpliceResult>()
  let open = 2
  let resetBy: 'a' | 'b' | undefined
  let bytesAtoB = 0
  let bytesBtoA = 0
  const passed = (): ReturnType<Splice['passed']> => ({ bytesAtoB, bytesBtoA })
  const finish = (): void => resolve({ bytesAtoB, bytesBtoA, ...(resetBy === undefined ? { ended: 'clean' } : { ended: 'reset', resetBy }) })
  const cut = (by: 'a' | 'b'): void => {
    resetBy ??= by
    reset(a)
    reset(b)
  }
  const join = (from: Duplex, to: Duplex, side: 'a' | 'b'): void => {
    from.on('error', () => cut(side))
    from.on('aborted', () => { if (wasReset(from)) cut(side) })
    from.on('end', () => {
      // Node emits 'end' on a reset HTTP/2 stream too, before it says so, and on one whose session was destroyed.
      if (from.destroyed || wasReset(from)) cut(side)
      else to.end()
    })
    from.once('close', () => {
      // `writableFinished`: what the other side sent must have left before the close, or it was lost.
      if (!from.readableEnded || !from.writableFinished) cut(side)
      if (--open === 0) finish()
    })
    to.on('drain', () => from.resume())
  }
  const pass = (from: Duplex, to: Duplex): ((chunk: Buffer) => void) => {
    let gathering = false
    const flush = (): void => {
      gathering = false
      to.uncork()
    }
    return (chunk) => {
      if (chunk.length >= gatherBytes && !gathering) {
        gathering = true
        to.cork()
        setImmediate(flush)
      }
      if (!to.write(chunk) && to.writableLength >= heldBytes) from.pause()
    }
  }
  if (a.destroyed || b.destroyed) {
    for (const stream of [a, b]) stream.on('error', () => {})
    cut(a.destroyed ? 'a' : 'b')
    finish()
    return { done, passed }
  }
  join(a, b, 'a')
  join(b, a, 'b')
  let bulkAt = bulkBytes
  const tellBulk = (): void => {
    bulkAt = Infinity
    onBulk?.()
  }
  const [toB, toA] = [pass(a, b), pass(b, a)]
  a.on('data', (chunk: Buffer) => {
    bytesAtoB += chunk.length
    if (bytesAtoB + bytesBtoA >= bulkAt) tellBulk()
    toB(chunk)
  })
  b.on('data', (chunk: Buffer) => {
    bytesBtoA += chunk.length
    if (bytesAtoB + bytesBtoA >= bulkAt) tellBulk()
    toA(chunk)
  })
  a.resume()
  b.resume()
  return { done, passed }
}

function wasReset(stream: ResettableStream): boolean {
  return (stream.destroyed && !stream.readableEnded) || (stream.rstCode ?? 0) !== 0 || (stream.errored ?? null) !== null
}
