import { createServer, type Socket } from 'node:net'

/** Listens on a socket of a pod's namespace. */
export interface PodListener {
  /** Takes no further connections; those that were taken go on. */
  readonly close: () => void
}

export interface ListenerOptions {
  /** Bound; the listener owns it from now on. */
  readonly fd: number
  /** Connections at a time; more are reset. */
  readonly maxConnections: number
  /** Whether they may come from other machines: one that lost power would leave its half of an idle connection here for ever. */
  readonly far: boolean
  /** Of a socket that stands still until it is read. */
  readonly onConnection: (socket: Socket) => void
  readonly onOverload: () => void
}

/** Connections that may wait to be accepted. */
const backlog = 4096

const ignore = (): void => {}

/** @throws the error of `listen`, for example EADDRINUSE if somebody else listens there by now */
export function listenInPod({ fd, maxConnections, far, onConnection, onOverload }: ListenerOptions): Promise<PodListener> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: far, keepAliveInitialDelay: 120_000 }, (socket) => {
    // Until somebody joins it, nobody else hears.
    socket.on('error', ignore)
    onConnection(socket)
  })
  server.maxConnections = maxConnections
  server.on('drop', onOverload)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // Beside `fd`, Node reads the backlog only from an argument of its own.
    server.listen({ fd }, backlog, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve({ close: () => void server.close() })
    })
  })
}
