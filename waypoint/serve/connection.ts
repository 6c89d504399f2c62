import type { Duplex } from 'node:stream'
import { pickEndpoint } from '../backends/balance.ts'
import type { Host } from '../backends/pools.ts'
import { forwardTcp, type ConnectionRoute } from '../forward/tcp.ts'
import { endpointsOf, isSame, type ServiceTarget } from './choose.ts'
import { resolve, type Resolved } from './destination.ts'
import { forwardedHeader } from '../../src/policy/speaker.ts'
import { reset } from '../../src/transport/tunnel.ts'
import type { Engine } from './engine.ts'
import type { RequestContext } from './forwarded.ts'
import { judgeConnection, recordVerdict } from './permit.ts'
import { emptyRecord, recordDestination } from './record.ts'

export interface OpaqueConnection extends RequestContext {
  readonly protocol: 'tcp' | 'tls'
  /** SNI, lower case. */
  readonly serverName: string | undefined
}

/** Forwards a connection whose bytes are not looked at, and puts policies that change to it anew; resolves when it is over. Never rejects. */
export async function serveConnection(engine: Engine, client: Duplex, resolved: Resolved, connection: OpaqueConnection): Promise<void> {
  const { service, level, table } = resolved
  const record = emptyRecord(engine.clock.now(), connection.protocol, connection.caller.id)
  recordDestination(record, service, level)
  if (service.guard !== undefined) {
    const verdict = judgeConnection(service.guard.service, connection.caller, service.guard.ports)
    recordVerdict(record, verdict)
    if (!verdict.allowed) {
      reset(client)
      engine.telemetry.exchangeDone({ ...record, reason: 'denied', detail: verdict.reason }, 0)
      return
    }
  }
  let denied = ''
  let chosen: ServiceTarget | undefined
  const permits = (target: ServiceTarget): boolean => {
    chosen = target
    const guard = isSame(target, service.self) ? undefined : engine.config()?.guardOf(target)
    const verdict = guard && judgeConnection(guard.service, connection.caller, guard.ports)
    if (verdict !== undefined) recordVerdict(record, verdict)
    denied = verdict?.allowed === false ? verdict.reason : (endpointsOf(engine, target)?.closed ?? '')
    return denied === ''
  }
  const objection = (): string | undefined => {
    const config = engine.config()
    const now = config && resolve(config, connection.destination, connection.caller.identity.namespace, connection.routed)
    // A Service that is gone is guarded by nobody; its pods' agents judge for themselves.
    if (config === undefined || now?.kind !== 'resolved') return undefined
    const guards = [now.service.guard, chosen === undefined || isSame(chosen, now.service.self) ? undefined : config.guardOf(chosen)]
    for (const guard of guards) {
      const verdict = guard && judgeConnection(guard.service, connection.caller, guard.ports)
      if (verdict?.allowed === false) return verdict.reason
    }
    return chosen && endpointsOf(engine, chosen)?.closed
  }
  const settled = engine.standing.add({
    objection,
    cut: (why) => {
      denied = why
      reset(client)
    },
  })
  const route: ConnectionRoute<Host> = {
    destination: service.self,
    table: table?.kind === 'connection' ? table.table : undefined,
    pick: (target, tried) => {
      if (!permits(target)) return undefined
      const set = endpointsOf(engine, target)
      const exclude = new Set(tried)
      const host = set && pickEndpoint(engine.hosts.candidates(set), (each) => each.load(), { random: engine.random, isEjected: (each) => each.isEjected() }, exclude)
      // The same endpoint again is no other endpoint.
      return host !== undefined && exclude.has(host) ? undefined : host
    },
    dial: (host, signal) => dial(host, connection, signal),
  }
  const report = await forwardTcp(client, route, { clock: engine.clock, serverName: connection.serverName })
  settled()
  record.rule = report.rule
  record.endpoint = report.endpoint?.address ?? ''
  record.tries = report.tries
  record.reason = denied === '' ? report.reason : 'denied'
  record.detail = denied === '' ? report.detail : denied
  record.bytesIn = report.bytesFromClient
  record.bytesOut = report.bytesToClient
  engine.telemetry.exchangeDone(record, report.durationMs)
}

async function dial(host: Host, { caller }: OpaqueConnection, signal: AbortSignal): Promise<Duplex> {
  const headers = caller.address === undefined ? {} : { forwarded: forwardedHeader(caller.address) }
  try {
    const stream = await host.dial({ allowHalfOpen: true, headers, client: caller, signal })
    host.succeeded()
    host.connections++
    stream.once('close', () => { host.connections-- })
    return stream
  } catch (error) {
    if (!signal.aborted) host.failed()
    throw error
  }
}
