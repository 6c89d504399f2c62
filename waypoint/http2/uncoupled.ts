import { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** Window of the whole connection that our sessions grant in a tunnel: what a peer may send ahead over all streams together, in bytes. */
const tunnelWindow = 4 * 1024 * 1024

/** The same on a socket, where the kernel's buffers take it. */
const socketWindow = 1024 * 1024

/** A connection as a session may have it, and the window for `setLocalWindowSize`. */
export interface SessionConnection {
  readonly stream: Duplex
  readonly window: number
  /** The first few bytes that came, as text, if they are known: who does not speak HTTP/2 is recognised by them. */
  readonly start: () => string
}

/**
 * Makes a connection fit for a session of node:http2. Sockets stay what they are: node:http2 reads them natively, which costs a third
 * less for each request, and there the coupling (see `Uncoupled`) only bites between two Node ends that both raised their window.
 */
export function sessionConnection(stream: Duplex): SessionConnection {
  if (!(stream instanceof Socket)) {
    const uncoupled = new Uncoupled(stream)
    return { stream: uncoupled, window: tunnelWindow, start: () => uncoupled.start }
  }
  // One that was accepted with `pauseOnConnect` and never read would stay silent; to the others this does nothing. Not before the
  // session has taken the handle, or the bytes would land here.
  process.nextTick(() => {
    if (!stream.destroyed) stream.read(0)
  })
  return { stream, window: socketWindow, start: () => '' }
}

/** Head room for frames that no window counts. */
const slack = 1024 * 1024

/**
 * A connection for node:http2 whose reading does not depend on its writing. A session of node:http2 stops reading while one of its own
 * writes is under way. Where both ends do that, and each waits for the other to take its bytes, the connection stands still for good:
 * on a tunnel as soon as both directions have filled one window, on TCP once the kernel's buffers are full. So we read on, into a buffer
 * that our own flow control bounds (`tunnelWindow`).
 */
export class Uncoupled extends Duplex {
  /** The first few bytes that came, as text. */
  start = ''
  readonly #under: Duplex
  #stopped = false

  constructor(under: Duplex) {
    super({ readableHighWaterMark: tunnelWindow + slack, allowHalfOpen: true })
    this.#under = under
    under.on('data', (chunk: Buffer) => {
      if (this.start === '') this.start = chunk.toString('latin1', 0, 8)
      if (this.push(chunk)) return
      this.#stopped = true
      under.pause()
    })
    under.once('end', () => this.push(null))
    under.on('error', (error: Error) => this.destroy(error))
    under.once('close', () => this.destroy())
    under.resume()
  }

  override _read(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#under.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#under.write(chunk, done)
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const under = this.#under
    const last = chunks.length - 1
    under.cork()
    for (let i = 0; i < last; i++) under.write(chunks[i]?.chunk)
    under.write(chunks[last]?.chunk, done)
    under.uncork()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#under.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#under.destroyed) this.#under.destroy(error ?? undefined)
    done(error)
  }
}
