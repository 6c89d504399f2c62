import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/kit/clock.ts'
import { reset, retiringEvent } from '../../src/transport/tunnel.ts'
import type { BodyLength, HeaderList } from '../exchange.ts'
import type { UpstreamFailure } from '../upstream.ts'
import { BodyDecoder } from './body.ts'
import type { Framing } from './body.ts'
import { ResponseReader } from './heads.ts'
import type { HeadLimits, ResponseHead } from './parse.ts'
import type { Http1Try, TryLink } from './try.ts'
import { headBytes, MessageWriter, requestHead, WriteError } from './write.ts'

/** The pool that a connection belongs to. */
export interface LinkOwner {
  readonly clock: Clock
  readonly responseLimits: HeadLimits
  /** The connection finished a request cleanly and can take the next. */
  readonly released: (link: Http1Link) => void
  /** The connection takes no request any more. Called only while it carries none; else it is `released` as always. */
  readonly retiring: (link: Http1Link) => void
  /** The connection is gone or is somebody else's now. */
  readonly lost: (link: Http1Link) => void
}

/** How long a connection that we ended may take to end on the other side. */
const lingerMs = 1000
/** An endpoint that sends more interim answers to one request is broken. */
const maxInterim = 32

const none = Buffer.alloc(0)

type Fault = Pick<UpstreamFailure, 'reason' | 'detail'>

/** One HTTP/1.1 connection to an endpoint; carries one try at a time. */
export class Http1Link implements TryLink {
  readonly createdMs: number
  /** Since when it carries nothing. */
  idleSinceMs: number
  /** Whether it can take a request. */
  usable = true
  /** Whether it takes no request after the present one: what carries it is about to end. */
  retiring = false
  private readonly stream: Duplex
  private readonly owner: LinkOwner
  private readonly writer: MessageWriter
  private readonly answers: ResponseReader
  private current: Http1Try | undefined
  private decoder: BodyDecoder | undefined
  /** Bytes that are not taken yet, from `pos` on; while there are any, the stream stands still. */
  private bytes: Buffer | undefined
  private pos = 0
  private running = false
  private halted = false
  private served = 0
  private interim = 0
  private keepAlive = false
  /** Whether any byte of the present answer came. */
  private answering = false
  private ended = false

  constructor(stream: Duplex, owner: LinkOwner) {
    this.stream = stream
    this.owner = owner
    this.createdMs = owner.clock.now()
    this.idleSinceMs = this.createdMs
    this.writer = new MessageWriter(stream)
    this.answers = new ResponseReader(owner.responseLimits)
    stream.allowHalfOpen = true
    stream.on('data', this.onData)
    stream.on('end', this.onEnd)
    stream.on('drain', this.onDrain)
    stream.on('error', this.onError)
    stream.on('close', this.onClose)
    stream.once(retiringEvent, () => {
      this.retiring = true
      if (this.current === undefined && this.usable) this.owner.retiring(this)
    })
    if (stream.destroyed) this.usable = false
  }

  begin(attempt: Http1Try): void {
    this.current = attempt
    this.interim = 0
    this.answering = false
    const { head } = attempt
    try {
      const text = requestHead(head)
      const chunked = head.length === undefined
      if (head.length === 0) this.stream.write(headBytes(text))
      else this.writer.begin(text, head.length, chunked)
    } catch (error) {
      if (!(error instanceof WriteError)) throw error
      this.current = undefined
      attempt.sent = true
      const detail = `the request can not be written: ${error.message}`
      process.nextTick(() => {
        attempt.fail({ reason: 'upstream-protocol', detail, maybeProcessed: false, staleConnection: false })
        this.owner.released(this)
      })
    }
  }

  write(chunk: Buffer): boolean {
    return this.writer.data(chunk)
  }

  end(trailers: HeaderList | undefined): void {
    this.writer.end(trailers)
  }

  flowMoved(): void {
    this.run()
  }

  giveUp(): void {
    this.current = undefined
    this.drop()
  }

  /** Ends a connection that carries nothing. */
  close(): void {
    if (!this.usable && this.stream.destroyed) return
    this.usable = false
    this.owner.lost(this)
    if (this.stream.destroyed) return
    const { stream } = this
    this.bytes = undefined
    stream.resume()
    stream.end()
    const cancel = this.owner.clock.after(lingerMs, () => stream.destroy())
    stream.once('close', cancel)
  }

  /** Resets the connection and fails the try that it carries. */
  cut(fault: Fault): void {
    const { current } = this
    this.current = undefined
    const stale = this.served > 0 && !this.answering
    this.drop()
    current?.fail({ ...fault, maybeProcessed: true, staleConnection: stale && fault.reason === 'upstream-reset' })
  }

  private drop(): void {
    this.usable = false
    this.bytes = undefined
    this.writer.discard()
    this.owner.lost(this)
    reset(this.stream)
  }

  private readonly onData = (chunk: Buffer): void => {
    if (!this.usable) return
    if (this.bytes === undefined) this.bytes = chunk
    else this.bytes = Buffer.concat([this.bytes.subarray(this.pos), chunk])
    this.pos = 0
    this.run()
  }

  private readonly onDrain = (): void => this.current?.drained()

  private readonly onError = (error: Error): void => this.cut({ reason: 'upstream-reset', detail: `the connection failed: ${error.message}` })

  private readonly onClose = (): void => {
    if (this.usable) this.cut(this.ended ? endedFault : resetFault)
  }

