import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tunnel, type Address } from './client.ts'

/** A local port behind which an application finds `authority`, as if the mesh had captured its connections. */
export interface Relay {
  readonly port: number
  /** Connections that it took. */
  readonly taken: () => number
  readonly close: () => void
}

export async function relay(entry: Address, authority: string): Promise<Relay> {
  const sockets = new Set<Socket>()
  let taken = 0
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    taken++
    keep(sockets, client)
    tunnel(entry, authority).then((far) => {
      keep(sockets, far)
      client.pipe(far).pipe(client)
      client.on('close', () => far.destroy())
      far.on('close', () => client.destroy())
    }, () => client.destroy())
  })
  const port = await listen(server)
  return {
    port,
    taken: () => taken,
    close: () => {
      server.close()
      for (const each of sockets) each.destroy()
    },
  }
}

/** A TCP server on a free port. */
export interface TcpServer {
  readonly server: Server
  readonly close: () => void
}

export async function tcpServer(serve: (socket: Socket) => void): Promise<TcpServer> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    keep(sockets, socket)
    serve(socket)
  })
  await listen(server)
  return {
    server,
    close: () => {
      server.close()
      for (const each of sockets) each.destroy()
    },
  }
}

function keep(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket)
  socket.on('error', () => {})
  socket.once('close', () => sockets.delete(socket))
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
