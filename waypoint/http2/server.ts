import { constants, performServerHandshake } from 'node:http2'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../../src/kit/clock.ts'
import { reason as reasonOf } from '../../src/model/reasons.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import { holdStreamsLightly } from '../../src/transport/streams.ts'
import type { ExchangeHandler, ServerConnection, ServerLimits } from '../exchange.ts'
import { grpcAnswer } from '../grpc/answer.ts'
import { isGrpc } from '../grpc/status.ts'
import { readRequest } from './headers.ts'
import type { Refusal } from './headers.ts'
import { streamExchange } from './server-exchange.ts'
import { sessionConnection } from './uncoupled.ts'

export interface Http2ServerOptions {
  readonly limits: ServerLimits
  readonly clock: Clock
  /** Hears of every request and connection that is refused for what it looks like on the wire. */
  readonly onProtocolError: (reason: ReasonCode, detail: string) => void
  /** Streams that a client may have open at once on this connection; 1024 if not given. */
  readonly maxConcurrentStreams?: number
  /** Bytes of a request body that wait unread in each stream; 262144 if not given. */
  readonly streamWindow?: number
  /** Resets of a client that are taken at once, and how many more each second: CVE-2023-44487. 1000 and 100 if not given. */
  readonly resetBurst?: number
  /** See `resetBurst`. */
  readonly resetRate?: number
}

/** Requests that are refused before the connection itself is: each of them costs us more than its sender. */
const maxRefusals = 100
/** Milliseconds that the peer has to close its side once all is answered. */
const graceMs = 1000

/**
 * Serves HTTP/2 with prior knowledge on a connection: a socket, or a stream of another HTTP/2 connection (a tunnel). Bytes that were
 * read to find out the protocol must have been put back with `unshift`.
 * Source: RFC 9113.
 */
