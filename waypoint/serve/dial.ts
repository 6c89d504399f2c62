import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/kit/clock.ts'
import type { Endpoint } from '../../src/model/entries.ts'
import { speakingFor } from '../../src/policy/speaker.ts'
import type { Telemetry } from '../../src/telemetry/telemetry.ts'
import { formatAuthority } from '../../src/transport/authority.ts'
import { HboneError, type HboneErrorCode } from '../../src/transport/errors.ts'
import type { HboneClient } from '../../src/transport/hbone-client.ts'
import type { DialEndpoint, DialOptions } from '../backends/pools.ts'
import type { RoutedEndpoint } from '../config/runtime.ts'
import { DialError } from '../upstream.ts'

export interface DialerOptions {
  readonly hbone: HboneClient
  readonly clock: Clock
  /** Milliseconds for a plain connection; tunnels have the client's own. */
  readonly connectTimeoutMs: number
  /** Headers of every CONNECT: who we are. */
  readonly headers: Readonly<Record<string, string>>
  readonly count: Telemetry['count']
}

const reasons: Readonly<Record<HboneErrorCode, DialError['reason']>> = {
  'refused': 'connect-failure',
  'unreachable': 'connect-failure',
  'peer-identity': 'peer-identity',
  'timeout': 'connect-timeout',
  'session-lost': 'connect-failure',
}

/** Connects to endpoints as the configuration says: in plain, or by HBONE to whoever must answer there. */
export function createDialer({ hbone, clock, connectTimeoutMs, headers, count }: DialerOptions): DialEndpoint {
  return async (endpoint, options) => {
    if (endpoint.transport.kind === 'plain') {
      const socket = await dialPlain(endpoint, options, clock, connectTimeoutMs)
      count('upstream-plain')
      return socket
    }
    const tunnel = await dialHbone(hbone, endpoint, endpoint.transport, { ...options, headers: { ...headers, ...options.headers, ...speaking(endpoint, options) } })
    count('upstream-hbone')
    return tunnel
  }
}

/** Whoever judges by the original client is told who it is; nobody else needs to know. */
function speaking({ perClient, via }: RoutedEndpoint, { client }: DialOptions): Readonly<Record<string, string>> {
  return perClient === true ? speakingFor(client, via !== undefined) : {}
}

async function dialHbone(
  hbone: HboneClient,
  { address, port, via }: RoutedEndpoint,
  transport: Extract<Endpoint['transport'], { readonly kind: 'hbone' }>,
  { headers = {}, signal }: Pick<DialOptions, 'headers' | 'signal'>,
): Promise<Duplex> {
  try {
    return await hbone.connect({
      host: address,
      port: transport.port,
      authority: via ?? formatAuthority(address, port),
      peer: { kind: 'identity', id: transport.identity },
      headers,
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (!(error instanceof HboneError)) throw error
    throw new DialError(error.reason === 'overload' ? 'overload' : reasons[error.code], `tunnel to ${address}: ${error.message}`, { cause: error })
  }
}

function dialPlain(endpoint: Endpoint, { allowHalfOpen, signal }: DialOptions, clock: Clock, timeoutMs: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: endpoint.address, port: endpoint.port, noDelay: true, keepAlive: true, allowHalfOpen })
    const settle = (): void => {
      cancel()
      signal?.removeEventListener('abort', onAbort)
      socket.off('error', onError)
    }
    const fail = (error: Error): void => {
      settle()
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onError = (error: NodeJS.ErrnoException): void =>
      fail(new DialError(error.code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failure', error.message, { cause: error }))
    const onAbort = (): void => fail(new DialError('connect-failure', 'the connection was given up'))
    const cancel = clock.after(timeoutMs, () => fail(new DialError('connect-timeout', `no connection within ${timeoutMs} ms`)))
    socket.once('error', onError)
    signal?.addEventListener('abort', onAbort)
    socket.once('connect', () => {
      settle()
      resolve(socket)
    })
    if (signal?.aborted === true) onAbort()
  })
}
