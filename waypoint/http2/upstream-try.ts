import { constants } from 'node:http2'
import type { ClientHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'
import type { HeaderList } from '../exchange.ts'
import { isGrpc } from '../grpc/status.ts'
import type { UpstreamFailure, UpstreamHandler, UpstreamHead, UpstreamStream } from '../upstream.ts'
import { announcesTrailers, appendHeaders, headerObject, readResponse, readTrailers } from './headers.ts'
import { cancelStream } from './reset.ts'
import type { UpstreamSession } from './upstream-session.ts'

export interface TryEvents {
  /** The try heard its last: answered, failed or given up. Called once. */
  readonly onOver: (each: UpstreamTry) => void
  /** node:http2 refused to open it, so that nothing was sent: it needs another connection. Called at most once. */
  readonly onRefusedLocally: (each: UpstreamTry) => void
}

const tryOf = Symbol('try')
type TriedStream = ClientHttp2Stream & { [tryOf]: UpstreamTry }

const withoutBody = { endStream: true }
const withBody = { endStream: false }
const withTrailers = { endStream: false, waitForTrailers: true }

/** One request on its way through a pool: waiting for a connection, then a stream. */
export class UpstreamTry {
  readonly stream: UpstreamStream
  readonly #head: UpstreamHead
  readonly #handler: UpstreamHandler
  readonly #events: TryEvents
  #http2: ClientHttp2Stream | undefined
  #over = false
  #refusedBefore = false
  /** What was written while there was no stream yet. */
  #backlog: Buffer[] = []
  #ended: boolean
  #trailers: HeaderList | undefined
  #waitsForTrailers = false
  #paused = false
  #drainWatched = false
  #headSeen = false
  #answerTrailers: HeaderList = []
  #error: (Error & { readonly code?: unknown }) | undefined
  /** The answer's END_STREAM was seen; undefined until its readable side ends. */
  #whole: boolean | undefined

  constructor(head: UpstreamHead, handler: UpstreamHandler, events: TryEvents) {
    this.#head = head
    this.#handler = handler
    this.#events = events
    this.#ended = head.length === 0
    this.stream = {
      write: (chunk) => this.#write(chunk),
      end: (trailers) => this.#end(trailers),
      // Before the answer's head nothing listens: a stream that flowed then would lose its body.
      pause: () => {
        this.#paused = true
        if (!this.#over && this.#headSeen) this.#http2?.pause()
      },
      resume: () => {
        this.#paused = false
        if (!this.#over && this.#headSeen) this.#http2?.resume()
      },
      abort: () => this.#abort(),
    }
  }

  fail(failure: UpstreamFailure): void {
    if (this.#over) return
    this.#finish()
    this.#handler.onFailure(failure)
  }

  /** Fails after the present call has returned, as `UpstreamPool.request` promises. */
  failLater(failure: UpstreamFailure): void {
    process.nextTick(() => this.fail(failure))
  }

  /** Sends the request on `session`. */
  openOn(session: UpstreamSession): void {
    if (this.#over) return
    const { head } = this
    let stream: ClientHttp2Stream
    const out = [':method', head.method, ':scheme', head.scheme, ':authority', head.authority === '' ? 'localhost' : head.authority, ':path', head.target]
    try {
      appendHeaders(out, head.headers)
    } catch (error) {
      this.failLater({ reason: 'upstream-protocol', detail: `the request can not be sent in HTTP/2: ${String(error)}`, maybeProcessed: false, staleConnection: false })
      return
    }
    if (head.length !== undefined && head.length > 0) out.push('content-length', String(head.length))
    this.#waitsForTrailers = head.length !== 0 && (announcesTrailers(head.headers) || (head.length === undefined && !isGrpc(head.headers)))
    try {
      stream = session.open(out, head.length === 0 ? withoutBody : this.#waitsForTrailers ? withTrailers : withBody)
    } catch (error) {
      this.#refusedLocally(session, String(error))
      return
    }
    this.#http2 = stream
    this.#watch(stream, session)
    if (this.#backlog.length === 0 && !this.#ended) return
    const chunks = this.#backlog
    this.#backlog = []
    let roomy = true
    for (const chunk of chunks) roomy = stream.write(chunk)
    if (this.#ended) {
      if (head.length !== 0) stream.end()
    } else if (roomy) process.nextTick(() => this.#drained())
    else this.#watchDrain(stream)
  }

  get head(): UpstreamHead {
    return this.#head
  }

  /** One function for all streams, see `trueEnds`. */
  static #pushNoted(this: TriedStream, chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null) this[tryOf].#whole ??= !this.closed
    return Duplex.prototype.push.call(this, chunk, encoding)
  }

  #watch(stream: ClientHttp2Stream, session: UpstreamSession): void {
    // A reset, even one with NO_ERROR, ends the readable side like END_STREAM does. What tells them apart is that node marks the stream
    // as closed before it ends it; a server that is torn down resets what it answers with NO_ERROR, and that answer is not whole.
    const tried = stream as TriedStream
    tried[tryOf] = this
    tried.push = UpstreamTry.#pushNoted
    stream.on('error', (error: Error) => {
      this.#error = error
    })
    stream.on('headers', (_object, _flags, raw: readonly string[]) => {
      if (this.#over) return
      const informational = readResponse(raw)
      if (typeof informational !== 'string' && informational.status !== 101) this.#handler.onInformational(informational.status, informational.headers)
    })
    stream.on('response', (_object, flags, raw: readonly string[]) => this.#onResponse(stream, flags, raw))
    if (this.#waitsForTrailers) stream.on('wantTrailers', () => this.#sendTrailers(stream))
    stream.once('close', () => {
      if (stream.id === undefined && !this.#over && !this.#refusedBefore) {
        session.released()
        this.#refusedLocally(session, String(this.#error))
        return
      }
      this.#onClose(stream, session)
      session.released()
    })
  }

  #onResponse(stream: ClientHttp2Stream, flags: number, raw: readonly string[]): void {
    if (this.#over) return
    const answer = readResponse(raw)
    if (typeof answer === 'string' || answer.status < 200) {
      cancelStream(stream)
      this.fail({ reason: 'upstream-protocol', detail: typeof answer === 'string' ? answer : `status ${answer.status} as the final one`, maybeProcessed: true, staleConnection: false })
      return
    }
    this.#headSeen = true
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
    const { status, headers, contentLength } = answer
    // HEAD and 304 tell the length of a body that is not there; elsewhere END_STREAM on the head means 0. A length of 0 without it is
    // followed by an empty frame or by trailers.
    const length = this.#head.method === 'HEAD' || status === 304 ? contentLength : ended ? 0 : contentLength === 0 ? undefined : contentLength
    this.#handler.onHead(status, headers, length)
    if (ended) {
      stream.resume()
      this.#answered(stream)
      return
    }
    stream.on('data', (chunk: Buffer) => {
      if (!this.#over) this.#handler.onData(chunk)
    })
    stream.on('trailers', (_object, _flags, trailers: readonly string[]) => {
      this.#answerTrailers = readTrailers(trailers)
    })
    stream.on('end', () => {
      if (this.#whole === true && stream.rstCode === constants.NGHTTP2_NO_ERROR) this.#answered(stream)
    })
    if (this.#paused) stream.pause()
  }

  #answered(stream: ClientHttp2Stream): void {
    if (this.#over) return
    const requestOpen = !this.#ended
    this.#finish()
    this.#handler.onEnd(this.#answerTrailers)
    // RFC 9113 §8.1: an answer may be complete before the request; the rest of the request is then of no use.
    if (requestOpen) cancelStream(stream)
  }

  #onClose(stream: ClientHttp2Stream, session: UpstreamSession): void {
    if (this.#over) return
    const code = stream.rstCode
    const id = stream.id ?? Infinity
    const unprocessed = id > session.lastStreamId || code === constants.NGHTTP2_REFUSED_STREAM || stream.id === undefined
    const connection = session.failure
    const protocol = this.#error?.code === 'ERR_HTTP2_ERROR' || (connection === undefined && code === constants.NGHTTP2_PROTOCOL_ERROR)
    const detail = connection === undefined ? `the endpoint reset the stream (code ${code})` : `${connection}${this.#error === undefined ? '' : `: ${this.#error.message}`}`
    this.fail({
      reason: protocol ? 'upstream-protocol' : 'upstream-reset',
      detail: protocol ? `the endpoint's answer breaks HTTP/2: ${detail}` : detail,
      maybeProcessed: !unprocessed,
      staleConnection: connection !== undefined && !this.#headSeen && session.taken > 1 && !protocol,
    })
  }

  #refusedLocally(session: UpstreamSession, detail: string): void {
    session.retire()
    if (this.#refusedBefore) {
      this.failLater({ reason: 'upstream-reset', detail: `no stream could be opened: ${detail}`, maybeProcessed: false, staleConnection: false })
      return
    }
    this.#refusedBefore = true
    this.#http2 = undefined
    this.#events.onRefusedLocally(this)
  }

  #write(chunk: Buffer): boolean {
    if (this.#over || this.#ended || chunk.length === 0) return true
    const stream = this.#http2
    if (stream === undefined) {
      this.#backlog.push(chunk)
      return false
    }
    if (stream.write(chunk)) return true
    this.#watchDrain(stream)
    return false
  }

  #end(trailers: HeaderList | undefined): void {
    if (this.#over || this.#ended) return
    this.#ended = true
    this.#trailers = trailers
    this.#http2?.end()
  }

  #sendTrailers(stream: ClientHttp2Stream): void {
    try {
      stream.sendTrailers(headerObject(this.#trailers ?? [], true))
    } catch {
      cancelStream(stream)
    }
  }

  #abort(): void {
    if (this.#over) return
    this.#finish()
    if (this.#http2 !== undefined) cancelStream(this.#http2)
  }

  #watchDrain(stream: ClientHttp2Stream): void {
    if (this.#drainWatched) return
    this.#drainWatched = true
    stream.on('drain', () => this.#drained())
  }

  #drained(): void {
    if (!this.#over && !this.#ended) this.#handler.onDrain()
  }

  #finish(): void {
    this.#over = true
    this.#backlog = []
    this.#events.onOver(this)
  }
}
