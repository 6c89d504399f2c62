import { connect, constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, ClientSessionOptions } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../../src/kit/clock.ts'
import { holdStreamsLightly } from '../../src/transport/streams.ts'
import { retiringEvent } from '../../src/transport/tunnel.ts'
import type { UpstreamFailure } from '../upstream.ts'
import { sessionConnection } from './uncoupled.ts'

export interface SessionOptions {
  /** Bytes of each answer that wait unread. */
  readonly streamWindow: number
  /** Milliseconds from one PING to the next while requests are open; also how long its answer may take. */
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  /** Milliseconds that the endpoint has to show that it speaks HTTP/2. */
  readonly settingsTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly maxAgeMs: number
}

export interface SessionEvents {
  /** The endpoint's SETTINGS are here: `open` may be called. */
  readonly onReady: (session: UpstreamSession) => void
  /** A stream closed: there is room again. */
  readonly onRoom: (session: UpstreamSession) => void
  /** It takes nothing new any more. `failure` is given if it never got ready. Called once. */
  readonly onGone: (session: UpstreamSession, failure: UpstreamFailure | undefined) => void
}

const graceMs = 1000
const wrongProtocol =
  'the endpoint did not answer in HTTP/2; it seems to speak HTTP/1.1 only: set the port\'s appProtocol to `http`, or let the application serve HTTP/2 with prior knowledge'

/** One HTTP/2 connection to an endpoint. */
export class UpstreamSession {
  /** Streams open now. */
  active = 0
  /** Requests that this session took so far. */
  taken = 0
  ready = false
  /** Highest stream that the endpoint will answer, once it sent GOAWAY. */
  lastStreamId = Infinity
  readonly #session: ClientHttp2Session
  readonly #duplex: Duplex
  readonly #start: () => string
  readonly #clock: Clock
  readonly #options: SessionOptions
  readonly #events: SessionEvents
  readonly #bornMs: number
  #gone = false
  #idleSinceMs: number
  #idleTimer: Cancel | undefined
  #pingTimer: Cancel | undefined
  #settingsTimer: Cancel | undefined
  #graceTimer: Cancel | undefined
  #failure: string | undefined

