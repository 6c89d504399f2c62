import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** Frame types. Source: RFC 9113 §6. */
export const frameType = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const

/** A frame as it stood on the wire. */
export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export const endStream = 0x1
export const endHeaders = 0x4

/** Encodes a frame. */
export function frame(type: number, flags: number, stream: number, payload: Buffer | Uint8Array): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** HPACK without compression: each field a literal that is not indexed, so that anything at all can be sent. */
export function fields(list: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1')
    if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
    const rest: number[] = []
    let left = bytes.length - 127
    for (; left >= 128; left = Math.floor(left / 128)) rest.push((left % 128) | 128)
    return Buffer.concat([Buffer.from([127, ...rest, left]), bytes])
  }
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** One end of an HTTP/2 connection that sends what it is told and shows each frame that comes. */
export class RawPeer {
  readonly frames: Frame[] = []
  closed = false
  readonly #socket: Socket
  #buffer = Buffer.alloc(0)
  #wake: (() => void)[] = []
  /** Bytes of the client's preface that are still to come. */
  #prefaceLeft: number

  private constructor(socket: Socket, prefaceLeft: number) {
    this.#socket = socket
    this.#prefaceLeft = prefaceLeft
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('close', () => {
      this.closed = true
      this.#notify()
    })
  }

  /** The server's end of an accepted connection; its SETTINGS are sent. */
  static accept(socket: Socket): RawPeer {
    const peer = new RawPeer(socket, preface.length)
    peer.send(frame(frameType.settings, 0, 0, Buffer.alloc(0)))
    return peer
  }

  /** The client's end of a new connection; the preface and SETTINGS are sent if `greet`. */
  static async open(port: number, greet = true): Promise<RawPeer> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const client = new RawPeer(socket, 0)
    if (greet) client.send(preface, frame(frameType.settings, 0, 0, Buffer.alloc(0)))
    return client
  }

  send(...frames: Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(frames))
  }

  /** First frame that fits, now or later; fails if the connection closes before. */
  async find(fits: (each: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(fits)
      if (found !== undefined) return found
      if (this.closed) throw new Error(`connection closed after frames ${JSON.stringify(this.frames.map((each) => [each.type, each.flags, each.stream]))}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** Waits until the server closed the connection. */
  async whenClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  /** Sends a PING and waits for its answer: everything sent before was processed. */
  async settle(): Promise<void> {
    const mark = Buffer.from(String(Math.random()).slice(2, 10).padEnd(8, '0'))
    this.send(frame(frameType.ping, 0, 0, mark))
    await this.find((each) => each.type === frameType.ping && (each.flags & 1) === 1 && each.payload.equals(mark))
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const skip = Math.min(this.#prefaceLeft, chunk.length)
    this.#prefaceLeft -= skip
    this.#buffer = Buffer.concat([this.#buffer, chunk.subarray(skip)])
    while (this.#buffer.length >= 9) {
      const length = this.#buffer.readUIntBE(0, 3)
      if (this.#buffer.length < 9 + length) break
      this.frames.push({
        type: this.#buffer[3] ?? 0,
        flags: this.#buffer[4] ?? 0,
        stream: this.#buffer.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(this.#buffer.subarray(9, 9 + length)),
      })
      this.#buffer = this.#buffer.subarray(9 + length)
    }
    this.#notify()
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
