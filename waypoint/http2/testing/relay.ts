import type { ExchangeHandler, ServerExchange } from '../../exchange.ts'
import type { UpstreamFailure, UpstreamPool } from '../../upstream.ts'

/**
 * The smallest proxy that the two contracts allow: every exchange goes to the pool that `pick` names, head, body and trailers as they
 * are. A try that failed before the endpoint processed any of it is made once more, if its body was not begun.
 */
export function relay(pick: (exchange: ServerExchange) => UpstreamPool, onFailure: (failure: UpstreamFailure) => void = () => {}): ExchangeHandler {
  return (exchange) => forward(exchange, pick, onFailure, true)
}

function forward(exchange: ServerExchange, pick: (exchange: ServerExchange) => UpstreamPool, onFailure: (failure: UpstreamFailure) => void, mayRetry: boolean): void {
  const { head, body } = exchange
  let answering = false
  let kept: Buffer[] | undefined = []
  let keptBytes = 0
  let bodyEnded: string[] | undefined
  const begin = (): ReturnType<UpstreamPool['request']> => {
    return pick(exchange).request({ ...head, length: body.length }, {
      onInformational: (status, headers) => exchange.sendInformational(status, headers),
      onHead: (status, headers, length) => {
        answering = true
        kept = undefined
        exchange.sendHead(status, headers, length)
      },
      onData: (chunk) => {
        if (!exchange.sendData(chunk)) upstream.pause()
      },
      onEnd: (trailers) => exchange.sendEnd(trailers),
      onFailure: (failure) => {
        onFailure(failure)
        if (!failure.maybeProcessed && mayRetry && !answering && kept !== undefined) {
          mayRetry = false
          upstream = begin()
          for (const chunk of kept) upstream.write(chunk)
          if (bodyEnded !== undefined && body.length !== 0) upstream.end(bodyEnded)
          return
        }
        if (answering) {
          exchange.abort()
          return
        }
        exchange.sendHead(failure.reason === 'upstream-protocol' || failure.reason === 'upstream-reset' ? 502 : 503, ['x-waypoint-reason', failure.reason], 0)
        exchange.sendEnd()
      },
      onDrain: () => body.resume(),
      onUpgrade: () => {},
    })
  }
  exchange.onClientGone = () => upstream.abort()
  exchange.onDrain = () => upstream.resume()
  let upstream = begin()
  body.start({
    onData: (chunk) => {
      keptBytes += chunk.length
      if (keptBytes > 65536) kept = undefined
      kept?.push(chunk)
      if (!upstream.write(chunk)) body.pause()
    },
    onEnd: (trailers) => {
      bodyEnded = trailers
      if (body.length !== 0) upstream.end(trailers)
    },
    onAbort: () => upstream.abort(),
  })
}
