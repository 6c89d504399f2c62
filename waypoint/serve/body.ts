import type { BodyLength, HeaderList, IncomingBody } from '../exchange.ts'
import type { Usage } from './engine.ts'

/** Where a request body goes: the present try, or a mirrored copy. */
export interface BodySink {
  /** @returns false if no more should come until it says so */
  readonly write: (chunk: Buffer) => boolean
  readonly end: (trailers: HeaderList) => void
}

/** A mirrored copy that follows the body: it can not hold it up. */
export interface BodyCopy {
  readonly write: (chunk: Buffer) => void
  readonly end: (trailers: HeaderList) => void
  /** The body will not be complete. */
  readonly abort: () => void
}

export interface RequestBodyOptions {
  /** Bytes that are kept to be sent again. */
  readonly replayBytes: number
  readonly totalReplayBytes: number
  readonly usage: Usage
  /** The client broke off. */
  readonly onAbort: (error: Error) => void
}

/** A request's body on its way to one try after the other; its beginning is kept as long as it may have to be sent again. */
export class RequestBody {
  readonly length: BodyLength
  bytes = 0
  readonly #body: IncomingBody
  readonly #options: RequestBodyOptions
  #sink: BodySink | undefined
  #copies: readonly BodyCopy[] = []
  #kept: Buffer[] = []
  #keptBytes = 0
  /** Whether `#kept` holds everything that came. */
  #whole = true
  /** Whether the body is still wanted for another try. */
  #keeping = true
  #started = false
  #stopped = false
  #trailers: HeaderList | undefined

  constructor(body: IncomingBody, options: RequestBodyOptions) {
    this.#body = body
    this.#options = options
    this.length = body.length
  }

  /** Whether all of it can be sent again. */
  canReplay(): boolean {
    return this.length === 0 || (this.#whole && this.#keeping)
  }

  /** Copies that get the same bytes; to be set before the first `attach`. */
  copyTo(copies: readonly BodyCopy[]): void {
    this.#copies = copies
  }

  /** Sends the body to `sink`, from its beginning. Only if `canReplay` or for the first time. */
  attach(sink: BodySink): void {
    if (this.length === 0) {
      if (!this.#started) for (const copy of this.#copies) copy.end([])
      this.#started = true
      return
    }
    this.#sink = sink
    if (!this.#started) {
      this.#started = true
      this.#body.start({
        onData: (chunk) => this.#onData(chunk),
        onEnd: (trailers) => this.#onEnd(trailers),
        onAbort: (error) => this.#onAbort(error),
      })
      return
    }
    let more = true
    for (const chunk of this.#kept) more = sink.write(chunk)
    if (this.#keptBytes > this.#options.replayBytes) this.#forget()
    if (this.#trailers !== undefined) sink.end(this.#trailers)
    else if (more) this.#body.resume()
  }

  /** Stands still between two tries. */
  detach(): void {
    this.#sink = undefined
    if (this.#started && this.length !== 0 && this.#trailers === undefined) this.#body.pause()
  }

  /** The sink takes more again. */
  resume(): void {
    if (!this.#stopped && this.#started && this.length !== 0 && this.#trailers === undefined) this.#body.resume()
  }

  /** There will be no other try: nothing more is kept. */
  release(): void {
    this.#keeping = false
    this.#forget()
  }

  /** The exchange is over, whatever is still to come. */
  stop(): void {
    this.#stopped = true
    this.#sink = undefined
    this.release()
    if (this.length !== 0 && this.#trailers === undefined) for (const copy of this.#copies) copy.abort()
  }

  #onData(chunk: Buffer): void {
    if (this.#stopped) return
    this.bytes += chunk.length
    for (const copy of this.#copies) copy.write(chunk)
    if (this.#keeping && this.#whole) this.#keep(chunk)
    if (this.#sink === undefined || !this.#sink.write(chunk)) this.#body.pause()
  }

  #keep(chunk: Buffer): void {
    const { usage, replayBytes, totalReplayBytes } = this.#options
    const fits = this.#keptBytes + chunk.length <= replayBytes && usage.replayBytes + chunk.length <= totalReplayBytes
    // Between two tries nobody else holds the chunk.
    if (!fits && this.#sink !== undefined) {
      this.#forget()
      return
    }
    this.#kept.push(chunk)
    this.#keptBytes += chunk.length
    usage.replayBytes += chunk.length
  }

  #forget(): void {
    if (this.bytes > 0) this.#whole = false
    this.#options.usage.replayBytes -= this.#keptBytes
    this.#kept = []
    this.#keptBytes = 0
  }

  #onEnd(trailers: HeaderList): void {
    if (this.#stopped) return
    this.#trailers = trailers
    for (const copy of this.#copies) copy.end(trailers)
    this.#sink?.end(trailers)
  }

  #onAbort(error: Error): void {
    if (this.#stopped) return
    this.#options.onAbort(error)
  }
}
