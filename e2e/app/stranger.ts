import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect as connectTls, type TLSSocket } from 'node:tls'

/** Tries to get into the mesh as somebody who must not: attempts as JSON on stdin, their outcomes on stdout, in the same order. */
export interface Attempt {
  readonly host: string
  readonly port: number
  /** The source address; undefined: as the kernel chooses. */
  readonly localAddress?: string
  /** What its packets are marked with; needs NET_RAW. */
  readonly mark?: number
  /** Milliseconds until it is given up; 8,000 by default. */
  readonly waitMs?: number
  /** Undefined: none is shown. */
  readonly certificate?: { readonly certificateChainPem: string; readonly privateKeyPem: string }
  /**
   * `tunnel`: an HTTP/2 CONNECT, and what is said through it, if it is let through; `messages`: lines of JSON to a controller, until it says one of `last`;
   * `plain`: text without TLS.
   */
  readonly say:
    | { readonly kind: 'tunnel'; readonly authority: string; readonly headers?: Readonly<Record<string, string>>; readonly text?: string }
    | { readonly kind: 'messages'; readonly messages: readonly object[]; readonly last?: readonly string[] }
    | { readonly kind: 'plain'; readonly text: string }
}

/** What came of it. */
export interface Outcome {
  /** Of TLS, HTTP/2 or the connection: code and words. */
  readonly error?: string
  /** Of the answer to the CONNECT. */
  readonly status?: number
  readonly reason?: string
  /** What the controller said. */
  readonly messages?: readonly { readonly type: string; readonly [field: string]: unknown }[]
  /** What was answered in plain, or through a tunnel that carried a text. */
  readonly text?: string
}

/** Words of a controller after which no other is waited for. */
const lastWords = ['refused', 'sign-failed', 'signed', 'update']

async function tryIt(attempt: Attempt): Promise<Outcome> {
  const { host, port, say, localAddress, mark, waitMs: limitMs = 8_000 } = attempt
  const way = { host, port, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) }
  const plain = mark === undefined ? connectTcp(way) : await marked(mark, way)
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const timer = setTimeout(() => resolve({ error: `nothing happened for ${limitMs} ms` }), limitMs)
  const onError = (error: NodeJS.ErrnoException): void => resolve({ error: `${error.code ?? ''}: ${error.message}` })
  plain.on('error', onError)
  if (say.kind === 'plain') speak(plain, say.text, resolve)
  else {
    const { certificateChainPem: cert, privateKeyPem: key } = attempt.certificate ?? {}
    // A stranger judges nobody.
    const secure = connectTls({
      socket: plain, rejectUnauthorized: false, checkServerIdentity: () => undefined, ALPNProtocols: [say.kind === 'tunnel' ? 'h2' : 'waymark-control/1'],
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    })
    secure.on('error', onError).on('close', () => resolve({ error: 'closed without a word' }))
    if (say.kind === 'tunnel') tunnel(secure, say, resolve)
    else converse(secure, say, resolve)
  }
  const outcome = await promise
  clearTimeout(timer)
  plain.destroy()
  return outcome
}

async function marked(mark: number, way: TcpSocketConnectOpts): Promise<Socket> {
  const { markedSocket } = await import('./native.ts')
  const socket = new Socket({ fd: markedSocket(mark), readable: true, writable: true, manualStart: true } as SocketConstructorOpts).connect(way)
  // A socket that was adopted does not read by itself.
  return socket.once('connect', () => void socket.resume())
}

function speak(socket: Socket, words: string, resolve: (outcome: Outcome) => void): void {
  let read = ''
  socket.on('data', (chunk: Buffer) => (read += chunk.toString('latin1'))).on('close', () => resolve({ text: read }))
  socket.write(words)
}

function tunnel(secure: TLSSocket, { authority, headers = {}, text: words }: Extract<Attempt['say'], { kind: 'tunnel' }>, resolve: (outcome: Outcome) => void): void {
  const session = connectHttp2('https://mesh', { createConnection: () => secure })
  session.on('error', (error: NodeJS.ErrnoException) => resolve({ error: `${error.code ?? ''}: ${error.message}` }))
  const stream = session.request({ ...headers, ':method': 'CONNECT', ':authority': authority })
  stream.on('error', (error: NodeJS.ErrnoException) => resolve({ error: `${error.code ?? ''}: ${error.message}` }))
  stream.on('response', (answer) => {
    const reason = answer['x-waypoint-reason']
    const status = answer[':status'] ?? 0
    const outcome = { status, ...(typeof reason === 'string' ? { reason } : {}) }
    if (status !== 200 || words === undefined) {
      resolve(outcome)
      return
    }
    let read = ''
    const over = (): void => resolve({ ...outcome, text: read })
    stream.on('data', (chunk: Buffer) => (read += chunk.toString('latin1'))).on('end', over).on('close', over)
    stream.write(words)
  })
}

function converse(secure: TLSSocket, { messages: words, last = lastWords }: Extract<Attempt['say'], { kind: 'messages' }>, resolve: (outcome: Outcome) => void): void {
  const messages: NonNullable<Outcome['messages']>[number][] = []
  let rest = ''
  secure.on('data', (chunk: Buffer) => {
    const lines = `${rest}${chunk.toString()}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) messages.push(JSON.parse(line) as (typeof messages)[number])
    if (messages.some(({ type }) => last.includes(type))) resolve({ messages })
  })
  for (const word of words) secure.write(`${JSON.stringify(word)}\n`)
}

if (import.meta.main) {
  const attempts = JSON.parse(await text(process.stdin)) as readonly Attempt[]
  // A pipe takes 64 KiB at a time: the rest would be lost by an exit before it is taken.
  process.stdout.write(`${JSON.stringify(await Promise.all(attempts.map(tryIt)))}\n`, () => process.exit(0))
}
