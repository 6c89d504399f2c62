import type { Clock } from '../../kit/clock.ts'
import type { CredentialSource } from '../../model/credentials.ts'
import { unknownEnd } from '../../telemetry/connections.ts'
import { formatAuthority } from '../../transport/authority.ts'
import { listenHbone, type HboneRefusal, type HboneServer, type HboneServerLimits, type IncomingTunnel } from '../../transport/hbone-server.ts'
import type { PodNetwork } from '../network.ts'
import { plainAddress } from './addresses.ts'
import { admitTunnel, type Admission, type TunnelFacts } from './admission.ts'
import { deliver } from './deliver.ts'
import { OpenError } from './dial.ts'
import { baggageOf, clientEnd, podEnd } from './ends.ts'
import type { LiveConnections, Objection } from './live.ts'
import type { MeshPorts, PodConfig } from './view.ts'

export interface InboundOptions {
  readonly config: () => PodConfig | undefined
  readonly network: PodNetwork
  readonly ports: MeshPorts
  readonly clock: Clock
  readonly live: LiveConnections
}

const refusalReasons = { 'handshake': 'peer-identity', 'peer': 'peer-identity', 'request': 'malformed-request', 'overload': 'overload' } as const

/**
 * Ends the tunnels of other mesh members in a pod's name, and hands on what they carry once it is judged.
 * @param fd bound to the pod's HBONE port
 */
export function listenInbound(fd: number, credentials: CredentialSource, limits: Partial<HboneServerLimits>, options: InboundOptions): Promise<HboneServer> {
  const onTunnel = serveTunnels(options)
  const onRefused = ({ kind, remoteAddress, message }: HboneRefusal): void => {
    const connection = options.live.begin('inbound')
    connection.record.source = unknownEnd(plainAddress(remoteAddress))
    const config = options.config()
    if (config !== undefined) connection.record.destination = podEnd(config.guards.workload, '')
    connection.refuse('refused', refusalReasons[kind], message)
  }
  return listenHbone({ fd, credentials, clock: options.clock, limits, onTunnel, onRefused })
}

/** Serves the tunnels to one pod. */
export function serveTunnels({ config: present, network, ports, clock, live }: InboundOptions): (tunnel: IncomingTunnel) => void {
  const serve = async (tunnel: IncomingTunnel): Promise<void> => {
    const connection = live.begin('inbound')
    const { record } = connection
    record.transport = 'mtls'
    const config = present()
    const remoteIp = plainAddress(tunnel.remoteAddress)
    if (config === undefined) {
      record.source = unknownEnd(remoteIp)
      tunnel.refuse(503, 'no-configuration')
      connection.refuse('refused', 'no-configuration', '')
      return
    }
    const { peer, peerId, host, port, headers } = tunnel
    const facts: TunnelFacts = { peer, peerId, remoteAddress: remoteIp, host, port, headers }
    const admission = admitTunnel(config, ports, facts)
    record.destination = podEnd(config.guards.workload, formatAuthority(host, port))
    record.policy = admission.policy
    record.audit = admission.audit
    record.source = clientEnd(config.view, admission.client.ip, admission.client.ip, admission.client.id)
    if (admission.kind === 'refuse') {
      tunnel.refuse(admission.status, admission.reason)
      connection.refuse(admission.outcome, admission.reason, admission.detail)
      return
    }
    const objection = objectionTo(present, (now) => admitTunnel(now, ports, facts))
    const delivery = deliver(network, admission, clock)
    tunnel.onClosed(delivery.giveUp)
    try {
      const application = await delivery.connected
      const objected = present() === config ? undefined : objection()
      if (objected !== undefined) {
        tunnel.refuse(401, objected.reason)
        connection.refuse(objected.outcome, objected.reason, objected.detail, application)
        return
      }
      const stream = tunnel.accept({ baggage: baggageOf(config.guards.workload) })
      connection.objection = objection
      connection.join(stream, application)
    } catch (error) {
      const failure = error instanceof OpenError ? error : new OpenError('connect-failure', '', { cause: error })
      const reason = tunnel.closed() ? 'client-gone' : failure.reason
      tunnel.refuse(503, reason)
      connection.refuse('failed', reason, failure.message)
    }
  }
  return (tunnel) => void serve(tunnel)
}

/** Asks anew whether a connection would be let in, by what holds now. */
export function objectionTo(config: () => PodConfig | undefined, admit: (config: PodConfig) => Admission): () => Objection | undefined {
  return () => {
    const present = config()
    if (present === undefined) return { outcome: 'refused', reason: 'no-configuration', detail: '' }
    const admission = admit(present)
    return admission.kind === 'refuse' ? admission : undefined
  }
}
