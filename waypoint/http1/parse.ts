import type { ServerLimits, BodyLength, HeaderList, IncomingHead } from '../exchange.ts'
import { parseAuthority } from './authority.ts'
import { byteClass, CR, LF, SP, targetByte, tokenByte } from './bytes.ts'
import { readFields, upgradeOf } from './fields.ts'
import { malformed } from './refusal.ts'
import type { Refusal } from './refusal.ts'

/** The limits that a head is read under. */
export type HeadLimits = Pick<ServerLimits, 'maxHeaderBytes' | 'maxHeaders' | 'maxTargetBytes'>

/** A request head and what the connection has to know of it. */
export interface RequestHead {
  readonly kind: 'request'
  readonly head: IncomingHead
  /** undefined: chunked */
  readonly length: BodyLength
  readonly http10: boolean
  /** Whether the client wants the connection to stay. */
  readonly keepAlive: boolean
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectContinue: boolean
}

/** A response head. How its body is framed also hangs on the request's method: see `ResponseHead.length`. */
export interface ResponseHead {
  readonly kind: 'response'
  readonly status: number
  readonly headers: HeaderList
  /** `Content-Length`, if there is one. */
  readonly contentLength: number | undefined
  readonly chunked: boolean
  readonly keepAlive: boolean
  readonly upgrade: string | undefined
}

/** A method longer than this is none that anybody uses. */
export const maxMethodBytes = 32

/** Where the parts of a request line stand. */
export interface RequestLine {
  readonly kind: 'request-line'
  readonly methodEnd: number
  readonly targetEnd: number
  readonly http10: boolean
  /** Index of the first field line. */
  readonly next: number
}

/**
 * Reads the request line at `from`. On a line that is cut short it refuses for what is wrong in the bytes that are there, or for its end.
 * Source: RFC 9112 §3.
 */
export function readRequestLine(buf: Buffer, from: number, maxTargetBytes: number): RequestLine | Refusal {
  let pos = from
  while (((byteClass[buf[pos] ?? 0] ?? 0) & tokenByte) !== 0 && pos - from <= maxMethodBytes) pos++
  if (pos === from) return malformed('the request line does not start with a method (RFC 9112 §3.1)')
  if (pos - from > maxMethodBytes) return malformed('the method is too long')
  if (buf[pos] !== SP) return malformed('the method is not a token and one space (RFC 9112 §3)')
  const methodEnd = pos++
  const end = pos + maxTargetBytes
  while (pos <= end && ((byteClass[buf[pos] ?? 0] ?? 0) & targetByte) !== 0) pos++
  if (pos > end) return { kind: 'refused', reason: 'uri-too-long', detail: 'the request target is longer than this proxy accepts' }
  if (pos === methodEnd + 1) return malformed('the request line has no target after one space (RFC 9112 §3)')
  if (buf[pos] === CR || buf[pos] === LF) return malformed('the request line has no version: HTTP/0.9 (RFC 9112 §3)')
  if (buf[pos] !== SP) return malformed('the request target has a character that may not be there (RFC 9112 §3.2)')
  const minor = readVersion(buf, pos + 1)
  if (minor === undefined) return malformed('the version is not HTTP/1.1 or HTTP/1.0 (RFC 9112 §2.3)')
  const next = pos + 9
  if (buf[next] !== CR || buf[next + 1] !== LF) return malformed('the request line does not end with CRLF after its version (RFC 9112 §3)')
  return { kind: 'request-line', methodEnd, targetEnd: pos, http10: minor === 0, next: next + 2 }
}

/**
 * Reads a whole request head.
 * @param to index after the empty line
 * @param scheme of the connection
 */
