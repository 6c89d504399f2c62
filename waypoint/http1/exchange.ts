import type { Duplex } from 'node:stream'
import type { BodyLength, BodyReader, HeaderList, IncomingBody, IncomingHead, ServerExchange } from '../exchange.ts'
import type { RequestHead } from './parse.ts'
import { headBytes, responseHead, WriteError } from './write.ts'
import type { MessageWriter } from './write.ts'

/** What an exchange needs of its connection. */
export interface ExchangeLine {
  readonly stream: Duplex
  readonly writer: MessageWriter
  /** Whether this connection takes no further request. */
  readonly ending: boolean
  /** The exchange wants (more of) its body, or nothing more of it. */
  readonly bodyMoved: () => void
  /** The answer was written to its end. */
  readonly answered: () => void
  /** The connection is to be reset. */
  readonly cut: () => void
  /** The client waits for 100 and nobody sent it yet: sends one later if need be. */
  readonly expectSoon: (exchange: Http1Exchange) => void
  readonly handOver: () => Duplex
}

/** One request of an HTTP/1.1 connection, its body, and its answer. */
export class Http1Exchange implements ServerExchange, IncomingBody {
  readonly head: IncomingHead
  readonly body: IncomingBody = this
  readonly length: BodyLength
  onClientGone: (() => void) | undefined = undefined
  onDrain: (() => void) | undefined = undefined
  /** Who takes the body; undefined before `start`. */
  reader: BodyReader | undefined = undefined
  paused = false
  /** The body came to its end, or will not come any more. */
  bodyDone: boolean
  headSent = false
  /** The answer is complete, or nobody wants it any more: nothing more is sent. */
  over = false
  /** Whether the connection can take another request after this one. */
  keepAlive: boolean
  /** The client waits for `100 Continue`. */
  expecting: boolean
  private bodiless = false
  private readonly http10: boolean
  private readonly line: ExchangeLine

  constructor(request: RequestHead, line: ExchangeLine) {
    this.head = request.head
    this.length = request.length
    this.bodyDone = request.length === 0
    this.http10 = request.http10
    this.keepAlive = request.keepAlive
    this.expecting = request.expectContinue
    this.line = line
  }

  start(reader: BodyReader): void {
    if (this.length === 0) reader.onEnd([])
    else if (this.over || this.bodyDone) reader.onAbort(new Error('the request body is gone'))
    if (this.over || this.bodyDone || this.reader !== undefined) return
    this.reader = reader
    if (this.expecting) this.line.expectSoon(this)
    this.line.bodyMoved()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.line.bodyMoved()
  }

  sendInformational(status: number, headers: HeaderList): void {
    if (this.over || this.headSent || this.http10 || status === 101) return
    if (status === 100) {
      // What the client did not wait for (or already has) is not worth a write.
      if (!this.expecting) return
      this.expecting = false
    }
    try {
      this.line.stream.write(headBytes(responseHead(status, headers, undefined, false)))
    } catch (error) {
      this.failed(error)
    }
  }

  sendHead(status: number, headers: HeaderList, length: BodyLength, close?: boolean): void {
    if (this.over || this.headSent) return
    this.headSent = true
    const { line } = this
    const toHead = this.head.method === 'HEAD'
    this.bodiless = toHead || status === 204 || status === 304
    const chunked = !this.bodiless && length === undefined && !this.http10
    // A client that never got its 100 may or may not send the body now: the next bytes could be either.
    const unclear = this.expecting && !this.bodyDone
    const untilClose = !this.bodiless && length === undefined && this.http10
    if (close === true || line.ending || unclear || untilClose) this.keepAlive = false
    const announced = status === 204 || (status === 304 && length === 0) ? undefined : length
    const connection = !this.keepAlive ? 'close' : this.http10 ? 'keep-alive' : undefined
    try {
      line.writer.begin(responseHead(status, headers, announced, chunked, connection), this.bodiless ? undefined : length, chunked)
    } catch (error) {
      this.failed(error)
    }
  }

  sendData(chunk: Buffer): boolean {
    if (this.over || this.bodiless || !this.headSent) return true
    try {
      return this.line.writer.data(chunk)
    } catch (error) {
      return this.failed(error)
    }
  }

  sendEnd(trailers?: HeaderList): void {
    if (this.over || !this.headSent) return
    try {
      this.line.writer.end(this.bodiless ? undefined : trailers)
    } catch (error) {
      this.failed(error)
      return
    }
    this.over = true
    this.line.answered()
  }

  abort(): void {
    if (this.over) return
    this.over = true
    this.line.cut()
    this.abortBody(new Error('the exchange was aborted'))
  }

  switchProtocols(headers: HeaderList): Duplex {
    const { upgrade } = this.head
    if (upgrade === undefined || this.over || this.headSent) throw new Error('switchProtocols: the request asks for no upgrade, or has its answer already')
    const answer = responseHead(101, [...headers, 'upgrade', upgrade], undefined, false, 'upgrade')
    const bytes = headBytes(answer)
    this.headSent = true
    this.over = true
    this.line.stream.write(bytes)
    return this.line.handOver()
  }

  /** Tells the handler that the client went away or broke the protocol; nothing is sent after it. */
  gone(error: Error): void {
    const wanted = !this.over
    this.over = true
    this.abortBody(error)
    if (wanted) this.onClientGone?.()
  }

  /** The body will not be read to its end. */
  abortBody(error: Error): void {
    if (this.bodyDone) return
    this.bodyDone = true
    this.reader?.onAbort(error)
  }

  /** @returns true: nobody needs to wait for a drain that never comes */
  private failed(error: unknown): true {
    if (!(error instanceof WriteError)) throw error
    this.over = true
    this.line.cut()
    this.abortBody(error)
    this.onClientGone?.()
    return true
  }
}
