import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/kit/clock.ts'
import { reason } from '../../src/model/reasons.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import { reset } from '../../src/transport/tunnel.ts'
import type { ExchangeHandler, HeaderList, ServerConnection, ServerLimits } from '../exchange.ts'
import { BodyDecoder } from './body.ts'
import { Deadline } from './deadline.ts'
import { Http1Exchange } from './exchange.ts'
import type { ExchangeLine } from './exchange.ts'
import { RequestReader } from './heads.ts'
import { malformed } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import { headBytes, MessageWriter, responseHead } from './write.ts'

export interface Http1ServerOptions {
  readonly limits: ServerLimits
  readonly clock: Clock
  /** Hears of every request that is refused here; its headers go on the answer. */
  readonly onProtocolError?: (reason: ReasonCode, detail: string) => HeaderList | undefined
  /** What the client speaks over `stream`; `http` if not given. */
  readonly scheme?: 'http' | 'https'
  /** Bytes that were read off the stream before. */
  readonly initial?: Buffer
}

/** An unread request body up to this many bytes is drained after the answer, so that the connection can go on. */
export const maxDrainBytes = 64 * 1024
/** How long the handler's upstream has to ask for the body before the client that waits for `100 Continue` gets it from here. */
export const expectGraceMs = 1000
/** How long an ended connection stays to take what the client still sends: closing at once would reset the answer away (RFC 9112 §9.6). */
export const lingerMs = 1000

/**
 * Serves HTTP/1.1 and 1.0 on `stream`, which belongs to the server from now on and must allow half-open ends. Requests reach `handler`
 * one at a time; what is malformed, too large or ambiguous is answered here and ends the connection.
 * Source: RFC 9112.
 */
export function serveHttp1(stream: Duplex, handler: ExchangeHandler, options: Http1ServerOptions): ServerConnection {
  return new Http1Connection(stream, handler, options)
}

class Http1Connection implements ServerConnection, ExchangeLine {
  readonly stream: Duplex
  readonly writer: MessageWriter
  private readonly handler: ExchangeHandler
  private readonly options: Http1ServerOptions
  private readonly requests: RequestReader
  private readonly deadline: Deadline
  private exchange: Http1Exchange | undefined
  private decoder: BodyDecoder | undefined
  /** Bytes that are not taken yet, from `pos` on. While there are any, the stream stands still: that is the bound on pipelining. */
  private bytes: Buffer | undefined
  private pos = 0
  private running = false
  private halted = false
  private drained = 0
  private draining = false
  /** Our last byte is written (or the stream is somebody else's): what comes in is dropped. */
  private finished = false
  private clientEnded = false
  private cancelExpect: (() => void) | undefined

  constructor(stream: Duplex, handler: ExchangeHandler, options: Http1ServerOptions) {
    this.stream = stream
    this.handler = handler
    this.options = options
    this.writer = new MessageWriter(stream)
    this.requests = new RequestReader(options.limits, options.scheme ?? 'http')
    this.deadline = new Deadline(options.clock, this.onDeadline)
    stream.allowHalfOpen = true
    stream.on('data', this.onData)
    stream.on('end', this.onEnd)
    stream.on('drain', this.onStreamDrain)
    stream.on('error', this.onError)
    stream.on('close', this.onGone)
    this.deadline.set(options.limits.idleTimeoutMs)
    if (options.initial !== undefined && options.initial.length > 0) this.onData(options.initial)
  }

  get ending(): boolean {
    return this.draining
  }

  drain(): void {
    this.draining = true
    if (this.exchange === undefined && !this.requests.begun() && this.bytes === undefined) this.finish()
  }

  destroy(): void {
    if (!this.stream.destroyed) reset(this.stream)
    this.onGone()
  }

  bodyMoved(): void {
    this.run()
  }