export function parseRequest(buf: Buffer, from: number, to: number, limits: HeadLimits, scheme: 'http' | 'https'): RequestHead | Refusal {
  const line = readRequestLine(buf, from, limits.maxTargetBytes)
  if (line.kind === 'refused') return line
  const fields = readFields(buf, line.next, to - 2, limits.maxHeaders)
  if ('kind' in fields) return fields
  const { http10 } = line
  const method = buf.toString('latin1', from, line.methodEnd)
  let target = buf.toString('latin1', line.methodEnd + 1, line.targetEnd)
  if (http10 && fields.chunked) return malformed('Transfer-Encoding stands in an HTTP/1.0 request (RFC 9112 §6.1)')
  if (fields.host === undefined && !http10) return malformed('Host is missing (RFC 9112 §3.2)')
  let authority = fields.host === undefined ? '' : parseAuthority(fields.host)
  if (authority === undefined) return malformed('Host is not a host with an optional port (RFC 9112 §3.2)')
  if (method === 'CONNECT') return malformed('CONNECT is not served inside a tunnel')
  if (buf[line.methodEnd + 1] !== 0x2f && !(target === '*' && method === 'OPTIONS')) {
    const absolute = splitAbsolute(target, scheme, method)
    if (absolute === undefined) return malformed('the request target has a form that does not fit the method (RFC 9112 §3.2)')
    // RFC 9112 §3.2.2: the target's authority replaces Host.
    authority = absolute.authority
    target = absolute.target
  }
  const length = fields.chunked ? undefined : (fields.contentLength ?? 0)
  // A server may ignore Upgrade; one that has a body would leave it unclear which protocol the body's bytes belong to.
  const upgrade = fields.upgradeNamed && length === 0 && !http10 ? upgradeOf(fields) : undefined
  const { headers } = fields
  if (http10 && fields.expectContinue) dropExpect(headers)
  return {
    kind: 'request',
    head:
      upgrade === undefined
        ? { version: 'http1', method, scheme, authority, target, headers }
        : { version: 'http1', method, scheme, authority, target, headers, upgrade },
    length,
    http10,
    keepAlive: !fields.close && (!http10 || fields.keepAlive),
    expectContinue: fields.expectContinue && !http10 && length !== 0,
  }
}

/** Reads the status line at `from`. @returns the status and the index of the first field line. Source: RFC 9112 §4. */
export function readStatusLine(buf: Buffer, from: number): { readonly kind: 'status-line'; status: number; http10: boolean; next: number } | Refusal {
  const minor = readVersion(buf, from)
  if (minor === undefined) return malformed('the answer does not start with HTTP/1.1 or HTTP/1.0')
  const status = ((buf[from + 9] ?? 0) - 48) * 100 + ((buf[from + 10] ?? 0) - 48) * 10 + ((buf[from + 11] ?? 0) - 48)
  if (buf[from + 8] !== SP || !isDigit(buf[from + 9]) || !isDigit(buf[from + 10]) || !isDigit(buf[from + 11]) || status < 100 || status > 599) {
    return malformed('the status is not three digits from 100 to 599')
  }
  let pos = from + 12
  // Servers that leave out the space before an empty reason phrase are common and harmless.
  if (buf[pos] !== SP && buf[pos] !== CR) return malformed('the status is not followed by a space')
  while (((byteClass[buf[pos] ?? 0] ?? 0) & 2) !== 0) pos++
  if (buf[pos] !== CR || buf[pos + 1] !== LF) return malformed('the status line does not end with CRLF')
  return { kind: 'status-line', status, http10: minor === 0, next: pos + 2 }
}

/** Reads a whole response head. @param to index after the empty line */
export function parseResponse(buf: Buffer, from: number, to: number, limits: HeadLimits): ResponseHead | Refusal {
  const line = readStatusLine(buf, from)
  if (line.kind === 'refused') return line
  const fields = readFields(buf, line.next, to - 2, limits.maxHeaders)
  if ('kind' in fields) return fields
  if (line.http10 && fields.chunked) return malformed('Transfer-Encoding stands in an HTTP/1.0 answer (RFC 9112 §6.1)')
  return {
    kind: 'response',
    status: line.status,
    headers: fields.headers,
    contentLength: fields.contentLength,
    chunked: fields.chunked,
    keepAlive: !fields.close && (!line.http10 || fields.keepAlive),
    upgrade: upgradeOf(fields),
  }
}

/** The minor version of `HTTP/1.x` at `pos`, x = 0 or 1. */
function readVersion(buf: Buffer, pos: number): 0 | 1 | undefined {
  if (buf[pos] !== 0x48 || buf[pos + 1] !== 0x54 || buf[pos + 2] !== 0x54 || buf[pos + 3] !== 0x50 || buf[pos + 4] !== 0x2f) return undefined
  if (buf[pos + 5] !== 0x31 || buf[pos + 6] !== 0x2e) return undefined
  return buf[pos + 7] === 0x31 ? 1 : buf[pos + 7] === 0x30 ? 0 : undefined
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57
}

function splitAbsolute(target: string, scheme: string, method: string): { authority: string; target: string } | undefined {
  const found = /^([a-z]+):\/\/([^/?]*)(.*)$/i.exec(target)
  if (found === null || found[1]?.toLowerCase() !== scheme) return undefined
  const authority = parseAuthority(found[2] ?? '')
  if (authority === undefined) return undefined
  const rest = found[3] ?? ''
  if (rest === '') return { authority, target: method === 'OPTIONS' ? '*' : '/' }
  return { authority, target: rest.startsWith('/') ? rest : `/${rest}` }
}

/** RFC 9110 §10.1.1: an HTTP/1.0 client's expectation is ignored. */
function dropExpect(headers: HeaderList): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) if (headers[i] === 'expect') headers.splice(i, 2)
}
