import { generateKeyPairSync } from 'node:crypto'
import { connect, type TLSSocket } from 'node:tls'
import type { Ca } from '../../../ca/server.ts'
import type { Credentials } from '../../model/credentials.ts'
import type { Identity } from '../../model/identity.ts'
import { contextOptions } from '../../transport/contexts.ts'
import { controlProtocol } from '../control-tls.ts'

/** One end of a stream that says whatever a test wants. */
export interface RawStream {
  readonly socket: TLSSocket
  readonly send: (message: unknown) => void
  /** Messages that came, so far. */
  readonly heard: Record<string, unknown>[]
  /** Resolves with all messages when the stream is over. */
  readonly over: Promise<readonly Record<string, unknown>[]>
  /** Waits for a message of that type. */
  readonly next: (type: string) => Promise<Record<string, unknown>>
}

export interface RawOptions {
  readonly credentials?: Credentials
  readonly protocols?: readonly string[]
}

/** Connects without any of our client's care: no check of the server, no signs of life. */
export function rawStream(address: { readonly host: string; readonly port: number }, options: RawOptions = {}): RawStream {
  const socket = connect({
    ...address, rejectUnauthorized: false, checkServerIdentity: () => undefined, ALPNProtocols: [...(options.protocols ?? [controlProtocol])],
    ...(options.credentials === undefined ? {} : contextOptions(options.credentials)),
  })
  const heard: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  let rest = ''
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) heard.push(JSON.parse(line) as Record<string, unknown>)
    for (const look of waiting) look()
  })
  const over = new Promise<readonly Record<string, unknown>[]>((resolve) => socket.once('close', () => resolve(heard)))
  return {
    socket, heard, over,
    send: (message) => void socket.write(`${JSON.stringify(message)}\n`),
    next: (type) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = heard.find((each) => each['type'] === type)
          if (found === undefined) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        void over.then(() => reject(new Error(`the stream ended without ${type}: ${JSON.stringify(heard)}`)))
        look()
      }),
  }
}

/** An SVID straight from the CA. */
export async function credentialsOf(ca: Ca, identity: Identity): Promise<Credentials> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1', publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  return { identity, privateKeyPem: privateKey, ...(await ca.issue(identity, publicKey)) }
}
