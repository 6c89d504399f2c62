import type { Duplex } from 'node:stream'
import { detect } from '../detect.ts'
import type { DetectOptions } from '../detect.ts'
import { forwardTcp } from './tcp.ts'
import type { ConnectionReport, ConnectionRoute } from './tcp.ts'

/** Milliseconds that a client may take for its ClientHello. */
const helloMs = 10_000

/**
 * Forwards a TLS connection by its server name without opening it (passthrough). The name is looked at only if there are routes.
 * What is not TLS, or has no readable ClientHello in time, matches only rules without hostnames.
 * Never rejects.
 */
export async function forwardTls<T>(client: Duplex, route: ConnectionRoute<T>, options: DetectOptions): Promise<ConnectionReport<T>> {
  if (route.table === undefined) return forwardTcp(client, route, options)
  const found = await detect(client, 'tls', { patienceMs: helloMs, ...options })
  return forwardTcp(client, route, { clock: options.clock, serverName: found.protocol === 'tls' ? found.serverName : undefined })
}
