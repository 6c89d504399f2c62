import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { TcpReply, TcpSpec, WebSocketReply, WebSocketSpec } from '../protocol.ts'
import { acceptKey, readFrame, textFrame } from '../websocket.ts'
import { proxyOf, splitTarget, tunnel } from './proxy.ts'

/** One connection after the other: waits for the greeting, sends, waits for the echo. */
export async function tcp(spec: TcpSpec): Promise<readonly TcpReply[]> {
  const replies: TcpReply[] = []
  for (let at = 0; at < (spec.count ?? 1); at++) replies.push(await greet(spec))
  return replies
}

async function greet(spec: TcpSpec): Promise<TcpReply> {
  const start = performance.now()
  const { send = 'ping', timeoutMs = 10_000 } = spec
  let greeting = ''
  let echoed = ''
  let error: string | undefined
  try {
    const socket = await tunnel(spec.target, spec.via, timeoutMs)
    let read = ''
    await conversation(socket, timeoutMs, (chunk) => {
      const before = greeting !== ''
      read += chunk.toString()
      const line = read.indexOf('\n')
      if (line === -1) return false
      greeting = read.slice(0, line)
      if (!before) socket.write(send)
      echoed = read.slice(line + 1)
      return echoed.length >= send.length
    })
  } catch (failure) {
    error = failure instanceof Error ? failure.message : String(failure)
  }
  return { greeting, echoed, ...whoGreets(greeting), ms: Math.round((performance.now() - start) * 100) / 100, ...(error === undefined ? {} : { error }) }
}

function whoGreets(greeting: string): { readonly pod: string; readonly version: string } | Record<string, never> {
  try {
    return JSON.parse(greeting) as { pod: string; version: string }
  } catch {
    return {}
  }
}

/** Reads until `onChunk` says that all is there. @throws if the connection ends or the time passes first */
async function conversation(socket: Socket, timeoutMs: number, onChunk: (chunk: Buffer) => boolean): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      socket.on('data', (chunk: Buffer) => {
        try {
          if (!onChunk(chunk)) return
          clearTimeout(timer)
          resolve()
        } catch (error) {
          ended(error)
        }
      })
      const ended = (error?: unknown): void => {
        clearTimeout(timer)
        reject(error instanceof Error ? error : new Error('the connection ended early'))
      }
      socket.on('error', ended).on('end', ended).on('close', ended)
      socket.resume()
    })
  } finally {
    socket.destroy()
  }
}

/** A handshake in absolute form through the proxy, one text and its echo. */
export async function websocket(spec: WebSocketSpec): Promise<WebSocketReply> {
  const url = new URL(spec.url)
  const proxy = proxyOf(spec.via)
  const key = randomBytes(16).toString('base64')
  const socket = connect({ ...(proxy ?? splitTarget(url.port === '' ? `${url.host}:80` : url.host)), noDelay: true })
  socket.write(
    `GET ${proxy === undefined ? url.pathname : spec.url} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
      `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  )
  let read = Buffer.alloc(0)
  let status = 0
  let echoed = ''
  try {
    await conversation(socket, 10_000, (chunk) => {
      read = Buffer.concat([read, chunk])
      if (status === 0) {
        const end = read.indexOf('\r\n\r\n')
        if (end === -1) return false
        const head = read.toString('latin1', 0, end)
        status = Number(head.split(' ')[1])
        if (status !== 101) return true
        if (!head.includes(acceptKey(key))) throw new Error('the handshake has a wrong accept key')
        read = read.subarray(end + 4)
        socket.write(textFrame(spec.send, true))
      }
      const frame = readFrame(read)
      if (frame === undefined) return false
      echoed = frame.payload.toString()
      return true
    })
    return { status, echoed }
  } catch (failure) {
    return { status, echoed, error: failure instanceof Error ? failure.message : String(failure) }
  }
}
