import type { Duplex } from 'node:stream'
import { pickEndpoint } from '../backends/balance.ts'
import type { Host } from '../backends/pools.ts'
import { forwardTcp, type ConnectionRoute } from '../forward/tcp.ts'
import { endpointsOf } from './choose.ts'
import type { Resolved } from './destination.ts'
import type { Engine } from './engine.ts'
import type { Caller } from './forwarded.ts'
import { emptyRecord } from './record.ts'

export interface OpaqueConnection {
  readonly protocol: 'tcp' | 'tls'
  /** SNI, lower case. */
  readonly serverName: string | undefined
  readonly caller: Caller
  /** Address of the peer's end, for `forwarded`. */
  readonly remoteAddress: string
}

/** Forwards a connection whose bytes are not looked at; resolves when it is over. Never rejects. */
export async function serveConnection(engine: Engine, client: Duplex, resolved: Resolved, connection: OpaqueConnection): Promise<void> {
  const { service, level, table } = resolved
  const record = emptyRecord(engine.clock.now(), connection.protocol, connection.caller.id)
  record.service = service.entry.name
  record.namespace = service.entry.namespace
  record.port = service.port.port
  record.level = level
  const route: ConnectionRoute<Host> = {
    destination: service.self,
    table: table?.kind === 'connection' ? table.table : undefined,
    pick: (target, tried) => {
      const set = endpointsOf(engine, target)
      const exclude = new Set(tried)
      const host = set && pickEndpoint(engine.hosts.candidates(set), (each) => each.load(), { random: engine.random, isEjected: (each) => each.isEjected() }, exclude)
      // The same endpoint again is no other endpoint.
      return host !== undefined && exclude.has(host) ? undefined : host
    },
    dial: (host, signal) => dial(host, connection, signal),
  }
  const report = await forwardTcp(client, route, { clock: engine.clock, serverName: connection.serverName })
  record.rule = report.rule
  record.endpoint = report.endpoint?.address ?? ''
  record.tries = report.tries
  record.reason = report.reason
  record.detail = report.detail
  record.bytesIn = report.bytesFromClient
  record.bytesOut = report.bytesToClient
  engine.telemetry.exchangeDone(record, report.durationMs)
}

async function dial(host: Host, { remoteAddress }: OpaqueConnection, signal: AbortSignal): Promise<Duplex> {
  const forwarded = `for="${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}"`
  try {
    const stream = await host.dial({ allowHalfOpen: true, headers: { forwarded }, signal })
    host.succeeded()
    host.connections++
    stream.once('close', () => { host.connections-- })
    return stream
  } catch (error) {
    if (!signal.aborted) host.failed()
    throw error
  }
}
