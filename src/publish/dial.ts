import { lookup } from 'node:dns/promises'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'
import type { Clock } from '../kit/clock.ts'
import type { Credentials } from '../model/credentials.ts'
import { contextOptions } from '../transport/contexts.ts'
import { verifyPeer } from '../transport/peer.ts'
import { parseTrustBundle } from '../transport/svid.ts'
import { connectTimeoutMs, controlProtocol } from './control-tls.ts'
import type { Dialled } from './link.ts'

/** Finds every IP address of a host name. */
export type Resolve = (host: string) => Promise<readonly string[]>

/** As the machine resolves names. */
export const systemResolve: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

export interface DialOptions {
  /** SPIFFE id that must answer. */
  readonly controllerId: string
  readonly trustDomain: string
  /** Roots that the controller's certificate may chain to, PEM. */
  readonly trustBundlePem: readonly string[]
  /** What we show; undefined: nothing, to ask for it. */
  readonly credentials: Credentials | undefined
  readonly clock: Clock
}

/** A controller that could not be reached, or somebody else who answered. */
export class DialError extends Error {
  /** What the reader can do next. */
  readonly advice: string
  constructor(message: string, advice: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DialError'
    this.advice = advice
  }
}

/** Opens a stream to the controller at one address. @throws {DialError} */
export function dialController(host: string, port: number, options: DialOptions): Promise<Dialled> {
  const { clock, controllerId, trustDomain, trustBundlePem: ca, credentials } = options
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const bundle = parseTrustBundle(ca)
  const secureContext = createSecureContext({ ...(credentials === undefined ? { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } : contextOptions(credentials)), ca: [...ca] })
  return new Promise((resolve, reject) => {
    const tcp = connectTcp({ host, port, noDelay: true, autoSelectFamily: false })
    const socket = connectTls({ socket: tcp, secureContext, ALPNProtocols: [controlProtocol], checkServerIdentity: () => undefined })
    const cancel = clock.after(connectTimeoutMs, () => fail(new DialError(`${where} did not answer within ${connectTimeoutMs} ms`, reachable)))
    const fail = (error: Error): void => {
      cancel()
      socket.off('close', onClose)
      socket.destroy()
      tcp.destroy()
      reject(error)
    }
    const onClose = (): void => fail(new DialError(`${where} closed the connection`, reachable))
    tcp.on('error', (cause) => fail(new DialError(`${where}: ${cause.message}`, reachable, { cause })))
    socket.on('error', (cause: Error) => {
      // Null, whatever the types say, until the peer's certificate is refused.
      const untrusted = (socket.authorizationError as Error | null | undefined) ?? undefined
      fail(new DialError(`${where}: ${cause.message}`, untrusted === undefined ? reachable : trusted, { cause }))
    })
    socket.on('close', onClose)
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol !== controlProtocol) {
        fail(new DialError(`${where} does not speak ${controlProtocol}`, 'give the address and port of the controller'))
        return
      }
      const verdict = verifyPeer(socket, { bundle, trustDomain, nowMs: clock.now(), usage: 'server' })
      if (!verdict.ok) {
        fail(new DialError(`the certificate of ${where} is refused: ${verdict.code}: ${verdict.message}`, trusted))
        return
      }
      if (verdict.peer.id !== controllerId) {
        fail(new DialError(`${verdict.peer.id} answers on ${where}, not ${controllerId}`, 'give the address of the controller, and its identity if that is another than the usual one'))
        return
      }
      cancel()
      socket.off('close', onClose)
      resolve({ stream: socket, address: host, endsMs: Math.min(verdict.peer.notAfterMs, credentials?.notAfterMs ?? Infinity) })
    })
  })
}

const reachable = 'see that the controller runs, and that no NetworkPolicy stands between'
const trusted = 'compare the trust bundle of this process with the controller\'s'

/**
 * Tries the addresses of a name one after the other, in random order.
 * @param avoid goes last
 * @throws the error of the last one
 */
export async function dialAny(
  addresses: readonly string[],
  avoid: string | undefined,
  random: () => number,
  dial: (address: string) => Promise<Dialled>,
): Promise<Dialled> {
  const order = addresses.map((address) => ({ address, rank: address === avoid ? 1 : random() })).sort((a, b) => a.rank - b.rank)
  let last: unknown = new DialError('the controller\'s name has no address', 'see that a controller is ready: kubectl -n waymark-system get pods')
  for (const { address } of order) {
    try {
      return await dial(address)
    } catch (error) {
      last = error
    }
  }
  throw last
}
