import type { HeaderList } from '../exchange.ts'
import { byteClass, COLON, CR, HTAB, isToken, LF, SP, tokenByte, valueByte } from './bytes.ts'
import { malformed, tooLarge } from './refusal.ts'
import type { Refusal } from './refusal.ts'

/** A field section once read: what goes on, and what only this connection had to know. */
export interface Fields {
  /** As `HeaderList` says: without host, framing and hop-by-hop fields. */
  headers: HeaderList
  /** The raw value of `Host`. */
  host: string | undefined
  contentLength: number | undefined
  chunked: boolean
  /** `Connection` says `close`. */
  close: boolean
  /** `Connection` says `keep-alive`. */
  keepAlive: boolean
  /** `Connection` says `upgrade`. */
  upgradeNamed: boolean
  /** The raw value of `Upgrade`, several lines joined. */
  upgrade: string | undefined
  expectContinue: boolean
}

/** Fields that `Connection` may not name: taking them away would change how the message is framed, routed or judged. */
const neverNominated: ReadonlySet<string> = new Set([
  'host', 'content-length', 'transfer-encoding', 'content-type', 'content-encoding', 'content-range', 'expect', 'authorization', 'cookie',
  'set-cookie', 'location', 'cache-control', 'forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-client-cert',
])

/** 15 digits stay exact as a number. */
const lengthPattern = /^\d{1,15}$/

/**
 * Reads the field lines in `buf` from `from` to `to` (the start of the empty line that ends the section, so the last line's CRLF is inside).
 * Errors come in the order of their position, so that the answer does not depend on how the bytes arrived.
 * Source: RFC 9112 §5, §6.
 */
export function readFields(buf: Buffer, from: number, to: number, maxFields: number): Fields | Refusal {
  const headers: HeaderList = []
  const fields: Fields = {
    headers, host: undefined, contentLength: undefined, chunked: false, close: false, keepAlive: false, upgradeNamed: false,
    upgrade: undefined, expectContinue: false,
  }
  if (from >= to) return fields
  const text = buf.toString('latin1', from, to)
  const lower = text.toLowerCase()
  let nominated: string[] | undefined
  let count = 0
  let pos = from
  while (pos < to) {
    const nameStart = pos
    while (((byteClass[buf[pos] ?? 0] ?? 0) & tokenByte) !== 0) pos++
    if (buf[pos] !== COLON || pos === nameStart) return malformed(nameFault(buf[pos] ?? 0, pos === nameStart))
    if (++count > maxFields) return tooLarge('there are more header fields than this proxy accepts')
    const nameEnd = pos++
    while (buf[pos] === SP || buf[pos] === HTAB) pos++
    const valueStart = pos
    while (((byteClass[buf[pos] ?? 0] ?? 0) & valueByte) !== 0) pos++
    if (buf[pos] !== CR) return malformed(buf[pos] === LF ? bareLf : 'a header value has a control character')
    if (buf[pos + 1] !== LF) return malformed('a CR stands without LF (RFC 9112 §2.2)')
    let valueEnd = pos
    pos += 2
    while (valueEnd > valueStart && (buf[valueEnd - 1] === SP || buf[valueEnd - 1] === HTAB)) valueEnd--
    const name = lower.slice(nameStart - from, nameEnd - from)
    const value = text.slice(valueStart - from, valueEnd - from)
    switch (name.length) {
      case 2:
        if (name !== 'te') break
        if (/(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(value)) headers.push('te', 'trailers')
        continue
      case 4:
        if (name !== 'host') break
        if (fields.host !== undefined) return malformed('Host is repeated (RFC 9112 §3.2)')
        fields.host = value
        continue
      case 6:
        if (name === 'expect' && value.toLowerCase() === '100-continue') fields.expectContinue = true
        break
      case 7:
        if (name !== 'upgrade') break
        fields.upgrade = fields.upgrade === undefined ? value : `${fields.upgrade},${value}`
        continue
      case 10:
        if (name === 'keep-alive') continue
        if (name !== 'connection') break
        for (const each of value.split(',')) {
          const option = each.trim().toLowerCase()
          if (option === 'close') fields.close = true
          else if (option === 'keep-alive') fields.keepAlive = true
          else if (option === 'upgrade') fields.upgradeNamed = true
          else if (option !== '' && option !== 'te') {
            if (!isToken(option)) return malformed('Connection has a value that is not a token (RFC 9110 §7.6.1)')
            if (neverNominated.has(option)) return malformed('Connection names a field that is not hop-by-hop (RFC 9110 §7.6.1)')
            ;(nominated ??= []).push(option)
          }
        }
        continue
      case 14:
        if (name !== 'content-length') break
        if (fields.contentLength !== undefined) return malformed('Content-Length is repeated (RFC 9112 §6.3)')
        if (fields.chunked) return malformed(twoLengths)
        if (!lengthPattern.test(value)) return malformed('Content-Length is not one plain number (RFC 9110 §8.6)')
        fields.contentLength = Number(value)
        continue
      case 16:
        if (name === 'proxy-connection') continue
        break
      case 17:
        if (name !== 'transfer-encoding') break
        if (fields.chunked) return malformed('Transfer-Encoding is repeated (RFC 9112 §6.1)')
        if (fields.contentLength !== undefined) return malformed(twoLengths)
        if (value.toLowerCase() !== 'chunked') return malformed('Transfer-Encoding is not exactly `chunked` (RFC 9112 §6.1)')
        fields.chunked = true
        continue
    }
    headers.push(name, value)
  }
  if (nominated !== undefined) fields.headers = without(headers, nominated)
  return fields
}

const bareLf = 'a LF stands without CR (RFC 9112 §2.2)'
const twoLengths = 'Content-Length and Transfer-Encoding are both there (RFC 9112 §6.1)'

function nameFault(byte: number, first: boolean): string {
  if (first && (byte === SP || byte === HTAB)) return 'a header line starts with white space: obs-fold (RFC 9112 §5.2)'
  if (byte === SP || byte === HTAB) return 'white space stands between a header name and its colon (RFC 9112 §5.1)'
  if (byte === CR || byte === LF) return first ? 'a CR or LF stands alone (RFC 9112 §2.2)' : 'a header line has no colon (RFC 9112 §5)'
  return first && byte === COLON ? 'a header name is empty (RFC 9112 §5)' : 'a header name is not a token (RFC 9110 §5.1)'
}

function without(headers: HeaderList, names: readonly string[]): HeaderList {
  const kept: HeaderList = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!names.includes(name)) kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}

/** The protocol that `fields` asks to switch to; undefined if none, several, or `h2c` (RFC 9113 took that one away). */
export function upgradeOf(fields: Fields): string | undefined {
  if (!fields.upgradeNamed || fields.upgrade === undefined || fields.upgrade === '') return undefined
  const protocol = fields.upgrade.toLowerCase()
  return /^[a-z0-9!#$%&'*+\-.^_`|~]+(?:\/[a-z0-9!#$%&'*+\-.^_`|~]+)?$/.test(protocol) && !protocol.startsWith('h2c') ? protocol : undefined
}
