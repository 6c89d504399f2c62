import { connect as connectTls } from 'node:tls'
import { listenTcp } from '../../src/transport/testing/mesh.ts'

/** What Node's own TLS client sends first. @param servername undefined: without SNI */
export async function clientHello(servername: string | undefined): Promise<Buffer> {
  const first = Promise.withResolvers<Buffer>()
  const listener = await listenTcp((socket) => socket.once('data', first.resolve))
  const client = connectTls({ host: '127.0.0.1', port: listener.port, rejectUnauthorized: false, ...(servername === undefined ? {} : { servername }) })
  client.on('error', () => {})
  const bytes = await first.promise
  client.destroy()
  listener.close()
  return bytes
}
