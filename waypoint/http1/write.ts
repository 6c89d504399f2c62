import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { BodyLength, HeaderList } from '../exchange.ts'
import type { UpstreamHead } from '../upstream.ts'
import { CR, LF } from './bytes.ts'
import { mayTrail } from './trailers.ts'

/** A head as text, with the number of lines that it must have on the wire (the empty one included). */
export interface HeadText {
  readonly text: string
  readonly lines: number
}

/** Something that may not stand in a message was to be written: a CR, LF or NUL from a filter, or another body than announced. */
export class WriteError extends Error {}

const statusLines: string[] = []

function statusLine(status: number): string {
  if (!Number.isInteger(status) || status < 100 || status > 599) throw new WriteError(`${status} is not a status`)
  return (statusLines[status] ??= `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`)
}

function fieldLines(headers: HeaderList): string {
  let text = ''
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`
  return text
}

/**
 * A response head.
 * @param length undefined and not `chunked`: no framing header
 * @param connection value of `Connection`, if it is needed
 * @throws WriteError for a status that is none
 */
export function responseHead(status: number, headers: HeaderList, length: BodyLength, chunked: boolean, connection?: string): HeadText {
  let text = statusLine(status) + fieldLines(headers)
  let lines = 2 + (headers.length >> 1)
  if (length !== undefined) {
    text += `content-length: ${length}\r\n`
    lines++
  } else if (chunked) {
    text += 'transfer-encoding: chunked\r\n'
    lines++
  }
  if (connection !== undefined) {
    text += `connection: ${connection}\r\n`
    lines++
  }
  return { text: `${text}\r\n`, lines }
}

const unsafeLine = /[^\x21-\x7e]/

/**
 * A request head; a body of unknown length is chunked.
 * @throws WriteError if method, target or authority would break the request line
 */
export function requestHead(head: UpstreamHead): HeadText {
  const { method, target, authority, length, headers } = head
  if (unsafeLine.test(method) || unsafeLine.test(target) || unsafeLine.test(authority) || method === '' || target === '') {
    throw new WriteError('the method, target or authority holds a space or a control character, or is empty')
  }
  let text = `${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n${fieldLines(headers)}`
  let lines = 3 + (headers.length >> 1)
  if (length === undefined) {
    text += 'transfer-encoding: chunked\r\n'
    lines++
  } else if (length > 0 || method === 'POST' || method === 'PUT' || method === 'PATCH') {
    text += `content-length: ${length}\r\n`
    lines++
  }
  if (head.upgrade !== undefined) {
    text += `connection: upgrade\r\nupgrade: ${head.upgrade}\r\n`
    lines += 2
  } else if (headers.includes('te')) {
    text += 'connection: te\r\n'
    lines++
  }
  return { text: `${text}\r\n`, lines }
}

/** A body chunk up to this many bytes is copied behind what goes before it; larger ones are written as they are. */
const copyLimit = 8 * 1024
const slabBytes = 64 * 1024
let slab = Buffer.allocUnsafeSlow(slabBytes)
let slabUsed = 0

/**
 * Writes `head` at the end of the slab. Checks the bytes, not the text: latin1 cuts each character to its low byte, and that may be a line feed.
 * @returns where it starts; it ends at `slabUsed`
 */
function encode(head: HeadText): number {
  const { text } = head
  if (slab.length - slabUsed < text.length) {
    slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, text.length))
    slabUsed = 0
  }
  const start = slabUsed
  const end = start + slab.write(text, start, 'latin1')
  let lines = 0
  for (let i = start; i < end; i++) {
    const byte = slab[i] ?? 0
    if (byte > CR) continue
    if (byte === CR) {
      if (slab[i + 1] !== LF) throw new WriteError('a header holds a CR')
      lines++
      i++
    } else if (byte === LF || byte === 0) throw new WriteError('a header holds a LF or NUL')
  }
  if (lines !== head.lines || end - start !== text.length) throw new WriteError('a header holds a line end')
  slabUsed = end
  return start
}

/** `head` as bytes. @throws WriteError if it holds CR, LF or NUL where none may be */
export function headBytes(head: HeadText): Buffer {
  const start = encode(head)
  return slab.subarray(start, slabUsed)
}

/**
 * Writes one message after the other to a stream: a head waits for the first piece of the body, if that comes in the same turn,
 * so that a small message is one write.
 */
export class MessageWriter {
  private readonly stream: Duplex
  private held: Buffer | undefined
  private heldStart = 0
  private heldEnd = 0
  private flushing = false
  private chunked = false
  private remaining: number | undefined

  constructor(stream: Duplex) {
    this.stream = stream
  }

  /**
   * Starts a message.
   * @param length of the body; undefined and not `chunked`: until the stream ends
   * @throws WriteError
   */
  begin(head: HeadText, length: BodyLength, chunked: boolean): void {
    this.flush()
    this.heldStart = encode(head)
    this.heldEnd = slabUsed
    this.held = slab
    this.chunked = chunked
    this.remaining = chunked ? undefined : length
    this.flushSoon()
  }

  /**
   * Writes a piece of the body.
   * @returns false if the stream's buffer is full
   * @throws WriteError if it is more than the announced length
   */
  data(chunk: Buffer): boolean {
    const { length } = chunk
    if (length === 0) return !this.stream.writableNeedDrain
    if (this.remaining !== undefined) {
      if (length > this.remaining) throw new WriteError('the body is longer than its Content-Length')
      this.remaining -= length
    }
    if (length <= copyLimit) {
      if (this.chunked) {
        const size = `${length.toString(16)}\r\n`
        this.makeRoom(size.length + length + 2)
        this.appendText(size)
        this.append(chunk)
        this.appendText('\r\n')
        this.flushSoon()
        return !this.stream.writableNeedDrain
      }
      if (this.held === undefined) return this.stream.write(chunk)
      this.makeRoom(length)
      this.append(chunk)
      return this.flush()
    }
    this.stream.cork()
    this.flush()
    if (this.chunked) this.stream.write(`${length.toString(16)}\r\n`, 'latin1')
    let more = this.stream.write(chunk)
    if (this.chunked) more = this.stream.write('\r\n', 'latin1')
    this.stream.uncork()
    return more
  }

  /**
   * Ends the message.
   * @throws WriteError if the body is shorter than announced
   */
  end(trailers: HeaderList | undefined): void {
    if (this.remaining !== undefined && this.remaining > 0) throw new WriteError('the body is shorter than its Content-Length')
    if (!this.chunked) {
      this.flush()
      return
    }
    if (trailers === undefined || trailers.length === 0) {
      this.makeRoom(5)
      this.appendText('0\r\n\r\n')
      this.flush()
      return
    }
    let text = '0\r\n'
    let lines = 2
    for (let i = 0; i + 1 < trailers.length; i += 2) {
      if (!mayTrail(trailers[i] ?? '')) continue
      text += `${trailers[i] ?? ''}: ${trailers[i + 1] ?? ''}\r\n`
      lines++
    }
    const last = headBytes({ text: `${text}\r\n`, lines })
    this.stream.cork()
    this.flush()
    this.stream.write(last)
    this.stream.uncork()
  }

  /** Writes what waits. @returns false if the stream's buffer is full */
  flush(): boolean {
    if (this.held === undefined) return true
    const bytes = this.held.subarray(this.heldStart, this.heldEnd)
    this.held = undefined
    return this.stream.write(bytes)
  }

  /** Forgets what waits: the stream is gone or is somebody else's now. */
  discard(): void {
    this.held = undefined
  }

  private flushSoon(): void {
    if (this.flushing) return
    this.flushing = true
    process.nextTick(this.flushLater)
  }

  private readonly flushLater = (): void => {
    this.flushing = false
    if (this.stream.destroyed) this.held = undefined
    else this.flush()
  }

  /** Makes the held bytes (none, if there were none) end at `slabUsed` with `bytes` of room behind them. */
  private makeRoom(bytes: number): void {
    if (this.held === slab && this.heldEnd === slabUsed && slab.length - slabUsed >= bytes) return
    this.flush()
    if (slab.length - slabUsed < bytes) {
      slab = Buffer.allocUnsafeSlow(slabBytes)
      slabUsed = 0
    }
    this.held = slab
    this.heldStart = slabUsed
    this.heldEnd = slabUsed
  }

  private append(chunk: Buffer): void {
    slab.set(chunk, slabUsed)
    slabUsed += chunk.length
    this.heldEnd = slabUsed
  }

  private appendText(text: string): void {
    slabUsed += slab.write(text, slabUsed, 'latin1')
    this.heldEnd = slabUsed
  }
}
