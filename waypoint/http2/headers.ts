import type { OutgoingHttpHeaders } from 'node:http2'
import type { ReasonCode } from '../../src/model/reasons.ts'
import type { BodyLength, HeaderList, IncomingHead, ServerLimits } from '../exchange.ts'
import { parseAuthority } from '../http1/authority.ts'

/** Why a head is refused. */
export interface Refusal {
  readonly kind: 'refusal'
  readonly reason: Extract<ReasonCode, 'malformed-request' | 'header-too-large' | 'uri-too-long'>
  readonly detail: string
}

/** A request's head as read from a HEADERS frame. */
export interface RequestFields {
  readonly kind: 'request'
  readonly head: IncomingHead
  readonly length: BodyLength
}

/** An answer's head as read from a HEADERS frame. `trailer`: the field of that name is there. */
export interface ResponseFields {
  readonly status: number
  readonly headers: HeaderList
  readonly contentLength: number | undefined
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const lowerToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
/** Visible ASCII without `#`, which a target never carries. */
const targetPattern = /^(?:\/[!"$-~]*|\*)$/
/** What no field value may hold: control characters but tab, and what is no byte. Source: RFC 9110 §5.5. */
const badValue = /[^\t -~\x80-\xff]/
const lengthPattern = /^\d{1,15}$/

/** RFC 9113 §6.5.2 counts 32 bytes of overhead for each field. */
const fieldOverhead = 32

/** A header that only concerns one connection, or that the framing carries: never in a HeaderList. Source: RFC 9113 §8.2.2. */
function isConnectionSpecific(name: string): boolean {
  switch (name) {
    case 'connection':
    case 'keep-alive':
    case 'proxy-connection':
    case 'transfer-encoding':
    case 'upgrade':
    case 'http2-settings':
      return true
    default:
      return false
  }
}

function malformed(detail: string): Refusal {
  return { kind: 'refusal', reason: 'malformed-request', detail }
}

/**
 * Reads and judges a request's head. nghttp2 has refused most of what is malformed by then; what HTTP/1.1 or a policy could read in
 * another way is checked here again.
 * @param raw as node:http2 gives it: name, value, …
 * @param ended whether END_STREAM came with it
 * Source: RFC 9113 §8.2, §8.3.
 */
export function readRequest(raw: readonly string[], ended: boolean, limits: ServerLimits): RequestFields | Refusal {
  let method = ''
  let scheme = ''
  let target = ''
  let authority: string | undefined
  let host: string | undefined
  let contentLength: string | undefined
  let cookieAt = -1
  let bytes = 0
  const headers: HeaderList = []
  if (raw.length / 2 > limits.maxHeaders + 4) return { kind: 'refusal', reason: 'header-too-large', detail: `more than ${limits.maxHeaders} header fields` }
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    bytes += name.length + value.length + fieldOverhead
    switch (name) {
      case ':method':
        method = value
        continue
      case ':scheme':
        scheme = value
        continue
      case ':path':
        target = value
        continue
      case ':authority':
        authority = value
        continue
      case 'host':
        if (host !== undefined) return malformed('Host is repeated (RFC 9110 §7.2)')
        host = value
        continue
      case 'content-length':
        if (contentLength !== undefined) return malformed('Content-Length is repeated (RFC 9110 §8.6)')
        contentLength = value
        continue
      case 'te':
        if (value !== 'trailers') return malformed('TE has another value than `trailers` (RFC 9113 §8.2.2)')
        headers.push(name, value)
        continue
      case 'cookie':
        // RFC 9113 §8.2.3: crumbs become one line before anything but HTTP/2 sees them.
        if (badValue.test(value)) return malformed('a header value has a control character (RFC 9113 §8.2.1)')
        if (cookieAt >= 0) headers[cookieAt] = `${headers[cookieAt] ?? ''}; ${value}`
        else cookieAt = headers.push(name, value) - 1
        continue
    }
    if (name.startsWith(':')) return malformed(`pseudo-header ${name} is not one of a request's (RFC 9113 §8.3.1)`)
    if (!lowerToken.test(name)) return malformed('a header name is not a token in lower case (RFC 9113 §8.2.1)')
    if (isConnectionSpecific(name)) return malformed(`${name} is connection-specific (RFC 9113 §8.2.2)`)
    if (badValue.test(value)) return malformed('a header value has a control character (RFC 9113 §8.2.1)')
    headers.push(name, value)
  }
  if (bytes > limits.maxHeaderBytes) return { kind: 'refusal', reason: 'header-too-large', detail: `header section of ${bytes} bytes, limit ${limits.maxHeaderBytes}` }
  if (!token.test(method)) return malformed(':method is not a token (RFC 9110 §9.1)')
  if (method === 'CONNECT') return malformed('CONNECT is not served inside the mesh\'s tunnel')
  if (scheme !== 'http' && scheme !== 'https') return malformed(':scheme is neither http nor https (RFC 9113 §8.3.1)')
  if (target.length > limits.maxTargetBytes) return { kind: 'refusal', reason: 'uri-too-long', detail: `target of ${target.length} bytes, limit ${limits.maxTargetBytes}` }
  if (!targetPattern.test(target) || (target === '*' && method !== 'OPTIONS')) return malformed(':path is not in origin form (RFC 9113 §8.3.1)')
  const named = parseAuthority(authority ?? host ?? '')
  if (named === undefined) return malformed(':authority is missing or malformed (RFC 9113 §8.3.1)')
  if (authority !== undefined && host !== undefined && parseAuthority(host) !== named) return malformed(':authority and Host differ (RFC 9113 §8.3.1)')
  if (contentLength !== undefined && !lengthPattern.test(contentLength)) return malformed('Content-Length is not one plain number (RFC 9110 §8.6)')
  return {
    kind: 'request',
    head: { version: 'http2', method, scheme, authority: named, target, headers },
    length: ended ? 0 : contentLength === undefined || contentLength === '0' ? undefined : Number(contentLength),
  }
}

/**
 * Reads an answer's head, final or informational.
 * @returns a detail in words if it is malformed
 */
export function readResponse(raw: readonly string[]): ResponseFields | string {
  let status = 0
  let contentLength: number | undefined
  const headers: HeaderList = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    if (name === ':status') {
      status = Number(value)
    } else if (name === 'content-length') {
      if (contentLength !== undefined || !lengthPattern.test(value)) return 'the answer\'s Content-Length is not one plain number'
      contentLength = Number(value)
    } else {
      if (!lowerToken.test(name)) return 'the answer has a header name that is not a token in lower case'
      if (badValue.test(value)) return `the answer's header ${name} has a control character`
      if (!isConnectionSpecific(name) && name !== 'te' && name !== 'host') headers.push(name, value)
    }
  }
  if (!(status >= 100 && status <= 599)) return `the answer's status ${status} is not between 100 and 599`
  return { status, headers, contentLength }
}

/** Reads trailers; fields that have no place there (framing, routing, connection) are left out. Source: RFC 9110 §6.5.1. */
export function readTrailers(raw: readonly string[]): HeaderList {
  const trailers: HeaderList = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    if (isTrailer(name) && lowerToken.test(name) && !badValue.test(value)) trailers.push(name, value)
  }
  return trailers
}