export function serveHttp2(connectionStream: Duplex, handler: ExchangeHandler, options: Http2ServerOptions): ServerConnection {
  const { limits, clock, onProtocolError, resetBurst = 1000, resetRate = 100 } = options
  const { stream, window } = sessionConnection(connectionStream)
  const session = performServerHandshake(stream, {
    // Whatever the sender repeats goes on as it came; what must not be repeated is checked in `readRequest`.
    strictSingleValueFields: false,
    // Beyond these nghttp2 resets the stream; below them `readRequest` answers 431 with words.
    maxHeaderListPairs: 2 * limits.maxHeaders + 8,
    // Held back by windows, not by this: a proxy's slow readers must not make it refuse new streams.
    maxSessionMemory: 256,
    maxSendHeaderBlockLength: 1024 * 1024,
    // nghttp2 counts resets as well, but goes on to open every stream of what it has read by then; `onAbandoned` comes first.
    streamResetBurst: 2 * resetBurst,
    streamResetRate: 2 * resetRate,
    settings: {
      enablePush: false,
      maxConcurrentStreams: options.maxConcurrentStreams ?? 1024,
      initialWindowSize: options.streamWindow ?? 256 * 1024,
      maxFrameSize: 64 * 1024,
      maxHeaderListSize: 2 * limits.maxHeaderBytes,
    },
  })
  holdStreamsLightly(session)
  let active = 0
  let refusals = 0
  let resetsLeft = resetBurst
  let resetsAtMs = clock.now()
  let idleSinceMs = clock.now()
  let idleTimer: Cancel | undefined
  let graceTimer: Cancel | undefined
  let draining = false
  let greeted = false

  const watchIdle = (delayMs: number): void => {
    idleTimer ??= clock.after(delayMs, () => {
      idleTimer = undefined
      if (session.destroyed || active > 0) return
      const restMs = idleSinceMs + limits.idleTimeoutMs - clock.now()
      if (restMs > 0) watchIdle(restMs)
      else connection.drain()
    })
  }
  const onStreamClosed = (abandoned: boolean): void => {
    active--
    if (abandoned) onAbandoned()
    if (active > 0) return
    idleSinceMs = clock.now()
    if (draining && session.closed) closeSoon()
    else watchIdle(limits.idleTimeoutMs)
  }
  /** A peer that does not close its side when all is answered is not waited for. */
  const closeSoon = (): void => {
    graceTimer?.()
    graceTimer = clock.after(graceMs, () => stream.destroy())
  }
  const onAbandoned = (): void => {
    const nowMs = clock.now()
    resetsLeft = Math.min(resetBurst, resetsLeft + ((nowMs - resetsAtMs) / 1000) * resetRate) - 1
    resetsAtMs = nowMs
    if (resetsLeft < 0) calm(`a client that reset more than ${resetBurst} requests at once (CVE-2023-44487)`)
  }
  const onRefused = (): void => {
    if (++refusals === maxRefusals) calm(`${maxRefusals} refused requests on one connection`)
  }
  const calm = (detail: string): void => {
    if (session.destroyed) return
    onProtocolError('malformed-request', detail)
    session.destroy(new Error(detail), constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  session.on('stream', (each: ServerHttp2Stream, _object: unknown, flags: number, raw: readonly string[]) => {
    active++
    each.on('error', () => {})
    if (each.destroyed || each.aborted) {
      // Reset in the same read as its head: there is nobody to answer, and its 'close' may be behind us.
      onStreamClosed(true)
      return
    }
    const request = readRequest(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0, limits)
    if (request.kind === 'refusal') {
      each.on('close', () => onStreamClosed(false))
      onProtocolError(request.reason, request.detail)
      refuse(each, request, raw)
      onRefused()
      return
    }
    handler(streamExchange(each, request, clock, onStreamClosed))
  })
  session.on('error', (error: Error & { readonly code?: unknown }) => {
    if (typeof error.code === 'string' && error.code.startsWith('ERR_HTTP2')) onProtocolError('malformed-request', `HTTP/2: ${error.message}`)
  })
  session.once('remoteSettings', () => {
    greeted = true
    cancelGreeting()
  })
  session.once('close', () => {
    cancelGreeting()
    idleTimer?.()
    graceTimer?.()
    if (!stream.destroyed) stream.destroy()
  })
  // A tunnel may be half-closed, an HTTP/2 connection not: without its client's frames nothing on it can be complete.
  stream.once('end', () => {
    if (!session.destroyed) setImmediate(() => connection.destroy())
  })
  session.setLocalWindowSize(window)
  const cancelGreeting = clock.after(limits.headTimeoutMs, () => {
    if (greeted || session.destroyed) return
    onProtocolError('malformed-request', `no HTTP/2 preface and SETTINGS within ${limits.headTimeoutMs} ms`)
    connection.destroy()
  })
  watchIdle(limits.idleTimeoutMs)

  const connection: ServerConnection = {
    drain: () => {
      if (draining || session.destroyed) return
      draining = true
      // One GOAWAY, not the two that RFC 9113 §6.8 describes: once node:http2 has sent any, nghttp2 ignores new streams, whatever the
      // last stream was said to be. Its id tells the client which requests it may safely send again elsewhere.
      session.close()
      if (active === 0) closeSoon()
    },
    destroy: () => {
      // With a code: without one node resets its streams with NO_ERROR, and the client takes a cut answer for a whole one.
      if (!session.destroyed) session.destroy(new Error('connection destroyed'), constants.NGHTTP2_INTERNAL_ERROR)
      stream.destroy()
    },
  }
  return connection
}

function refuse(stream: ServerHttp2Stream, refusal: Refusal, raw: readonly string[]): void {
  if (stream.destroyed) return
  try {
    if (isGrpc(raw)) {
      stream.respond([':status', '200', ...grpcAnswer(refusal.reason, refusal.detail).headers], { endStream: true })
      return
    }
    const { status, message } = reasonOf(refusal.reason)
    stream.respond([':status', String(status), 'content-type', 'text/plain; charset=utf-8', 'x-waypoint-reason', refusal.reason])
    stream.end(`${message}: ${refusal.detail}\n`)
  } catch {
    stream.destroy(new Error('refused'))
  }
}
