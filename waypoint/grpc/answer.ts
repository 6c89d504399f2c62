import { reason as reasonOf } from '../../src/model/reasons.ts'
import type { ReasonCode } from '../../src/model/reasons.ts'
import type { HeaderList } from '../exchange.ts'
import { encodeGrpcMessage } from './status.ts'

/**
 * Headers of an answer that the proxy makes itself to a gRPC caller. They are its trailers too ("trailers-only"): no body follows.
 * @param detail what happened this time, in words; appended to the reason's own message
 * Source: grpc/doc/PROTOCOL-HTTP2.md, "Trailers-Only".
 */
export function localAnswerHeaders(reason: ReasonCode, detail?: string): HeaderList {
  const { grpcStatus, message } = reasonOf(reason)
  return [
    'content-type', 'application/grpc',
    'grpc-status', String(grpcStatus),
    'grpc-message', encodeGrpcMessage(detail === undefined || detail === '' ? message : `${message}: ${detail}`),
    'x-waypoint-reason', reason,
  ]
}

/** The whole answer: always HTTP 200, for gRPC clients look for the status in the headers only then. To be sent with length 0. */
export function grpcAnswer(reason: ReasonCode, detail?: string): { readonly status: 200; readonly headers: HeaderList } {
  return { status: 200, headers: localAnswerHeaders(reason, detail) }
}
