import { Duplex } from 'node:stream'

/** Window of the whole connection that our sessions grant: what a peer may send ahead over all streams together, in bytes. */
export const connectionWindow = 4 * 1024 * 1024

/** Head room for frames that no window counts. */
const slack = 1024 * 1024

/**
 * A connection for node:http2 whose reading does not depend on its writing. A session of node:http2 stops reading while one of its own
 * writes is under way. Where both ends do that, and each waits for the other to take its bytes, the connection stands still for good:
 * on a tunnel as soon as both directions have filled one window, on TCP once the kernel's buffers are full. So we read on, into a buffer
 * that our own flow control bounds (`connectionWindow`).
 */
export class Uncoupled extends Duplex {
  /** The first few bytes that came, as text: who does not speak HTTP/2 is recognised by them. */
  start = ''
  readonly #under: Duplex
  #stopped = false

  constructor(under: Duplex) {
    super({ readableHighWaterMark: connectionWindow + slack, allowHalfOpen: true })
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
