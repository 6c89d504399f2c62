import type { Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { unknownEnd } from '../../telemetry/connections.ts'
import { formatAuthority } from '../../transport/authority.ts'
import type { OriginalDestination, PodNetwork } from '../network.ts'
import { plainAddress } from './addresses.ts'
import { admitPlaintext, type PlaintextFacts } from './admission.ts'
import { deliver } from './deliver.ts'
import { OpenError } from './dial.ts'
import { clientEnd, podEnd } from './ends.ts'
import { objectionTo } from './inbound.ts'
import type { LiveConnections } from './live.ts'
import type { MeshPorts, PodConfig } from './view.ts'

export interface PlaintextOptions {
  readonly config: () => PodConfig | undefined
  readonly originalDestination: OriginalDestination
  readonly network: PodNetwork
  readonly ports: MeshPorts
  readonly clock: Clock
  readonly live: LiveConnections
}

/** Serves what reaches a pod outside of HBONE: by whoever is not in the mesh, or goes round it. Reset, unless the pod takes it. */
export function createPlaintext({ config: present, originalDestination, network, ports, clock, live }: PlaintextOptions): (socket: Socket) => void {
  const serve = async (socket: Socket): Promise<void> => {
    const connection = live.begin('plaintext')
    const { record } = connection
    connection.hold(socket)
    record.transport = 'plain'
    const target = originalDestination(socket)
    if (target === undefined) {
      connection.refuse('refused', 'direct-hit', '', socket)
      return
    }
    const remoteIp = plainAddress(socket.remoteAddress ?? '')
    const remote = formatAuthority(remoteIp, socket.remotePort ?? 0)
    const destination = formatAuthority(target.host, target.port)
    const config = present()
    if (config === undefined) {
      record.source = unknownEnd(remote)
      record.destination = unknownEnd(destination)
      connection.refuse('refused', 'no-configuration', '', socket)
      return
    }
    record.source = clientEnd(config.view, remoteIp, remote, '')
    record.destination = podEnd(config.guards.workload, destination)
    const facts: PlaintextFacts = { remoteIp, ...target }
    const admission = admitPlaintext(config, ports, facts)
    record.policy = admission.policy
    record.audit = admission.audit
    if (admission.kind === 'refuse') {
      connection.refuse(admission.outcome, admission.reason, admission.detail, socket)
      return
    }
    try {
      const application = await deliver(network, admission, clock).connected
      const objection = objectionTo(present, (now) => admitPlaintext(now, ports, facts))
      const objected = present() === config ? undefined : objection()
      if (objected !== undefined) {
        connection.refuse(objected.outcome, objected.reason, objected.detail, socket, application)
        return
      }
      connection.objection = objection
      connection.join(socket, application)
    } catch (error) {
      const failure = error instanceof OpenError ? error : new OpenError('connect-failure', '', { cause: error })
      connection.refuse('failed', failure.reason, failure.message, socket)
    }
  }
  return (socket) => void serve(socket)
}
