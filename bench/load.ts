import type { Duplex } from 'node:stream'
import { connect } from 'node:tls'
import { systemClock } from '../src/kit/clock.ts'
import type { Credentials } from '../src/model/credentials.ts'
import { formatSpiffeId } from '../src/model/identity.ts'
import { createHboneClient, type HboneClient } from '../src/transport/hbone-client.ts'
import { cipherSuite, fixed } from './certificates.ts'
import { runScript } from './children.ts'
import type { LoadCommand, LoadOptions, Target } from './load-commands.ts'

/** One keep-alive connection with one request on its way at a time. */
class Line {
  readonly #stream: Duplex
  readonly #request: Buffer
  #buffer = ''
  /** Called with undefined after each whole answer, or with what went wrong. */
  onAnswer: (error: Error | undefined) => void = () => {}

  constructor(stream: Duplex, request: Buffer) {
    this.#stream = stream
    this.#request = request
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    stream.on('error', (error) => this.onAnswer(error))
    stream.on('close', () => this.onAnswer(new Error('the connection was closed')))
  }

  send(): void {
    this.#stream.write(this.#request)
  }

  #read(chunk: Buffer): void {
    this.#buffer += chunk.toString('latin1')
    const head = this.#buffer.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = /\r\ncontent-length: *([0-9]+)/i.exec(this.#buffer)?.[1]
    if (!this.#buffer.startsWith('HTTP/1.1 200 ') || length === undefined) {
      this.onAnswer(new Error(`an answer that was not expected: ${this.#buffer.slice(0, 300)}`))
      return
    }
    const size = head + 4 + Number(length)
    if (this.#buffer.length < size) return
    if (this.#buffer.length > size) {
      this.onAnswer(new Error('more was answered than asked for'))
      return
    }
    this.#buffer = ''
    this.onAnswer(undefined)
  }
}

async function openLines(target: Target, count: number, credentials: Credentials): Promise<Line[]> {
  const request = Buffer.from(`GET ${target.path} HTTP/1.1\r\nhost: ${target.hostHeader}\r\nuser-agent: bench/1\r\naccept: */*\r\n\r\n`)
  const open = target.kind === 'hbone' ? tunnels(target, credentials) : () => tlsConnection(target, credentials)
  const lines: Line[] = []
  for (let at = 0; at < count; at++) lines.push(new Line(await open(), request))
  return lines
}

/** Tunnels from one client, which share its session, or from a client each. */
function tunnels(target: Extract<Target, { kind: 'hbone' }>, credentials: Credentials): () => Promise<Duplex> {
  const newClient = (): HboneClient => createHboneClient({ credentials: fixed(credentials), clock: systemClock })
  const shared = newClient()
  const peer = { kind: 'identity' as const, id: formatSpiffeId(target.peer) }
  return () => (target.sessions === 'shared' ? shared : newClient()).connect({ host: '127.0.0.1', port: target.port, authority: target.authority, peer })
}

function tlsConnection({ port }: Target, credentials: Credentials): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1', port, cert: credentials.certificateChainPem, key: credentials.privateKeyPem, ca: [...credentials.trustBundlePem],
      minVersion: 'TLSv1.3', ciphers: cipherSuite, ALPNProtocols: ['http/1.1'],
      // SVIDs carry no host name; the chain is checked all the same.
      checkServerIdentity: () => undefined,
    })
    socket.setNoDelay(true)
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      const { standardName } = socket.getCipher()
      if (standardName === cipherSuite) resolve(socket)
      else reject(new Error(`the peer chose ${standardName}, not ${cipherSuite}`))
    })
  })
}

/** Sends `requests` over all lines at once, each with its next request as soon as it has its answer. */
function runLines(lines: readonly Line[], requests: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0
    let answered = 0
    for (const line of lines) {
      line.onAnswer = (error) => {
        if (error !== undefined) reject(error)
        else if (++answered === requests) resolve()
        else if (sent < requests) {
          sent++
          line.send()
        }
      }
    }
    for (const line of lines.slice(0, requests)) {
      sent++
      line.send()
    }
  })
}

runScript<LoadOptions>(({ credentials }) => {
  const opened = new Map<string, Line[]>()
  const obey = async (command: LoadCommand): Promise<object> => {
    if (command.kind === 'open') {
      opened.set(command.name, await openLines(command.target, command.connections, credentials))
      return {}
    }
    const startMs = performance.now()
    await runLines(opened.get(command.name) ?? [], command.requests)
    return { ms: performance.now() - startMs }
  }
  process.on('message', (command: LoadCommand) => {
    obey(command).then(
      (done) => process.send?.(done),
      (error: unknown) => process.send?.({ failed: `${command.name}: ${error instanceof Error ? error.message : String(error)}` }),
    )
  })
  return Promise.resolve({ port: 0 })
})
