import { CR, LF } from './bytes.ts'

const emptyLine = Buffer.from('\r\n\r\n')

/**
 * Gathers the bytes of one header or trailer section: lines up to and with an empty one. A section that lies in one chunk is used
 * where it lies; only one that is cut over several is copied, and every byte is looked at once.
 */
export class SectionReader {
  /** After `read` gave an index: the section is `bytes` from `start` to `end`, its empty line included. */
  bytes: Buffer = emptyLine
  start = 0
  end = 0
  /** True after `read` if the bytes so far can not become a section (a LF without CR): reading them as one says why. */
  broken = false
  private store: Buffer | undefined
  private length = 0
  private scanned = 0
  private lineStart = 0
  private readonly maxBytes: number

  /** @param maxBytes of a section, its empty line included */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** What is there of a section that is not complete. */
  get partial(): Buffer {
    return this.store === undefined ? emptyLine.subarray(0, 0) : this.store.subarray(0, this.length)
  }

  /** Whether a section has begun and is not complete. */
  begun(): boolean {
    return this.length > 0
  }

  /**
   * Takes bytes of `chunk` from `pos` on.
   * @returns the index after the section; -1 if all bytes were taken and more are needed (or `broken`); -2 if the section is too large
   */
  read(chunk: Buffer, pos: number): number {
    if (this.length === 0) {
      const found = chunk.indexOf(emptyLine, pos)
      if (found >= 0 && found + 4 - pos <= this.maxBytes) {
        this.bytes = chunk
        this.start = pos
        this.end = found + 4
        return this.end
      }
    }
    return this.gather(chunk, pos)
  }

  private gather(chunk: Buffer, pos: number): number {
    const before = this.length
    const take = Math.min(chunk.length - pos, this.maxBytes + 1 - before)
    const store = this.reserve(before + take)
    chunk.copy(store, before, pos, pos + take)
    this.length = before + take
    for (;;) {
      const lf = this.scanned < this.length ? store.subarray(0, this.length).indexOf(LF, this.scanned) : -1
      if (lf < 0 || lf >= this.maxBytes) break
      this.scanned = lf + 1
      if (lf === 0 || store[lf - 1] !== CR) {
        this.broken = true
        this.bytes = store
        this.start = 0
        this.end = lf + 1
        return -1
      }
      if (lf - 1 === this.lineStart) {
        this.bytes = store
        this.start = 0
        this.end = lf + 1
        this.length = 0
        this.scanned = 0
        this.lineStart = 0
        this.store = undefined
        return pos + (this.end - before)
      }
      this.lineStart = lf + 1
    }
    this.scanned = this.length
    return this.length > this.maxBytes ? -2 : -1
  }

  private reserve(bytes: number): Buffer {
    if (this.store !== undefined && this.store.length >= bytes) return this.store
    const grown = Buffer.allocUnsafe(Math.max(1024, bytes, 2 * (this.store?.length ?? 0)))
    this.store?.copy(grown, 0, 0, this.length)
    this.store = grown
    return grown
  }
}