  answered(): void {
    const { exchange } = this
    if (exchange === undefined) return
    this.cancelExpect?.()
    this.cancelExpect = undefined
    if (!exchange.bodyDone) {
      exchange.reader?.onAbort(new Error('the request was answered before its body was complete'))
      exchange.reader = discard
      exchange.paused = false
      const remaining = this.decoder?.remaining ?? 0
      if (!exchange.keepAlive || remaining > maxDrainBytes) {
        this.exchange = undefined
        this.finish()
        return
      }
      this.drained = 0
      this.deadline.set(this.options.limits.idleTimeoutMs)
    }
    this.completed()
    this.run()
  }

  cut(): void {
    this.finished = true
    this.writer.discard()
    this.deadline.stop()
    this.cancelExpect?.()
    reset(this.stream)
  }

  expectSoon(exchange: Http1Exchange): void {
    this.cancelExpect = this.options.clock.after(expectGraceMs, () => exchange.sendInformational(100, []))
  }

  handOver(): Duplex {
    const { stream } = this
    this.exchange = undefined
    this.detach()
    const rest = this.bytes?.subarray(this.pos)
    this.bytes = undefined
    if (rest !== undefined && rest.length > 0) stream.unshift(rest)
    return stream
  }

  private detach(): void {
    const { stream } = this
    this.finished = true
    this.halted = false
    this.deadline.stop()
    // As if nobody had read yet: the next `data` listener or pipe starts the flow, and nothing is lost between.
    stream.pause()
    ;(stream as { readableFlowing: boolean | null }).readableFlowing = null
    stream.off('data', this.onData)
    stream.off('end', this.onEnd)
    stream.off('drain', this.onStreamDrain)
    stream.off('error', this.onError)
    stream.off('close', this.onGone)
  }

  private readonly onData = (chunk: Buffer): void => {
    if (this.finished) return
    if (this.bytes === undefined) {
      this.bytes = chunk
      this.pos = 0
    } else {
      this.bytes = Buffer.concat([this.bytes.subarray(this.pos), chunk])
      this.pos = 0
    }
    this.run()
  }

  private readonly onEnd = (): void => {
    this.clientEnded = true
    if (this.finished) return
    this.run()
  }

  private readonly onStreamDrain = (): void => {
    if (this.exchange !== undefined && !this.exchange.over) this.exchange.onDrain?.()
    else if (!this.finished) this.run()
  }

  private readonly onError = (): void => {
    // 'close' follows and tells the handler.
  }

  private readonly onGone = (): void => {
    this.finished = true
    this.bytes = undefined
    this.writer.discard()
    this.deadline.stop()
    this.cancelExpect?.()
    const { exchange } = this
    this.exchange = undefined
    exchange?.gone(new Error('the client closed the connection'))
  }

  private readonly onDeadline = (): void => {
    if (this.finished) {
      if (this.stream.writableFinished) this.stream.destroy()
      else reset(this.stream)
    } else if (this.requests.begun()) this.refuse(malformed('the request head did not arrive in time'))
    else {
      this.exchange = undefined
      this.finish()
    }
  }

  /** Takes what bytes it can, then lets the stream flow or stand. */
  private run(): void {
    if (this.running) return
    this.running = true
    while (!this.finished && this.bytes !== undefined && this.advance()) this.forget()
    this.running = false
    this.settle()
  }

  private forget(): void {
    if (this.bytes !== undefined && this.pos >= this.bytes.length) this.bytes = undefined
  }

  private settle(): void {
    if (this.finished) {
      if (this.halted && !this.stream.destroyed) this.flow()
    } else if (this.bytes !== undefined) {
      if (!this.halted) {
        this.halted = true
        this.stream.pause()
      }
    } else {
      if (this.halted) this.flow()
      if (this.clientEnded) this.ended()
    }
  }

  private flow(): void {
    this.halted = false
    this.stream.resume()
  }

