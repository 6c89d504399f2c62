import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** The answer to a handshake's key. Source: RFC 6455 §1.3. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

/** A short text as one frame; clients must mask theirs. Source: RFC 6455 §5.2. */
export function textFrame(text: string, masked: boolean): Buffer {
  const payload = Buffer.from(text)
  if (payload.length > 125) throw new Error('the test application sends texts up to 125 bytes')
  const head = Buffer.from([0x81, payload.length | (masked ? 0x80 : 0)])
  // A mask of zeros is a mask.
  return Buffer.concat([head, ...(masked ? [Buffer.alloc(4)] : []), payload])
}

/** Reads one short frame; undefined while it is not complete. */
export function readFrame(bytes: Buffer): { readonly opcode: number; readonly payload: Buffer } | undefined {
  const [first, second] = bytes
  if (first === undefined || second === undefined) return undefined
  const length = second & 0x7f
  const masked = (second & 0x80) !== 0
  const start = masked ? 6 : 2
  if (bytes.length < start + length) return undefined
  const mask = masked ? bytes.subarray(2, 6) : Buffer.alloc(4)
  return { opcode: first & 0x0f, payload: Buffer.from(bytes.subarray(start, start + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0))) }
}

/** Takes an upgrade and echoes texts until the other side closes. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {})
  const key = request.headers['sec-websocket-key'] ?? ''
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${acceptKey(key)}\r\n\r\n`)
  let read = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    read = Buffer.concat([read, chunk])
    const frame = readFrame(read)
    if (frame === undefined) return
    read = Buffer.alloc(0)
    if (frame.opcode === 1) socket.write(textFrame(frame.payload.toString(), false))
    else socket.end()
  })
  socket.on('end', () => socket.end())
}
