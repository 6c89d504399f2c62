import type { Socket } from 'node:net'

/**
 * What the node agent needs of one pod's network namespace. Everything that a data plane does in a pod goes through this contract:
 * `src/node/native` makes it of the real namespace, tests make it of plain sockets on loopback.
 */
export interface PodNetwork {
  readonly place: NetworkPlace
  /**
   * A socket bound to `[::]:port` in the pod's namespace (dual stack, SO_REUSEPORT, CLOEXEC), not listening yet: hand it to
   * `server.listen({ fd }, 4096)`, which owns it from then on. (`listen({ fd, backlog })` ignores the backlog.)
   * @throws NetworkError, for example EADDRINUSE if the application has the port
   */
  readonly bind: (port: number) => number
  /**
   * A connecting socket made in the pod's namespace, carrying the pod's mark, so that the pod's own rules do not capture it. It has
   * `allowHalfOpen` and `noDelay`. Failures arrive as its `error`, also those of making it, with the errno name as `code`.
   */
  readonly dial: (target: DialTarget) => Socket
  /** Whether a socket of `bind` that listened when this was asked before does not any more: somebody in the pod has ended it. */
  readonly deaf: () => boolean
  /** Lets the namespace go. Sockets that were made stay as they are; `bind` and `dial` fail from now on. May be called again. */
  readonly close: () => void
}

/** A pod's namespace with what captures its traffic. */
export interface CapturableNetwork extends PodNetwork {
  /** The pod's own addresses, as they are now; without loopback and link-local ones. */
  readonly addresses: () => readonly string[]
  /**
   * Puts the rules in force, or puts them in force again: to be called once the listeners listen, so that no connection finds none. They stay until
   * `release`, also when this process ends. Connections that are open already go on as they were.
   * @throws NetworkError; nothing is captured then that was not before
   */
  readonly capture: () => Promise<void>
  /**
   * Whether somebody in the pod has taken away or changed something of what `capture` put in; false after `relax`. It looks only if something was changed
   * in the namespace since the last call, so that it costs next to nothing to ask often.
   * @throws NetworkError
   */
  readonly damaged: () => Promise<boolean>
  /** Whether a socket in the namespace that nobody holds any more still has something to send, to a reader that is slow. @throws NetworkError */
  readonly unsent: () => boolean
  /** Captures no new connections; those that were captured go on. @throws NetworkError */
  readonly relax: () => Promise<void>
  /** Takes the rules back. Connections that were captured break: call it when they are done. @throws NetworkError */
  readonly release: () => Promise<void>
}

/** How another thread opens the same namespace. */
export interface NetworkPlace {
  readonly path: string
  /** What the agent's sockets are marked with. */
  readonly mark: number
}

/** What a data plane needs of the system, besides what Node has. */
export interface Networks {
  /** @throws NetworkError */
  readonly open: (place: NetworkPlace) => PodNetwork
  readonly originalDestination: OriginalDestination
}

export interface DialTarget {
  /** An IP address literal, never a name: names would be resolved in the node's namespace. */
  readonly host: string
  readonly port: number
  /** The source address to show, an IP literal of the same family as `host`: the client's own (IP_TRANSPARENT). Undefined: the pod's. */
  readonly from?: string
}

/**
 * Where a captured connection was going, before it was redirected to the listener that accepted it.
 * @returns undefined if it came straight to the listener itself: refuse it, for whoever answered it would connect to itself.
 * Addresses are as they read elsewhere: no `::ffff:` before IPv4 ones.
 */
export type OriginalDestination = (socket: Socket) => { readonly host: string; readonly port: number } | undefined

/** A system call in a namespace failed. */
export class NetworkError extends Error {
  /** The name of the errno: EADDRINUSE, EPERM, ENOENT. */
  readonly code: string
  /** The call that failed, with what it was about: `bind [::]:15001`. */
  readonly syscall: string

  constructor(code: string, syscall: string, advice?: string) {
    super(`${syscall}: ${code}${advice === undefined ? '' : ` (${advice})`}`)
    this.name = 'NetworkError'
    this.code = code
    this.syscall = syscall
  }
}
