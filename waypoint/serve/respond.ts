import { reason as reasonOf, type ReasonCode } from '../../src/model/reasons.ts'
import type { LocalAnswer } from '../compiled.ts'
import type { HeaderList, ServerExchange } from '../exchange.ts'
import { localAnswerHeaders } from '../grpc/answer.ts'

/** Says why the proxy answered by itself; only mesh members get here, so everybody may see it. */
export const reasonHeader = 'x-waypoint-reason'

/** Seconds after which a caller may try again, for the reasons that pass by themselves. */
const retryAfterSeconds: Partial<Record<ReasonCode, number>> = { 'overload': 1, 'draining': 1, 'no-configuration': 1, 'rate-limited': 1 }

export interface ReasonAnswer {
  readonly code: ReasonCode
  /** What happened this time, in words; '' for nothing. */
  readonly detail: string
  /** Whose statuses the answer carries, if not those of `code`: the failure that was the last of several tries. */
  readonly statusOf?: ReasonCode
}

/** An answer ready to be sent. */
export interface Answer {
  readonly status: number
  readonly grpcStatus: number | undefined
  readonly headers: HeaderList
  readonly body: string
  readonly close: boolean
}

/**
 * The answer for a row of the reason table.
 * @param grpc whether the caller speaks gRPC: then it is trailers-only
 */
export function answerOf({ code, detail, statusOf = code }: ReasonAnswer, grpc: boolean): Answer {
  const { status, grpcStatus } = reasonOf(statusOf)
  const { message, close } = reasonOf(code)
  const after = retryAfterSeconds[code]
  const retryAfter = after === undefined ? [] : ['retry-after', String(after)]
  if (grpc) {
    const headers = localAnswerHeaders(statusOf, detail === '' ? undefined : detail)
    const at = headers.indexOf(reasonHeader)
    if (at >= 0) headers[at + 1] = code
    return { status: 200, grpcStatus, headers: [...headers, ...retryAfter], body: '', close }
  }
  const headers = ['content-type', 'text/plain; charset=utf-8', reasonHeader, code, ...retryAfter]
  return { status, grpcStatus: undefined, headers, body: detail === '' ? `${message}\n` : `${message} (${detail})\n`, close }
}

/** The answer that a filter gave. */
export function answerOfFilter(local: LocalAnswer, grpc: boolean): Answer {
  if (local.reason !== undefined && grpc) return answerOf({ code: local.reason, detail: '' }, true)
  const headers = local.headers.slice()
  if (local.reason !== undefined) headers.push(reasonHeader, local.reason)
  const close = local.reason !== undefined && reasonOf(local.reason).close
  return { status: local.status, grpcStatus: undefined, headers, body: local.body, close }
}

/** Sends an answer in whole. */
export function sendAnswer(exchange: ServerExchange, answer: Answer): number {
  const body = Buffer.from(answer.body)
  exchange.sendHead(answer.status, answer.headers, body.length, answer.close)
  if (body.length > 0 && exchange.head.method !== 'HEAD') exchange.sendData(body)
  exchange.sendEnd()
  return body.length
}