  private readonly onEnd = (): void => {
    if (!this.usable) return
    // A reset HTTP/2 stream says `end` before it says that it was reset.
    if (wasReset(this.stream)) {
      this.cut(resetFault)
      return
    }
    this.ended = true
    this.run()
  }

  private run(): void {
    if (this.running) return
    this.running = true
    while (this.usable && this.bytes !== undefined && this.advance()) this.forget()
    this.running = false
    this.settle()
  }

  private forget(): void {
    if (this.bytes !== undefined && this.pos >= this.bytes.length) this.bytes = undefined
  }

  private settle(): void {
    if (!this.usable) return
    if (this.bytes !== undefined) {
      if (!this.halted) {
        this.halted = true
        this.stream.pause()
      }
      return
    }
    if (this.halted) {
      this.halted = false
      this.stream.resume()
    }
    if (!this.ended) return
    if (this.current === undefined) this.close()
    else if (this.decoder?.untilClose === true && !this.current.paused) {
      this.keepAlive = false
      this.finished(this.current, [])
    } else if (this.decoder?.untilClose !== true) this.cut(endedFault)
  }

  /** One step forward. @returns false if it must wait until the answer's taker goes on */
  private advance(): boolean {
    const { current } = this
    const bytes = this.bytes ?? none
    if (current === undefined) {
      // Bytes that nobody asked for: what the next request's answer would be is not certain any more.
      this.close()
      return false
    }
    if (current.paused) return false
    this.answering = true
    if (this.decoder !== undefined) return this.readBody(current, this.decoder, bytes)
    const head = this.answers.read(bytes, this.pos)
    if (head === undefined) {
      this.pos = bytes.length
      return true
    }
    if (head.kind === 'refused') {
      this.cut({ reason: 'upstream-protocol', detail: head.detail })
      return false
    }
    this.pos = this.answers.next
    return this.takeHead(current, head)
  }

  private takeHead(current: Http1Try, head: ResponseHead): boolean {
    const { status, headers } = head
    const { handler } = current
    if (status === 101) {
      this.takeUpgrade(current, head)
      return false
    }
    if (status < 200) {
      if (head.chunked || (head.contentLength ?? 0) > 0) this.cut({ reason: 'upstream-protocol', detail: 'an interim answer announces a body (RFC 9110 §8.6)' })
      else if (++this.interim > maxInterim) this.cut({ reason: 'upstream-protocol', detail: `more than ${maxInterim} interim answers came` })
      else handler.onInformational(status, headers)
      return true
    }
    this.keepAlive = head.keepAlive
    current.answered = true
    const bodiless = current.head.method === 'HEAD' || status === 204 || status === 304
    if (bodiless) {
      handler.onHead(status, headers, status === 204 ? 0 : head.contentLength)
      this.finished(current, [])
      return true
    }
    const framing: Framing = head.chunked ? 'chunked' : (head.contentLength ?? 'until-close')
    const length: BodyLength = head.contentLength
    if (framing !== 0) this.decoder = new BodyDecoder(framing, this.owner.responseLimits)
    handler.onHead(status, headers, length)
    if (framing === 0) this.finished(current, [])
    return true
  }

  private takeUpgrade(current: Http1Try, head: ResponseHead): void {
    const asked = current.head.upgrade
    if (asked === undefined || head.upgrade !== asked.toLowerCase()) {
      this.cut({ reason: 'upstream-protocol', detail: 'the endpoint switched to a protocol that was not asked for' })
      return
    }
    const { stream } = this
    const rest = this.bytes?.subarray(this.pos)
    this.usable = false
    this.current = undefined
    this.bytes = undefined
    this.owner.lost(this)
    // As if nobody had read yet: the next `data` listener or pipe starts the flow, and nothing is lost between.
    stream.pause()
    ;(stream as { readableFlowing: boolean | null }).readableFlowing = null
    stream.off('data', this.onData)
    stream.off('end', this.onEnd)
    stream.off('drain', this.onDrain)
    stream.off('error', this.onError)
    stream.off('close', this.onClose)
    if (rest !== undefined && rest.length > 0) stream.unshift(rest)
    current.settle()
    current.handler.onUpgrade(head.headers, stream)
  }

  private readBody(current: Http1Try, decoder: BodyDecoder, bytes: Buffer): boolean {
    const step = decoder.step(bytes, this.pos)
    if (step === 'refused') {
      this.cut({ reason: 'upstream-protocol', detail: decoder.refusal?.detail ?? 'the body is malformed' })
      return false
    }
    this.pos = decoder.next
    if (step === 'data') current.handler.onData(decoder.data)
    if (step === 'end' || decoder.remaining === 0) this.finished(current, decoder.trailers)
    return true
  }

  /** The answer is complete. */
  private finished(current: Http1Try, trailers: HeaderList): void {
    if (this.current !== current) return
    this.current = undefined
    this.decoder = undefined
    this.served++
    current.settle()
    const clean = this.keepAlive && current.sent && !this.ended && (this.bytes === undefined || this.pos >= this.bytes.length)
    if (clean) {
      this.bytes = undefined
      this.owner.released(this)
    } else if (current.sent) this.close()
    else this.drop()
    current.handler.onEnd(trailers)
  }
}

const resetFault: Fault = { reason: 'upstream-reset', detail: 'the endpoint reset the connection' }
const endedFault: Fault = { reason: 'upstream-reset', detail: 'the endpoint closed the connection before its answer was complete' }

function wasReset(stream: Duplex & { readonly rstCode?: number }): boolean {
  return (stream.rstCode ?? 0) !== 0 || stream.errored !== null || (stream.destroyed && !stream.readableEnded)
}
