import { createServer, type Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'

/** Listens on a socket of a pod's namespace. */
export interface PodListener {
  /**
   * Takes no further connections, once nobody waits to be accepted: the kernel has told them that they are connected, and would reset them. Those that were
   * taken go on.
   * @param patienceMs after which those who still wait are reset
   */
  readonly drain: (patienceMs: number) => Promise<void>
  /** Takes no further connections; those that were taken go on, those who wait are reset. */
  readonly close: () => void
}

export interface ListenerOptions {
  readonly clock: Clock
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

/** The event loop looks at all sockets once. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** @throws the error of `listen`, for example EADDRINUSE if somebody else listens there by now */
export function listenInPod({ clock, fd, maxConnections, far, onConnection, onOverload }: ListenerOptions): Promise<PodListener> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: far, keepAliveInitialDelay: 120_000 }, (socket) => {
    // Until somebody joins it, nobody else hears.
    socket.on('error', ignore)
    onConnection(socket)
  })
  server.maxConnections = maxConnections
  server.on('drop', onOverload)
  let seen = 0
  for (const event of ['connection', 'drop']) server.on(event, () => seen++)
  const close = (): void => void server.close()
  const drain = async (patienceMs: number): Promise<void> => {
    const endMs = clock.now() + patienceMs
    // To the end of the turn that is going on, which may have looked already.
    await turn()
    // Each turn takes one of those who wait, so a turn without any has found nobody. Time alone tells nothing: a thread that got none has seen nobody either.
    for (let before = -1; before !== seen && clock.now() < endMs;) {
      before = seen
      await turn()
    }
    close()
  }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // Beside `fd`, Node reads the backlog only from an argument of its own.
    server.listen({ fd }, backlog, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve({ drain, close })
    })
  })
}
