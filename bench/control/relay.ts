import { connect, createServer, type AddressInfo } from 'node:net'

/** Passes TCP connections on and counts what comes back. */
export interface Relay {
  readonly port: number
  /** Bytes from the target so far, TLS and all. */
  readonly bytes: () => number
}

/** @param target port on loopback */
export async function startRelay(target: number): Promise<Relay> {
  let bytes = 0
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host: '127.0.0.1', port: target, noDelay: true })
    upstream.on('data', (chunk) => (bytes += chunk.length))
    client.pipe(upstream)
    upstream.pipe(client)
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, bytes: () => bytes }
}
