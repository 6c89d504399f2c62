import type { Duplex } from 'node:stream'
import { Bag } from '../../src/kit/bag.ts'
import type { PortProtocol } from '../../src/model/entries.ts'
import { reason as reasonOf, type ReasonCode } from '../../src/model/reasons.ts'
import type { ExchangeRecord } from '../../src/telemetry/telemetry.ts'
import type { IncomingTunnel } from '../../src/transport/hbone-server.ts'
import { destinationKey } from '../config/compile.ts'
import { detect } from '../detect.ts'
import type { ExchangeHandler, ServerConnection } from '../exchange.ts'
import { serveHttp1 } from '../http1/server.ts'
import { serveHttp2 } from '../http2/server.ts'
import { originalClient } from '../../src/policy/speaker.ts'
import { serveConnection } from './connection.ts'
import { resolve, type Resolved } from './destination.ts'
import type { Engine } from './engine.ts'
import { callerOf, type Caller, type RequestContext } from './forwarded.ts'
import { judgeConnection, recordVerdict } from './permit.ts'
import { emptyRecord } from './record.ts'
import { serveRequest } from './request.ts'
import { reasonHeader } from './respond.ts'

/** Serves the tunnels of one waypoint. */
export interface TunnelServer {
  readonly serve: (tunnel: IncomingTunnel) => void
  /** HTTP connections that are open. */
  readonly connections: () => number
  /**
   * Lets every connection finish: HTTP/2 by GOAWAY; HTTP/1.1 by `connection: close` on the next answer, waiting `idleMs` for idle
   * clients so that no request of theirs crosses our closing.
   */
  readonly drain: (idleMs: number) => void
  readonly destroy: () => void
}

interface HttpConnection {
  readonly server: ServerConnection
  readonly protocol: 'http1' | 'http2'
}

export function createTunnelServer(engine: Engine): TunnelServer {
  const connections = new Bag<HttpConnection>()
  const streams = new Bag<Duplex>()
  let draining = false

  const refuse = (tunnel: IncomingTunnel, caller: Caller, code: ReasonCode, detail: string, facts: Partial<ExchangeRecord> = {}): void => {
    engine.telemetry.count('connection-refused')
    const record = { ...emptyRecord(engine.clock.now(), 'tcp', caller.id), ...facts }
    const { status } = reasonOf(code)
    engine.telemetry.exchangeDone({ ...record, authority: tunnel.authority, method: 'CONNECT', status, reason: code, detail }, 0)
    tunnel.refuse(status as 403 | 421 | 502 | 503, code)
  }

  const serve = (tunnel: IncomingTunnel): void => {
    const config = engine.config()
    const peer = callerOf(tunnel.peer, tunnel.peerId, engine.identity)
    if (config === undefined) {
      refuse(tunnel, peer, 'no-configuration', '')
      return
    }
    const client = originalClient(tunnel, config.speakers)
    if ('refused' in client) {
      refuse(tunnel, peer, 'denied', client.refused)
      return
    }
    const { routed } = client
    const caller = callerOf(client.identity, client.id, engine.identity, client.address)
    const key = destinationKey(tunnel.host, tunnel.port)
    const resolved = resolve(config, key, client.identity.namespace, routed)
    if (resolved.kind === 'unresolved') {
      refuse(tunnel, caller, resolved.reason, resolved.detail)
      return
    }
    const denial = denialOf(resolved, caller)
    if (denial !== undefined) {
      refuse(tunnel, caller, 'denied', denial.detail, denial)
      return
    }
    engine.telemetry.count('connection')
    const stream = tunnel.accept()
    const remove = streams.add(stream)
    engine.usage.connections++
    tunnel.onClosed(() => {
      remove()
      engine.usage.connections--
    })
    void accepted(stream, resolved, { caller, destination: key, routed }).catch(() => stream.destroy(new Error('serving failed')))
  }

  const accepted = async (stream: Duplex, resolved: Resolved, context: RequestContext): Promise<void> => {
    stream.on('error', () => {})
    const declared = declaredProtocol(resolved)
    const found = await detect(stream, declared, { clock: engine.clock })
    if (stream.destroyed) return
    if (found.protocol === 'http1' || found.protocol === 'http2') {
      serveHttp(stream, found.protocol, context)
      return
    }
    const serverName = found.protocol === 'tls' ? found.serverName : undefined
    await serveConnection(engine, stream, resolved, { ...context, protocol: found.protocol, serverName })
  }

  const serveHttp = (stream: Duplex, protocol: 'http1' | 'http2', context: RequestContext): void => {
    const handler: ExchangeHandler = (exchange) => {
      // Now that a request is in flight nothing is lost by the announcement.
      if (draining && protocol === 'http1') server.drain()
      serveRequest(engine, context, exchange)
    }
    const onProtocolError = (code: ReasonCode, detail: string): [string, string] => {
      const record = emptyRecord(engine.clock.now(), protocol, context.caller.id)
      engine.telemetry.exchangeDone({ ...record, status: reasonOf(code).status, reason: code, detail }, 0)
      return [reasonHeader, code]
    }
    const options = { limits: engine.limits.server, clock: engine.clock, onProtocolError }
    const server = protocol === 'http1' ? serveHttp1(stream, handler, options) : serveHttp2(stream, handler, options)
    const connection = { server, protocol }
    const gone = connections.add(connection)
    if (stream.destroyed) gone()
    else stream.once('close', gone)
    // A tunnel that was opened while the drain began gets its first request served.
    if (draining && protocol === 'http2') server.drain()
  }

  return {
    serve,
    connections: () => connections.size,
    drain: (idleMs) => {
      if (draining) return
      draining = true
      for (const { server, protocol } of connections) if (protocol === 'http2') server.drain()
      engine.clock.after(idleMs, () => {
        for (const { server } of connections) server.drain()
      })
    },
    destroy: () => {
      for (const { server } of connections) server.destroy()
      for (const stream of streams) stream.destroy(new Error('the waypoint is closing'))
    },
  }
}

/** A connection that will not be read and that policies deny is refused before it is accepted; what is said of it, then. */
function denialOf(resolved: Resolved, caller: Caller): (Partial<ExchangeRecord> & { readonly detail: string }) | undefined {
  const { service: { guard, entry, port }, level } = resolved
  const declared = declaredProtocol(resolved)
  if (guard === undefined || (declared !== 'tcp' && declared !== 'tls')) return undefined
  const verdict = judgeConnection(guard.service, caller, guard.ports)
  if (verdict.allowed) return undefined
  const record = { protocol: declared, service: entry.name, namespace: entry.namespace, port: port.port, level, detail: verdict.reason } as ExchangeRecord
  recordVerdict(record, verdict)
  return record
}

/** What the routes say, else what the Service port says. */
function declaredProtocol({ service, table }: Resolved): PortProtocol {
  if (table === undefined) return service.port.protocol
  return table.kind === 'request' ? 'http' : table.protocol
}