  /** One step forward. @returns false if it must wait for the handler or the client's reading */
  private advance(): boolean {
    const bytes = this.bytes ?? none
    const { exchange } = this
    if (exchange !== undefined) return !exchange.bodyDone && exchange.reader !== undefined && !exchange.paused && this.readBody(exchange, bytes)
    // Answers that the client does not read must not pile up behind pipelined requests.
    if (this.stream.writableNeedDrain) return false
    const begun = this.requests.begun()
    const request = this.requests.read(bytes, this.pos)
    if (request === undefined) {
      this.pos = bytes.length
      if (!begun && this.requests.begun()) this.deadline.set(this.options.limits.headTimeoutMs)
      return true
    }
    if (request.kind === 'refused') {
      this.refuse(request)
      return false
    }
    this.pos = this.requests.next
    this.deadline.clear()
    const next = new Http1Exchange(request, this)
    this.exchange = next
    this.decoder = request.length === 0 ? undefined : new BodyDecoder(request.length ?? 'chunked', this.options.limits)
    this.handler(next)
    return true
  }

  private readBody(exchange: Http1Exchange, bytes: Buffer): boolean {
    const { decoder } = this
    if (decoder === undefined) return false
    const step = decoder.step(bytes, this.pos)
    if (step === 'refused') {
      this.broken(decoder.refusal ?? malformed('the body is malformed'))
      return false
    }
    this.pos = decoder.next
    // Bytes of the body came: the client waits for nothing any more.
    exchange.expecting = false
    if (step === 'data') {
      if (exchange.reader === discard && (this.drained += decoder.data.length) > maxDrainBytes) {
        this.exchange = undefined
        this.finish()
        return false
      }
      exchange.reader?.onData(decoder.data)
    }
    if (step === 'end' || decoder.remaining === 0) {
      this.bodyEnded(exchange, decoder.trailers)
    }
    return true
  }

  private bodyEnded(exchange: Http1Exchange, trailers: HeaderList): void {
    if (exchange.bodyDone) return
    exchange.bodyDone = true
    exchange.reader?.onEnd(trailers)
    this.completed()
  }

  /** Makes room for the next request once this one is answered and read. */
  private completed(): void {
    const { exchange } = this
    if (exchange === undefined || !exchange.over || !exchange.bodyDone) return
    this.exchange = undefined
    this.decoder = undefined
    if (!exchange.keepAlive || this.draining) this.finish()
    else if (!this.finished) this.deadline.set(this.options.limits.idleTimeoutMs)
  }

  /** The client ended its half and all its bytes are taken. */
  private ended(): void {
    const { exchange } = this
    if (exchange === undefined) {
      if (this.requests.begun()) this.refuse(malformed('the connection ended inside a request head'))
      else this.finish()
    } else if (!exchange.bodyDone) this.broken(malformed('the connection ended inside a request body (RFC 9112 §8)'))
  }

  /** The body of the request in progress breaks a rule: it is answered if that is still possible, and cut if not. */
  private broken(refusal: Refusal): void {
    const { exchange } = this
    this.exchange = undefined
    if (exchange === undefined) return
    const unanswered = !exchange.headSent
    if (unanswered) this.refuse(refusal)
    else if (exchange.over) this.finish()
    else {
      this.options.onProtocolError?.(refusal.reason, refusal.detail)
      this.cut()
    }
    exchange.gone(new Error(refusal.detail))
  }

  private refuse(refusal: Refusal): void {
    const row = reason(refusal.reason)
    const extra = this.options.onProtocolError?.(refusal.reason, refusal.detail) ?? []
    const body = Buffer.from(`${row.message}\n${refusal.detail}\n`)
    const head = headBytes(responseHead(row.status, [...extra, 'content-type', 'text/plain; charset=utf-8'], body.length, false, 'close'))
    this.writer.flush()
    this.stream.write(Buffer.concat([head, body]))
    this.finish()
  }

  /** Ends our half and stays until the client has ended its own, or for `lingerMs`. */
  private finish(): void {
    if (this.finished) return
    this.finished = true
    this.bytes = undefined
    this.cancelExpect?.()
    this.writer.flush()
    if (this.stream.destroyed) return
    this.deadline.set(this.options.limits.idleTimeoutMs)
    this.stream.end(() => this.deadline.set(lingerMs))
    if (this.halted) this.flow()
  }
}

const none = Buffer.alloc(0)

/** Takes the rest of a body that nobody wants. */
const discard = { onData: (): void => {}, onEnd: (): void => {}, onAbort: (): void => {} }
