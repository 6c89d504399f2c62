import { constants } from 'node:http2'
import type { ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2'
import type { Clock } from '../../src/kit/clock.ts'
import { closeOnceAnswered } from '../../src/transport/answered.ts'
import { isGrpc } from '../grpc/status.ts'
import type { BodyReader, HeaderList, ServerExchange } from '../exchange.ts'
import { announcesTrailers, appendHeaders, headerObject, readTrailers } from './headers.ts'
import type { RequestFields } from './headers.ts'
import { failStream } from './reset.ts'

const withoutBody: ServerStreamResponseOptions = { endStream: true }
const withTrailers: ServerStreamResponseOptions = { waitForTrailers: true }

/**
 * The exchange of one stream.
 * @param onClosed called once, when the stream is gone for good; `abandoned`: the client reset it before its answer was complete
 */
export function streamExchange(stream: ServerHttp2Stream, request: RequestFields, clock: Clock, onClosed: (abandoned: boolean) => void): ServerExchange {
  const { head, length } = request
  let reader: BodyReader | undefined
  let requestTrailers: HeaderList = []
  /** The request was read to its end, or its reader was told that this will not be. */
  let bodyOver = length === 0
  /** The stream takes nothing more: gone, reset by either side. */
  let over = false
  let abortedByUs = false
  let abandoned = false
  let headSent = false
  /** END_STREAM went out with the head. */
  let bodyless = false
  let waitsForTrailers = false
  let ended = false
  let answerTrailers: HeaderList | undefined
  let drainWatched = false

  const gone = (): void => {
    if (over) return
    over = true
    const complete = bodyless || (ended && stream.writableFinished)
    abandoned = !abortedByUs && !(complete && stream.rstCode === constants.NGHTTP2_NO_ERROR)
    if (abandoned) exchange.onClientGone?.()
    cutBody()
  }
  const cutBody = (): void => {
    if (bodyOver || reader === undefined) return
    bodyOver = true
    reader.onAbort(new Error(`the request's stream was reset (code ${stream.rstCode}) before its body was complete`))
  }
  /** The answer is complete and nobody wants the rest of the request. */
  const dropRequest = (): void => {
    if (bodyOver || stream.destroyed) return
    cutBody()
    closeOnceAnswered(stream, clock)
  }
  const abort = (): void => {
    if (over) return
    abortedByUs = true
    failStream(stream)
    gone()
  }

  const exchange: ServerExchange = {
    head,
    body: {
      length,
      start: (given) => {
        if (reader !== undefined) return
        reader = given
        if (length === 0) {
          given.onEnd([])
          return
        }
        if (over) {
          cutBody()
          return
        }
        stream.on('data', (chunk: Buffer) => {
          if (!bodyOver) given.onData(chunk)
        })
        stream.on('end', () => {
          // A reset ends the readable side as well; only the code tells.
          if (bodyOver || over || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return
          bodyOver = true
          given.onEnd(requestTrailers)
        })
      },
      pause: () => stream.pause(),
      resume: () => stream.resume(),
    },
    onClientGone: undefined,
    onDrain: undefined,
    sendInformational: (status, headers) => {
      if (over || headSent || status === 101) return
      try {
        stream.additionalHeaders({ ':status': status, ...headerObject(headers, false) })
      } catch {
        // A 1xx that can't be sent is only lost: the final answer follows.
      }
    },
    sendHead: (status, headers, answerLength) => {
      if (over || headSent) return
      headSent = true
      bodyless = answerLength === 0 || head.method === 'HEAD' || status === 204 || status === 205 || status === 304
      const out = [':status', String(status)]
      try {
        appendHeaders(out, headers)
        // A length of 0 is told by END_STREAM; writing it out would add a field that the endpoint never sent.
        if (answerLength !== undefined && answerLength > 0 && status !== 204 && status !== 205) out.push('content-length', String(answerLength))
        if (bodyless) stream.respond(out, withoutBody)
        else if (answerLength === undefined || announcesTrailers(headers) || isGrpc(headers)) {
          waitsForTrailers = true
          stream.on('wantTrailers', sendTrailers)
          stream.respond(out, withTrailers)
        } else stream.respond(out)
      } catch {
        abort()
      }
    },
    sendData: (chunk) => {
      if (over || ended || bodyless || !headSent || chunk.length === 0) return true
      if (stream.write(chunk)) return true
      if (!drainWatched) {
        drainWatched = true
        stream.on('drain', () => {
          if (!over && !ended) exchange.onDrain?.()
        })
      }
      return false
    },
    sendEnd: (trailers) => {
      if (over || ended) return
      if (!headSent) {
        abort()
        return
      }
      ended = true
      answerTrailers = trailers
      if (bodyless) {
        if (!bodyOver) setImmediate(dropRequest)
        return
      }
      if (!bodyOver && !waitsForTrailers) stream.once('finish', dropRequest)
      stream.end()
    },
    abort,
    switchProtocols: () => {
      throw new Error('HTTP/2 has no 101: only HTTP/1.1 requests carry `upgrade`')
    },
  }

  const sendTrailers = (): void => {
    try {
      stream.sendTrailers(headerObject(answerTrailers ?? [], true))
      // node:http2 sends them in its own setImmediate, which runs before this one.
      if (!bodyOver) setImmediate(dropRequest)
    } catch {
      abort()
    }
  }
  stream.on('error', ignore)
  stream.on('aborted', gone)
  stream.on('close', () => {
    gone()
    cutBody()
    onClosed(abandoned)
  })
  if (length !== 0) {
    stream.on('trailers', (_object, _flags, raw) => {
      requestTrailers = readTrailers(raw)
    })
  }
  return exchange
}

/** 'close' follows every 'error' of a stream and says all that is needed. */
function ignore(): void {}
