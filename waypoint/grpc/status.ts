/** gRPC status codes by name. Source: grpc/doc/statuscodes.md. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const

/** A gRPC status code, 0 to 16. */
export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus]

const grpcContentType = /^application\/grpc(?:$|[+; \t])/i

/**
 * Whether a request or an answer is gRPC: content-type `application/grpc`, alone or with a message format (`+proto`) or parameters.
 * gRPC-Web (`application/grpc-web`) is not: it carries its status in the body.
 * Source: grpc/doc/PROTOCOL-HTTP2.md.
 */
export function isGrpc(headers: readonly string[]): boolean {
  const contentType = headerValue(headers, 'content-type')
  return contentType !== undefined && grpcContentType.test(contentType)
}

/** First value of the header `name` (lower case), or undefined. */
export function headerValue(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1]
  return undefined
}

/**
 * The status that a gRPC client makes of an HTTP answer without `grpc-status`.
 * Source: grpc/doc/http-grpc-status-mapping.md.
 */
export function grpcStatusOfHttp(status: number): GrpcStatus {
  switch (status) {
    case 400:
      return grpcStatus.internal
    case 401:
      return grpcStatus.unauthenticated
    case 403:
      return grpcStatus.permissionDenied
    case 404:
      return grpcStatus.unimplemented
    case 429:
    case 502:
    case 503:
    case 504:
      return grpcStatus.unavailable
    default:
      return grpcStatus.unknown
  }
}

const httpStatuses: readonly number[] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]

/**
 * The HTTP status that says the same as a gRPC status: for metrics and logs that speak of both, and for retry codes.
 * @returns 500 for codes that gRPC does not define
 * Source: google/rpc/code.proto.
 */
export function httpStatusOfGrpc(status: number): number {
  return httpStatuses[status] ?? 500
}

/**
 * Reads `grpc-status` from trailers, or from the headers of a trailers-only answer.
 * @returns undefined if there is none or if it is not a decimal number
 */
export function grpcStatusOf(headers: readonly string[]): number | undefined {
  const value = headerValue(headers, 'grpc-status')
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined
}

/**
 * Percent-encodes text for `grpc-message`: UTF-8 bytes other than printable ASCII, and `%` itself.
 * Source: grpc/doc/PROTOCOL-HTTP2.md, "Status-Message".
 */
export function encodeGrpcMessage(text: string): string {
  if (!/[^ -$&-~]/.test(text)) return text
  let encoded = ''
  for (const byte of Buffer.from(text, 'utf8')) {
    encoded += byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** Reads a `grpc-message`; what is not valid percent-encoding stays as it is, since the protocol forbids to throw it away. */
export function decodeGrpcMessage(message: string): string {
  if (!message.includes('%')) return message
  const bytes: number[] = []
  for (let i = 0; i < message.length; i++) {
    const hex = message[i] === '%' ? message.slice(i + 1, i + 3) : ''
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes.push(Number.parseInt(hex, 16))
      i += 2
    } else bytes.push(message.charCodeAt(i) & 0xff)
  }
  return Buffer.from(bytes).toString('utf8')
}
