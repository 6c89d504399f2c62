import type { HeaderList } from '../exchange.ts'
import { ChunkedDecoder } from './chunked.ts'
import type { Step } from './chunked.ts'
import type { HeadLimits } from './parse.ts'
import type { Refusal } from './refusal.ts'

/** A body's end: after so many bytes, by its own chunk framing, or when the sender closes. */
export type Framing = number | 'chunked' | 'until-close'

const none = Buffer.alloc(0)

/** Cuts one body out of a connection's bytes. */
export class BodyDecoder {
  /** Index in the last chunk after what was taken of it. */
  next = 0
  /** After `data`: a view on the bytes that came in. */
  data: Buffer = none
  /** Bytes that are still to come; undefined if not known. */
  remaining: number | undefined
  private readonly chunked: ChunkedDecoder | undefined

  constructor(framing: Framing, limits: Pick<HeadLimits, 'maxHeaderBytes' | 'maxHeaders'>) {
    this.remaining = typeof framing === 'number' ? framing : undefined
    this.chunked = framing === 'chunked' ? new ChunkedDecoder(limits) : undefined
  }

  /** Whether the end of the connection is the end of this body. */
  get untilClose(): boolean {
    return this.chunked === undefined && this.remaining === undefined
  }

  /** After `end`. */
  get trailers(): HeaderList {
    return this.chunked?.trailers ?? []
  }

  /** After `refused`. */
  get refusal(): Refusal | undefined {
    return this.chunked?.refusal
  }

  /** Goes on at `pos`; gives at most one piece of data a time, so that the caller may stop between them. */
  step(chunk: Buffer, pos: number): Step {
    if (this.chunked !== undefined) {
      const step = this.chunked.step(chunk, pos)
      this.next = this.chunked.next
      if (step === 'data') this.data = this.chunked.data
      return step
    }
    this.next = pos
    if (this.remaining === 0) return 'end'
    if (pos >= chunk.length) return 'more'
    const end = this.remaining === undefined ? chunk.length : Math.min(chunk.length, pos + this.remaining)
    if (this.remaining !== undefined) this.remaining -= end - pos
    this.data = pos === 0 && end === chunk.length ? chunk : chunk.subarray(pos, end)
    this.next = end
    return 'data'
  }
}
