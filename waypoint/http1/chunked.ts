import type { HeaderList } from '../exchange.ts'
import { byteClass, CR, HTAB, LF, SP, valueByte } from './bytes.ts'
import type { HeadLimits } from './parse.ts'
import { malformed, tooLarge } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import { SectionReader } from './section.ts'
import { parseTrailers } from './trailers.ts'

/** What one step of a body decoder gave: it needs more bytes, has `data`, reached the end (`trailers`), or refuses (`refusal`). */
export type Step = 'more' | 'data' | 'end' | 'refused'

/** Bytes of a chunk's extensions, which are checked and not forwarded. */
export const maxExtensionBytes = 1024
/** Hex digits of a chunk size: 2^52 stays exact as a number. */
const maxSizeDigits = 13

const none = Buffer.alloc(0)

type State = 'size' | 'padding' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailers' | 'done'

/** Strict decoder of one chunked body. Source: RFC 9112 §7.1. */
export class ChunkedDecoder {
  /** Index in the last chunk after what was taken of it. */
  next = 0
  /** After `data`: a view on the bytes that came in. */
  data: Buffer = none
  /** After `end`. */
  trailers: HeaderList = []
  /** After `refused`. */
  refusal: Refusal | undefined
  private state: State = 'size'
  private size = 0
  private digits = 0
  private extension = 0
  private section: SectionReader | undefined
  private readonly limits: Pick<HeadLimits, 'maxHeaderBytes' | 'maxHeaders'>

  constructor(limits: Pick<HeadLimits, 'maxHeaderBytes' | 'maxHeaders'>) {
    this.limits = limits
  }

  /** Goes on at `pos`; gives at most one piece of data a time, so that the caller may stop between them. */
  step(chunk: Buffer, pos: number): Step {
    while (pos < chunk.length) {
      const byte = chunk[pos] ?? 0
      switch (this.state) {
        case 'size': {
          const digit = hexDigit(byte)
          if (digit >= 0) {
            if (++this.digits > maxSizeDigits) return this.refuse(malformed('a chunk size is too large (RFC 9112 §7.1)'))
            this.size = this.size * 16 + digit
            pos++
            break
          }
          if (this.digits === 0) return this.refuse(malformed('a chunk does not start with its size in hex digits (RFC 9112 §7.1)'))
          this.state = 'padding'
          break
        }
        case 'padding':
          // RFC 9112 §7.1.1 allows white space only before the `;` of an extension.
          if (byte === CR && this.extension === 0) this.state = 'size-lf'
          else if (byte === 0x3b) this.state = 'extension'
          else if (byte !== SP && byte !== HTAB) return this.refuse(malformed('a chunk size is not followed by CRLF or an extension (RFC 9112 §7.1)'))
          else if (++this.extension > maxExtensionBytes) return this.refuse(malformed('the extensions of a chunk are too long'))
          pos++
          break
        case 'extension':
          if (byte === CR) this.state = 'size-lf'
          else if (((byteClass[byte] ?? 0) & valueByte) === 0) return this.refuse(malformed('a chunk extension has a control character or a lone LF (RFC 9112 §7.1.1)'))
          else if (++this.extension > maxExtensionBytes) return this.refuse(malformed('the extensions of a chunk are too long'))
          pos++
          break
        case 'size-lf':
          if (byte !== LF) return this.refuse(malformed('a chunk size line does not end with CRLF (RFC 9112 §7.1)'))
          this.state = this.size === 0 ? 'trailers' : 'data'
          pos++
          break
        case 'data': {
          const end = Math.min(chunk.length, pos + this.size)
          this.data = pos === 0 && end === chunk.length ? chunk : chunk.subarray(pos, end)
          this.size -= end - pos
          if (this.size === 0) this.state = 'data-cr'
          this.next = end
          return 'data'
        }
        case 'data-cr':
          if (byte !== CR) return this.refuse(malformed('chunk data is not followed by CRLF (RFC 9112 §7.1)'))
          this.state = 'data-lf'
          pos++
          break
        case 'data-lf':
          if (byte !== LF) return this.refuse(malformed('chunk data is not followed by CRLF (RFC 9112 §7.1)'))
          this.state = 'size'
          this.digits = 0
          this.extension = 0
          pos++
          break
        case 'trailers':
          return this.readTrailers(chunk, pos)
        case 'done':
          this.next = pos
          return 'end'
      }
    }
    this.next = pos
    return this.state === 'done' ? 'end' : 'more'
  }

  private readTrailers(chunk: Buffer, pos: number): Step {
    if (this.section === undefined) {
      if (chunk[pos] === CR && chunk[pos + 1] === LF) {
        this.state = 'done'
        this.next = pos + 2
        return 'end'
      }
      this.section = new SectionReader(this.limits.maxHeaderBytes)
    }
    const { section } = this
    const next = section.read(chunk, pos)
    if (next === -2) return this.refuse(tooLarge('the trailer section is larger than this proxy accepts'))
    if (next < 0 && !section.broken) {
      this.next = chunk.length
      return 'more'
    }
    const trailers = parseTrailers(section.bytes.subarray(0, section.end), section.start, section.broken ? section.end + 2 : section.end, this.limits.maxHeaders)
    if ('kind' in trailers) return this.refuse(trailers)
    if (section.broken) return this.refuse(malformed('a LF stands without CR (RFC 9112 §2.2)'))
    this.trailers = trailers
    this.state = 'done'
    this.next = next
    return 'end'
  }

  private refuse(refusal: Refusal): Step {
    this.refusal = refusal
    return 'refused'
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