  constructor(connectionStream: Duplex, clock: Clock, options: SessionOptions, events: SessionEvents) {
    const { stream: duplex, window, start } = sessionConnection(connectionStream)
    this.#duplex = duplex
    this.#start = start
    this.#clock = clock
    this.#options = options
    this.#events = events
    this.#bornMs = clock.now()
    this.#idleSinceMs = this.#bornMs
    const settings: ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
      createConnection: () => duplex,
      strictSingleValueFields: false,
      maxHeaderListPairs: 512,
      maxSessionMemory: 256,
      maxSendHeaderBlockLength: 1024 * 1024,
      settings: { enablePush: false, initialWindowSize: options.streamWindow, maxFrameSize: 64 * 1024, maxHeaderListSize: 128 * 1024 },
    }
    const session = connect('http://localhost', settings)
    holdStreamsLightly(session)
    this.#session = session
    this.#settingsTimer = clock.after(options.settingsTimeoutMs, () => {
      this.#refused('upstream-protocol', `${wrongProtocol} (no SETTINGS within ${options.settingsTimeoutMs} ms)`)
      this.destroy('no SETTINGS')
    })
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(window)
    })
    session.once('remoteSettings', () => {
      this.#settingsTimer?.()
      if (this.#gone) return
      this.ready = true
      this.#watchIdle(options.idleTimeoutMs)
      events.onReady(this)
    })
    session.on('goaway', (_code: number, lastStreamId: number | undefined) => {
      this.lastStreamId = Math.min(this.lastStreamId, lastStreamId ?? 0)
      if (!this.ready) this.#refused('connect-failure', 'the endpoint sent GOAWAY at once')
      this.#leave()
    })
    session.on('error', (error: Error & { readonly code?: unknown }) => {
      const garbage = error.code === 'ERR_HTTP2_ERROR'
      if (!this.ready) this.#refused(garbage ? 'upstream-protocol' : 'connect-failure', garbage ? `${wrongProtocol} (${error.message})` : error.message)
      this.#leave()
    })
    session.once('close', () => {
      if (!this.ready) this.#refused('connect-failure', 'the endpoint closed the connection before its first HTTP/2 frame')
      this.#leave()
      this.#pingTimer?.()
      this.#graceTimer?.()
      if (!duplex.destroyed) duplex.destroy()
    })
    connectionStream.once(retiringEvent, () => this.retire())
    // A connection whose other half has ended can complete nothing; sockets that allow half-open ones would keep it.
    duplex.once('end', () => setImmediate(() => this.destroy('the endpoint ended the connection')))
  }

  /** Streams that the endpoint allows. */
  get remoteLimit(): number {
    return this.#session.remoteSettings.maxConcurrentStreams ?? 100
  }

  /** Whether a new request may be opened here, as far as age and state go. */
  get usable(): boolean {
    if (!this.ready || this.#gone || this.#session.closed || this.#session.destroyed) return false
    if (this.#clock.now() - this.#bornMs < this.#options.maxAgeMs) return true
    this.retire()
    return false
  }

  /** Why the connection as a whole failed, if it did. */
  get failure(): string | undefined {
    return this.#session.destroyed ? (this.#failure ?? 'the connection was closed') : undefined
  }

  /**
   * Opens a stream; `released` must be called when it has closed.
   * @throws if node:http2 refuses
   */
  open(headers: readonly string[], options: object): ClientHttp2Stream {
    const stream = this.#session.request(headers, options)
    this.active++
    this.taken++
    this.#watchLife()
    return stream
  }

  released(): void {
    this.active--
    if (this.active === 0) {
      this.#idleSinceMs = this.#clock.now()
      this.#pingTimer?.()
      this.#pingTimer = undefined
      if (this.#gone) this.#closeNow()
      else this.#watchIdle(this.#options.idleTimeoutMs)
    }
    this.#events.onRoom(this)
  }

  /** Takes nothing new and closes when its streams are done. */
  retire(): void {
    this.#leave()
    if (this.active === 0) this.#closeNow()
  }

  destroy(why: string): void {
    this.#failure ??= why
    if (!this.ready) this.#refused('connect-failure', why)
    this.#leave()
    // With a code: streams that are reset with NO_ERROR would look complete.
    if (!this.#session.destroyed) this.#session.destroy(new Error(why), constants.NGHTTP2_CANCEL)
    this.#duplex.destroy()
  }

  #refused(reason: UpstreamFailure['reason'], detail: string): void {
    this.#settingsTimer?.()
    if (this.#gone) return
    this.#gone = true
    const http1 = this.#start().startsWith('HTTP/')
    this.#events.onGone(this, { reason: http1 ? 'upstream-protocol' : reason, detail: http1 ? wrongProtocol : detail, maybeProcessed: false, staleConnection: false })
  }

  #leave(): void {
    this.#settingsTimer?.()
    this.#idleTimer?.()
    if (this.#gone) return
    this.#gone = true
    this.#events.onGone(this, undefined)
  }

  #closeNow(): void {
    if (!this.#session.destroyed && !this.#session.closed) this.#session.close()
    // node ends its half and then waits for the peer's; a peer that keeps its own open is not waited for.
    if (!this.#duplex.destroyed) this.#graceTimer ??= this.#clock.after(graceMs, () => this.#duplex.destroy())
  }

  #watchIdle(delayMs: number): void {
    this.#idleTimer ??= this.#clock.after(delayMs, () => {
      this.#idleTimer = undefined
      if (this.#gone || this.active > 0) return
      const restMs = this.#idleSinceMs + this.#options.idleTimeoutMs - this.#clock.now()
      if (restMs > 0) this.#watchIdle(restMs)
      else this.retire()
    })
  }

  #watchLife(): void {
    this.#pingTimer ??= this.#clock.after(this.#options.pingIntervalMs, () => {
      this.#pingTimer = undefined
      if (this.active === 0 || this.#session.destroyed || this.#session.closed) return
      const cancel = this.#clock.after(this.#options.pingTimeoutMs, () => this.destroy(`no answer to a PING within ${this.#options.pingTimeoutMs} ms`))
      this.#session.ping(() => {
        cancel()
        if (this.active > 0) this.#watchLife()
      })
    })
  }
}
