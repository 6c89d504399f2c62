import { compileConfig, destinationKey } from '../../../waypoint/config/compile.ts'
import { resolve, type Resolved } from '../../../waypoint/serve/destination.ts'
import { normaliseTarget } from '../../../waypoint/route/path.ts'
import { decide, indexDestinations, type Decision } from '../../model/destination.ts'
import type { PortProtocol } from '../../model/entries.ts'
import { formatSpiffeId, type Identity } from '../../model/identity.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import { slice } from '../../publish/slice.ts'
import { parseAuthority } from '../../transport/authority.ts'
import { entryAnswer, ownEndpoints, reasonAnswer } from './backends.ts'
import type { Case, Judgement } from './case.ts'
import { explainConnection } from './connection.ts'
import { judgeAtPod, type PolicyJudgement } from './policies.ts'
import type { Explanation } from './explanation.ts'
import type { Probe } from './probe.ts'
import { explainRequest } from './request.ts'

/** Says what would become of `probe` if `caller` sent it, by the code that the entry and the waypoints run. */
export function explainProbe(snapshot: Snapshot, caller: Identity, probe: Probe): Explanation {
  const entry = slice(snapshot, { kind: 'entry', namespace: caller.namespace })
  const decision = decide(indexDestinations(entry), caller, probe.host, probe.port)
  const base = {
    caller: formatSpiffeId(caller),
    request: requestOf(probe),
    level: 'none', candidates: [], backends: [],
  } as const
  switch (decision.kind) {
    case 'refused':
      return { ...base, because: decision.detail, answer: entryAnswer(decision.reason, decision.detail) }
    case 'workload': {
      const { workload, address, port } = decision
      const transport = workload.enrolled ? ({ kind: 'hbone', port: 0, identity: workload.identity } as const) : ({ kind: 'plain' } as const)
      const pod = `${workload.namespace}/${workload.name}`
      return {
        ...base,
        destination: { pod, port },
        because: `${address} is the address of a pod: such traffic goes straight to it, no routes apply`,
        ...found(judgeAtPod(snapshot, { address, port }, caller, probe)),
        backends: [{ target: `pod ${pod}`, weight: 1, sharePercent: 100, filters: [], changes: [], endpoints: [{ address, port, condition: 'ready', transport }] }],
      }
    }
    case 'endpoints': {
      const { service, port, endpoints } = decision
      const own = ownEndpoints({ kind: 'service', namespace: service.namespace, name: service.name, port: port.port }, endpoints, { protocol: 'http' })
      return {
        ...base,
        destination: { service: `${service.namespace}/${service.name}`, port: port.port, speaks: port.protocol },
        because: `no waypoint serves ${service.namespace}/${service.name}: connections go straight to its endpoints, no routes apply`,
        backends: [own],
        ...(own.endpoints[0] === undefined ? {} : found(judgeAtPod(snapshot, own.endpoints[0], caller, probe))),
        ...(own.answer === undefined ? {} : { answer: own.answer }),
      }
    }
    case 'waypoint':
      return atWaypoint(snapshot, caller, probe, decision)
  }
}

function atWaypoint(snapshot: Snapshot, caller: Identity, probe: Probe, decision: Extract<Decision, { kind: 'waypoint' }>): Explanation {
  const { waypoint, service, port, level } = decision
  const config = compileConfig(slice(snapshot, { kind: 'waypoint', namespace: waypoint.namespace }), waypoint.namespace)
  const authority = parseAuthority(decision.authority)
  const resolved = authority === undefined ? undefined : resolve(config, destinationKey(authority.host, authority.port), caller.namespace)
  const base = {
    caller: formatSpiffeId(caller),
    request: requestOf(probe),
    destination: { service: `${service.namespace}/${service.name}`, port: port.port, speaks: port.protocol },
    waypoint: { name: `${waypoint.namespace}/${waypoint.name}`, identity: waypoint.identity },
  } as const
  if (resolved?.kind !== 'resolved') {
    const detail = resolved?.detail ?? `${decision.authority} is no address that a waypoint recognises`
    const answer = reasonAnswer(resolved?.reason ?? 'unknown-destination', detail, probe)
    return { ...base, level: 'none', because: detail, candidates: [], backends: [], answer }
  }
  const because = reasonOfLevel(resolved, level, waypoint.namespace, caller.namespace)
  const declared = declaredProtocol(resolved)
  return {
    ...base,
    destination: { ...base.destination, speaks: declared },
    level: resolved.level,
    because,
    ...judge({ snapshot, config, caller, probe, resolved, declared, waypointId: waypoint.identity }),
  }
}

/** What policies add; nothing if there are none. */
function found({ policies, answer }: PolicyJudgement): Pick<Explanation, 'policies' | 'answer'> {
  return { ...(policies.length === 0 ? {} : { policies }), ...(answer === undefined ? {} : { answer }) }
}

function judge(each: Case): Judgement {
  const { probe, declared } = each
  const isHttp = probe.protocol === 'http' || probe.protocol === 'grpc'
  if (declared === 'tcp' || declared === 'tls' || (declared === 'auto' && !isHttp)) return explainConnection(each)
  if (isHttp) return explainRequest(each)
  const detail = `the port is read as HTTP, and ${probe.protocol === 'tls' ? 'a TLS handshake' : 'other bytes'} is none`
  return { candidates: [], backends: [], answer: reasonAnswer('malformed-request', `${detail}; speak plain HTTP inside the mesh, or declare the port's appProtocol`, { protocol: 'http' }) }
}

/** As the waypoint's tunnels do it: what the routes say, else what the Service port says. */
function declaredProtocol({ service, table }: Resolved): PortProtocol {
  if (table === undefined) return service.port.protocol
  return table.kind === 'request' ? 'http' : table.protocol
}

/** The request in the form in which it is judged; without one if it has none. */
function requestOf({ text, protocol, head }: Probe): Explanation['request'] {
  if (head === undefined) return { text, protocol }
  const target = normaliseTarget(head.target)
  return { text, protocol, method: head.method, authority: head.authority, ...('refused' in target ? {} : target) }
}

function reasonOfLevel({ table }: Resolved, level: 'producer' | 'consumer', waypointNamespace: string, callerNamespace: string): string {
  if (level === 'consumer') return `namespace ${callerNamespace} has routes of its own for this Service port, so its own waypoint applies them, and only them`
  if (table === undefined) return `no route is attached to this Service port: the waypoint of namespace ${waypointNamespace} forwards to the Service's own endpoints`
  return `the waypoint of the Service's namespace ${waypointNamespace} applies the producer routes${callerNamespace === waypointNamespace ? '' : `; namespace ${callerNamespace} has none of its own in force for this Service port`}`
}
