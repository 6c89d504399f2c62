import type { Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import type { PodNetwork } from '../network.ts'
import type { Admission } from './admission.ts'
import { whenConnected } from './dial.ts'

/** Until the pod's application must have accepted a connection: it is in the same kernel. */
const timeoutMs = 5_000

/** A connection to a pod's application on its way. */
export interface Delivery {
  /** @throws {OpenError} `connect-failure`, `connect-timeout` */
  readonly connected: Promise<Socket>
  /** Whoever it was for is gone. */
  readonly giveUp: () => void
}

/** Connects to a pod's application, which sees the client's address if that can be shown. */
export function deliver(network: PodNetwork, { host, port, from }: Extract<Admission, { kind: 'deliver' }>, clock: Clock): Delivery {
  const target = from === undefined ? { host, port } : { host, port, from }
  const socket = network.dial(target)
  return {
    connected: whenConnected(socket, target, clock, timeoutMs),
    giveUp: () => {
      // Once it is connected, it is joined, and its ends follow the tunnel's.
      if (socket.connecting) socket.destroy()
    },
  }
}