function isTrailer(name: string): boolean {
  return !name.startsWith(':') && name !== 'content-length' && name !== 'host' && name !== 'te' && name !== 'trailer' && !isConnectionSpecific(name)
}

/**
 * Appends `headers` to the flat list `out`, as it goes on the wire.
 * @throws Error if a name or value can't stand in a header section. node:http2 packs fields with NUL between them and checks no value,
 * so this is what keeps a value set by a filter from becoming a field of its own.
 */
export function appendHeaders(out: string[], headers: Readonly<HeaderList>): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    if (badValue.test(value)) throw new Error(`header ${name} has a character that no header value may have`)
    if (!lowerToken.test(name)) throw new Error('a header name is not a token in lower case')
    if (!isConnectionSpecific(name)) out.push(name, value)
  }
}

/** Headers as the object that `sendTrailers` and `additionalHeaders` insist on; repeated names become arrays. Same errors as `appendHeaders`. */
export function headerObject(headers: Readonly<HeaderList>, trailers: boolean): OutgoingHttpHeaders {
  const list: string[] = []
  appendHeaders(list, headers)
  const object = Object.create(null) as OutgoingHttpHeaders
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? ''
    const value = list[i + 1] ?? ''
    if (trailers && !isTrailer(name)) continue
    const before = object[name]
    if (before === undefined) object[name] = value
    else if (Array.isArray(before)) before.push(value)
    else object[name] = [String(before), value]
  }
  return object
}

/** Whether the header `trailer` announces trailers. */
export function announcesTrailers(headers: Readonly<HeaderList>): boolean {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'trailer') return true
  return false
}
