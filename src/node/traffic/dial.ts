import type { Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import type { ReasonCode } from '../../model/reasons.ts'
import type { DialTarget } from '../network.ts'

/** A connection that could not be made, as a row of the reason table. */
export class OpenError extends Error {
  readonly reason: ReasonCode
  constructor(reason: ReasonCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OpenError'
    this.reason = reason
  }
}

/**
 * Waits until a socket that a pod's network dialled is connected.
 * @returns the socket, standing still
 * @throws {OpenError} `connect-failure`, `connect-timeout`; the socket is destroyed then
 */
export function whenConnected(socket: Socket, { host, port }: DialTarget, clock: Clock, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (reason: ReasonCode, message: string, cause?: Error): void => {
      cancel()
      socket.destroy()
      reject(new OpenError(reason, `${host}, port ${port}: ${message}`, { cause }))
    }
    const cancel = clock.after(timeoutMs, () => fail('connect-timeout', `no connection within ${timeoutMs} ms`))
    const onError = (error: NodeJS.ErrnoException): void => fail(error.code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failure', error.message, error)
    // Also when it was destroyed from outside, which is no error.
    const onClose = (): void => fail('connect-failure', 'given up')
    socket.once('error', onError)
    socket.once('close', onClose)
    socket.once('connect', () => {
      cancel()
      socket.off('error', onError)
      socket.off('close', onClose)
      // Whoever joins it may do so a moment later.
      socket.on('error', () => {})
      resolve(socket)
    })
  })
}
