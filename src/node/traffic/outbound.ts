import type { Socket } from 'node:net'
import type { CapturedDecision } from '../../model/destination.ts'
import type { WorkloadEntry } from '../../model/entries.ts'
import type { Identity } from '../../model/identity.ts'
import { unknownEnd, type ConnectionEnd, type ConnectionRecord } from '../../telemetry/connections.ts'
import { formatAuthority } from '../../transport/authority.ts'
import type { HboneClient } from '../../transport/hbone-client.ts'
import type { OriginalDestination } from '../network.ts'
import { formatForwarded, plainAddress } from './addresses.ts'
import { OpenError } from './dial.ts'
import { baggageOf, podEnd } from './ends.ts'
import type { LiveConnections } from './live.ts'
import type { Open, Opened } from './open.ts'
import type { PodConfig } from './view.ts'

export interface OutboundOptions {
  readonly config: () => PodConfig | undefined
  readonly originalDestination: OriginalDestination
  readonly open: Open
  readonly hbone: () => HboneClient | undefined
  readonly live: LiveConnections
}

/** Bytes after which a tunnel counts as bulk. */
const bulkBytes = 4 * 1024 * 1024

/**
 * Serves what a pod sends: finds out where to, and takes it there as configuration says. What can't be had, or may not be, is reset;
 * what belongs to the mesh never goes out in plain.
 */
export function createOutbound({ config: present, originalDestination, open, hbone, live }: OutboundOptions): (socket: Socket) => void {
  const serve = async (socket: Socket): Promise<void> => {
    const connection = live.begin('outbound')
    const { record } = connection
    connection.hold(socket)
    const target = originalDestination(socket)
    if (target === undefined) {
      connection.refuse('refused', 'direct-hit', '', socket)
      return
    }
    record.destination = unknownEnd(formatAuthority(target.host, target.port))
    const config = present()
    if (config === undefined) {
      connection.refuse('refused', 'no-configuration', '', socket)
      return
    }
    const ip = plainAddress(socket.remoteAddress ?? '')
    const port = socket.remotePort ?? 0
    record.source = podEnd(config.guards.workload, formatAuthority(ip, port))
    const headers = (host?: string): Record<string, string> => ({ forwarded: formatForwarded(ip, port, host), baggage: baggageOf(config.guards.workload) })
    let opened: Opened
    try {
      opened = await openAs(config, target, record, headers)
    } catch (error) {
      const failure = error instanceof OpenError ? error : new OpenError('connect-failure', error instanceof Error ? error.message : '', { cause: error })
      connection.refuse(record.tries === 0 ? 'refused' : 'failed', failure.reason, failure.message, socket)
      return
    }
    record.transport = opened.transport
    record.peer = opened.peer
    const { stream } = opened
    if (opened.transport === 'plain') connection.join(socket, stream)
    else connection.join(socket, stream, { bulkBytes, onBulk: () => hbone()?.markBulk(stream) })
  }

  const openAs = async (config: PodConfig, target: { readonly host: string; readonly port: number }, record: ConnectionRecord, headers: (host?: string) => Record<string, string>): Promise<Opened> => {
    const attempt = (by: PodConfig): Promise<Opened> => {
      const { view, guards: { workload } } = by
      const decision = view.decide(identityOf(workload), target.host, target.port)
      describe(record, decision)
      return open(decision, { view, headers, onTry: (peer) => {
        record.tries++
        record.peer = peer
      } })
    }
    try {
      return await attempt(config)
    } catch (error) {
      // Endpoints or a waypoint that went while they were dialled: nothing was sent, and the present configuration may know others.
      const now = present()
      if (now === undefined || now.view === config.view || record.tries === 0) throw error
      return await attempt(now)
    }
  }

  return (socket) => void serve(socket)
}

const identities = new WeakMap<WorkloadEntry, Identity>()

function identityOf(workload: WorkloadEntry): Identity {
  let identity = identities.get(workload)
  if (identity === undefined) {
    const { namespace, serviceAccount } = workload
    identities.set(workload, (identity = { trustDomain: workload.identity.split('/')[2] ?? '', namespace, serviceAccount }))
  }
  return identity
}

/** Writes down what was decided. */
function describe(record: ConnectionRecord, decision: CapturedDecision): void {
  const { address } = record.destination
  switch (decision.kind) {
    case 'waypoint':
    case 'endpoints': {
      const { namespace, name } = decision.service
      record.service = `${namespace}/${name}`
      record.destination = { namespace, workload: name, pod: '', id: '', address } satisfies ConnectionEnd
      record.via = decision.kind === 'waypoint' ? 'waypoint' : 'endpoint'
      return
    }
    case 'workload':
      record.destination = podEnd(decision.workload, address)
      record.via = 'endpoint'
      return
    case 'outside':
      record.via = 'outside'
      return
    case 'refused':
  }
}
