import { byteClass, CR, LF, tokenByte } from './bytes.ts'
import { maxMethodBytes, parseRequest, parseResponse, readRequestLine, readStatusLine } from './parse.ts'
import type { HeadLimits, RequestHead, ResponseHead } from './parse.ts'
import { malformed, tooLarge } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import { SectionReader } from './section.ts'

const nothing = Buffer.alloc(0)

/** Reads the request heads of one connection, however their bytes are cut. After a `Refusal` it must not be used again. */
export class RequestReader {
  /** Index in the last chunk after what was taken of it. */
  next = 0
  private readonly section: SectionReader
  private readonly limits: HeadLimits
  private readonly scheme: 'http' | 'https'
  /** RFC 9112 §2.2: one empty line before a request line is ignored. */
  private skip: 'no' | 'cr' | 'done' = 'no'
  private lineChecked = false

  constructor(limits: HeadLimits, scheme: 'http' | 'https') {
    this.limits = limits
    this.scheme = scheme
    this.section = new SectionReader(limits.maxHeaderBytes)
  }

  /** Whether part of a head was read. */
  begun(): boolean {
    return this.section.begun() || this.skip === 'cr'
  }

  /** Takes bytes from `pos` on. @returns undefined if all were taken and the head is not complete */
  read(chunk: Buffer, pos: number): RequestHead | Refusal | undefined {
    if (!this.section.begun()) {
      while (pos < chunk.length && this.skip !== 'done') {
        if (this.skip === 'no') {
          if (chunk[pos] !== CR) this.skip = 'done'
          else {
            this.skip = 'cr'
            pos++
          }
        } else if (chunk[pos] === LF) {
          this.skip = 'done'
          pos++
        } else return malformed('a CR stands without LF before the request line (RFC 9112 §2.2)')
      }
      if (pos >= chunk.length) {
        this.next = pos
        return undefined
      }
      if (((byteClass[chunk[pos] ?? 0] ?? 0) & tokenByte) === 0) return readRequestLine(chunk, pos, 0) as Refusal
    }
    const next = this.section.read(chunk, pos)
    const { section, limits } = this
    if (next >= 0) {
      this.next = next
      this.skip = 'no'
      this.lineChecked = false
      return parseRequest(section.bytes, section.start, section.end, limits, this.scheme)
    }
    return this.judgePartial(next)
  }

  private judgePartial(next: number): Refusal | undefined {
    const { section, limits } = this
    if (section.broken) return asRefusal(parseRequest(section.bytes.subarray(0, section.end), 0, section.end + 2, limits, this.scheme))
    const { partial } = section
    if (!this.lineChecked && (partial.includes(LF) || partial.length > maxMethodBytes + limits.maxTargetBytes + 16)) {
      const line = readRequestLine(partial, 0, limits.maxTargetBytes)
      if (line.kind === 'refused') return line
      this.lineChecked = true
    }
    return next === -2 ? tooLarge('the header section is larger than this proxy accepts') : undefined
  }
}

/** Reads the response heads of one connection, however their bytes are cut. After a `Refusal` it must not be used again. */
export class ResponseReader {
  /** Index in the last chunk after what was taken of it. */
  next = 0
  private readonly section: SectionReader
  private readonly limits: HeadLimits
  private lineChecked = false

  constructor(limits: HeadLimits) {
    this.limits = limits
    this.section = new SectionReader(limits.maxHeaderBytes)
  }

  /** Whether part of a head was read. */
  begun(): boolean {
    return this.section.begun()
  }

  /** Takes bytes from `pos` on. @returns undefined if all were taken and the head is not complete */
  read(chunk: Buffer, pos: number): ResponseHead | Refusal | undefined {
    const { section, limits } = this
    if (!section.begun() && pos < chunk.length && chunk[pos] !== 0x48) return readStatusLine(nothing, 0) as Refusal
    const next = section.read(chunk, pos)
    if (next >= 0) {
      this.next = next
      this.lineChecked = false
      return parseResponse(section.bytes, section.start, section.end, limits)
    }
    if (section.broken) return asRefusal(parseResponse(section.bytes.subarray(0, section.end), 0, section.end + 2, limits))
    if (!this.lineChecked && section.partial.includes(LF)) {
      const line = readStatusLine(section.partial, 0)
      if (line.kind === 'refused') return line
      this.lineChecked = true
    }
    return next === -2 ? tooLarge('the header section of the answer is larger than this proxy accepts') : undefined
  }
}

/** A section with a LF that stands alone is always refused; this keeps it so should a parser ever take it. */
function asRefusal(result: RequestHead | ResponseHead | Refusal): Refusal {
  return result.kind === 'refused' ? result : malformed('a LF stands without CR (RFC 9112 §2.2)')
}
