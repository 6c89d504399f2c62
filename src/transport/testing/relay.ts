import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { listenTcp } from './mesh.ts'

/** A TCP relay in front of a port of loopback, to make a network misbehave. */
export interface Relay {
  readonly port: number
  /** Connections taken so far. */
  readonly connections: () => number
  /** From now on nothing passes, in either direction, and nothing is closed: a machine that lost power. */
  readonly freeze: () => void
  /** Ends every connection towards the client, without a word of TLS, and takes nothing more: a process that was killed. */
  readonly kill: () => void
  readonly close: () => void
}

/** @param port where the connections lead; a function is asked for each */
export async function relay(port: number | (() => number), host = '127.0.0.1'): Promise<Relay> {
  let frozen = false
  let connections = 0
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  const listener = await listenTcp((client) => {
    connections++
    clients.add(client)
    client.once('close', () => clients.delete(client))
    const server = connect({ host, port: typeof port === 'number' ? port : port(), allowHalfOpen: true, noDelay: true })
    for (const [from, to] of [[client, server], [server, client]] as const) {
      sockets.add(from)
      from.on('data', (chunk) => { if (!frozen) to.write(chunk) })
      from.on('end', () => { if (!frozen) to.end() })
      from.on('error', () => { if (!frozen) to.destroy() })
      from.on('close', () => {
        sockets.delete(from)
        if (!frozen) to.destroy()
      })
    }
  })
  return {
    port: listener.port,
    connections: () => connections,
    freeze: () => { frozen = true },
    kill: () => {
      frozen = true
      for (const client of clients) client.end()
    },
    close: () => {
      listener.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
