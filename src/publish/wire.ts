import type { Duplex } from 'node:stream'
import type { Cancel, Clock } from '../kit/clock.ts'

/** Longest message that carries configuration, bytes; a longer one ends the stream. */
export const maxMessageBytes = 64 * 1024 * 1024

/** Bytes that are handed to the stream at a time: TLS keeps a whole write encrypted in memory until the peer has read it. */
const chunkBytes = 64 * 1024

/** Parts of an unfinished message that may be small: a peer that sends it byte by byte would make each cost a hundred. */
const maxSmallParts = 64
const smallBytes = 1024

/** Messages on a byte stream: one JSON value a line. */
export interface Wire<In, Out> {
  readonly send: (message: Out) => void
  /** Sends a message that was encoded before, for several wires. */
  readonly sendEncoded: (message: Buffer) => void
  /** Whether everything that was sent has been handed on; while not, the peer reads slowly. */
  readonly idle: () => boolean
  /** Called each time the wire becomes idle again. */
  readonly onIdle: (listener: () => void) => void
  /** Counts bytes that came and bytes that the stream took. */
  readonly bytes: () => { readonly received: number; readonly sent: number }
  /** Resolves when the stream is over, for whatever reason. */
  readonly closed: Promise<void>
  readonly close: () => void
  /** Ends after what was sent has gone out. */
  readonly end: (message: Out) => void
  readonly onMessage: (listener: (message: In) => void) => void
}

/** Encodes a message for `sendEncoded`. */
export function encode(message: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(message)}\n`)
}

/**
 * Puts messages on `stream`. A line that is not JSON, is too long, or that the listener throws at, is the last that is read.
 * @param onBroken told why; default: the stream is destroyed
 */
export function createWire<In, Out>(stream: Duplex, limitBytes = maxMessageBytes, onBroken?: (why: string) => void): Wire<In, Out> {
  let listener: (message: In) => void = () => {}
  let idleListener: () => void = () => {}
  let queue: Buffer[] = []
  let ending = false
  let broken = false
  let received = 0
  let sent = 0
  stream.on('error', () => {})

  const tooLong = new Error(`a message of more than ${limitBytes} bytes`)
  const breakOff = (error: unknown): void => {
    broken = true
    parts = []
    const reason = error instanceof Error ? error : new Error(String(error))
    if (onBroken === undefined) stream.destroy(reason)
    else onBroken(reason.message)
  }

  let parts: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length
    if (broken) return
    let start = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, at))
      const line = Buffer.concat(parts)
      parts = []
      size = 0
      start = at + 1
      try {
        if (line.length > limitBytes) throw tooLong
        listener(JSON.parse(line.toString()) as In)
      } catch (error) {
        breakOff(error)
        return
      }
      if (stream.destroyed) return
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start))
      size += chunk.length - start
      if (parts.length > maxSmallParts && parts.length * smallBytes > size) parts = [Buffer.concat(parts)]
    }
    if (size > limitBytes) breakOff(tooLong)
  })
  const closed = new Promise<void>((resolve) => {
    stream.once('close', resolve)
  })
  void closed.then(() => (queue = []))
  stream.once('end', () => stream.destroy())

  const pump = (): void => {
    while (queue.length > 0 && !stream.destroyed && !stream.writableNeedDrain) {
      const first = queue.shift()
      if (first === undefined) break
      if (first.length > chunkBytes) queue.unshift(first.subarray(chunkBytes))
      const chunk = first.subarray(0, chunkBytes)
      sent += chunk.length
      stream.write(chunk)
    }
    if (queue.length > 0 || stream.destroyed) return
    if (ending) stream.end(() => stream.destroy())
    else if (!stream.writableNeedDrain) idleListener()
  }
  stream.on('drain', pump)
  const put = (message: Buffer): void => {
    if (stream.destroyed || ending) return
    queue.push(message)
    if (queue.length === 1) pump()
  }
  return {
    send: (message) => put(encode(message)),
    sendEncoded: put,
    idle: () => queue.length === 0 && !stream.writableNeedDrain,
    onIdle: (next) => {
      idleListener = next
    },
    bytes: () => ({ received, sent }),
    closed,
    close: () => stream.destroy(),
    end: (message) => {
      put(encode(message))
      if (ending || stream.destroyed) return
      ending = true
      pump()
    },
    onMessage: (next) => {
      listener = next
    },
  }
}

export interface KeepAlive {
  readonly clock: Clock
  /** Milliseconds between signs of life. */
  readonly intervalMs: number
  /** What both ends send as a sign of life. */
  readonly send: () => void
  /** Called once, when three intervals passed without a byte of the peer, or nothing that waits was taken for six. */
  readonly onDead: (why: string) => void
}

/**
 * Sends a sign of life every interval, and expects the same of the peer: a machine that lost power sends neither FIN nor RST.
 * @returns stops it; it stops by itself when the wire is closed
 */
export function keepAlive(wire: Pick<Wire<never, never>, 'bytes' | 'idle' | 'closed'>, { clock, intervalMs, send, onDead }: KeepAlive): Cancel {
  let before = wire.bytes()
  let silent = 0
  let stuck = 0
  let cancel: Cancel = () => {}
  const tick = (): void => {
    const now = wire.bytes()
    silent = now.received === before.received ? silent + 1 : 0
    stuck = wire.idle() || now.sent !== before.sent ? 0 : stuck + 1
    before = now
    if (silent >= 3 || stuck >= 6) {
      onDead(silent >= 3 ? `the peer was silent for ${(silent * intervalMs) / 1000} s` : `the peer read nothing for ${(stuck * intervalMs) / 1000} s`)
      return
    }
    if (wire.idle()) send()
    cancel = clock.after(intervalMs, tick)
  }
  cancel = clock.after(intervalMs, tick)
  const stop = (): void => cancel()
  void wire.closed.then(stop)
  return stop
}
