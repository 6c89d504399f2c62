import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Seen } from './backend.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Call {
  readonly method?: string
  /** Sent as it is. */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Buffer
}

export interface Reply {
  readonly status: number
  /** Every value of each header, names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: string
  /** `x-waypoint-reason`. */
  readonly reason: string | undefined
  /** What the backend saw, if it was one that tells. */
  readonly seen: Seen
}

/** An entry that would not open a tunnel. */
export class Refused extends Error {
  readonly status: number
  readonly reason: string | undefined
  constructor(status: number, reason: string | undefined) {
    super(`CONNECT was answered with ${status} ${reason ?? ''}`)
    this.status = status
    this.reason = reason
  }
}

/** Opens a tunnel by CONNECT. @throws {Refused} */
export async function tunnel(entry: Address, authority: string): Promise<Socket> {
  const socket = connect({ ...entry, noDelay: true, allowHalfOpen: true })
  socket.on('error', () => {})
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`)
  const head = await readHead(socket)
  const status = Number(head.split(' ')[1])
  if (status === 200) return socket
  socket.destroy()
  throw new Refused(status, /^x-waypoint-reason: (.*)$/im.exec(head)?.[1]?.trim())
}

async function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0)
    const onReadable = (): void => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        read = Buffer.concat([read, chunk])
        const end = read.indexOf('\r\n\r\n')
        if (end === -1) continue
        socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
        if (read.length > end + 4) socket.unshift(read.subarray(end + 4))
        resolve(read.toString('latin1', 0, end + 2))
        return
      }
    }
    const onEnd = (): void => reject(new Error('the entry closed the connection before it answered'))
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd)
  })
}

/** Makes one request inside a tunnel of its own. */
export async function call(entry: Address, authority: string, what: Call = {}): Promise<Reply> {
  const socket = await tunnel(entry, authority)
  try {
    return await exchange(authority, what, { createConnection: () => socket })
  } finally {
    socket.destroy()
  }
}

/** A client that keeps its connections, each in a tunnel. */
export interface KeepAlive {
  readonly call: (what?: Call) => Promise<Reply>
  readonly close: () => void
}

export function keepAlive(entry: Address, authority: string, maxSockets = 8): KeepAlive {
  const agent = new Agent({ keepAlive: true, maxSockets })
  agent.createConnection = (_options, done) => {
    tunnel(entry, authority).then((socket) => done?.(null, socket), (error: unknown) => done?.(error as Error, undefined as unknown as Duplex))
    return undefined
  }
  return { call: (what = {}) => exchange(authority, what, { agent }), close: () => agent.destroy() }
}

async function exchange(authority: string, what: Call, by: { readonly createConnection: () => Duplex } | { readonly agent: Agent }): Promise<Reply> {
  const { method = 'GET', path = '/', headers = {}, body } = what
  const all: Record<string, string | readonly string[]> = { host: authority, ...headers }
  if (body !== undefined && headers['content-length'] === undefined) all['content-length'] = String(Buffer.byteLength(body))
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...by, method, path, setHost: false, headers: all as Record<string, string | string[]> }, (answer) => {
      collect(answer).then(resolve, reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function collect(answer: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  const headers: Record<string, readonly string[]> = {}
  for (const [name, values] of Object.entries(answer.headersDistinct)) headers[name] = values ?? []
  const body = Buffer.concat(chunks).toString('latin1')
  return {
    status: answer.statusCode ?? 0, headers, body, reason: headers['x-waypoint-reason']?.[0],
    get seen() {
      return JSON.parse(body) as Seen
    },
  }
}

/** What came back for raw bytes. */
export interface RawReply {
  readonly text: string
  /** Status of the first answer, 0 if there was none. */
  readonly status: number
  /** How many answers there were, by their status lines. */
  readonly answers: number
  readonly reason: string | undefined
}

/** Writes bytes into a tunnel and reads until the other side closes; the other side must close, or the test times out. */
export async function raw(entry: Address, authority: string, bytes: string | Buffer): Promise<RawReply> {
  const socket = await tunnel(entry, authority)
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  return readAll(socket)
}

export async function readAll(socket: Duplex): Promise<RawReply> {
  const chunks: Buffer[] = []
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => resolve())
    socket.on('close', () => resolve())
  })
  socket.destroy()
  const text = Buffer.concat(chunks).toString('latin1')
  const lines = [...text.matchAll(/HTTP\/1\.1 (\d\d\d)/g)]
  return { text, status: Number(lines[0]?.[1] ?? 0), answers: lines.length, reason: /^x-waypoint-reason: (.*)$/im.exec(text)?.[1]?.trim() }
}
