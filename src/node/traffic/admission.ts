import { isIP } from 'node:net'
import { endpointsKey, type EndpointsEntry } from '../../model/entries.ts'
import type { ReasonCode } from '../../model/reasons.ts'
import { originalClient, type OriginalClient, type TunnelFacts as SpokenFor } from '../../policy/speaker.ts'
import type { PodGuards } from './guards.ts'
import { isUnaware } from './unaware.ts'
import type { MeshPorts, PodConfig } from './view.ts'

/** What becomes of a connection to a pod. */
export type Admission =
  | {
      readonly kind: 'deliver'
      /** The application's, in the pod's namespace. */
      readonly host: string
      readonly port: number
      readonly client: Client
      /** The source address to show; undefined: the pod's own. */
      readonly from: string | undefined
      readonly policy: string
      readonly audit: readonly string[]
    }
  | {
      readonly kind: 'refuse'
      readonly outcome: 'denied' | 'refused'
      /** Of the answer to a CONNECT. Source: what ztunnel answers. */
      readonly status: 400 | 401
      readonly reason: ReasonCode
      readonly detail: string
      readonly client: Client
      readonly policy: string
      readonly audit: readonly string[]
    }

/** Whose connection it is. */
export interface Client {
  /** SPIFFE id; '' if it came in plain. */
  readonly id: string
  /** IP address; that of the waypoint that speaks for it if it is not known. */
  readonly ip: string
}

/** A CONNECT whose peer is proven. `remoteAddress` is that of the session. */
export interface TunnelFacts extends SpokenFor {
  /** Of the authority. */
  readonly host: string
  readonly port: number
}

/** A connection that was captured on its way to the pod. */
export interface PlaintextFacts {
  readonly remoteIp: string
  readonly host: string
  readonly port: number
}

/** Judges a tunnel to the pod: whether it is for this pod, whether it must come through a waypoint, and what its policies say. */
export function admitTunnel(config: PodConfig, ports: MeshPorts, facts: TunnelFacts): Admission {
  const { peerId, remoteAddress } = facts
  const { view, guards } = config
  const { namespace, name } = guards.workload
  const peer: Client = { id: peerId, ip: remoteAddress }
  const speaks = originalClient(facts, view.speakers, namespace)
  if ('refused' in speaks) return refused(400, 'malformed-request', speaks.refused, peer)
  const ownWaypoint = view.speakers.get(peerId) === namespace
  const target = targetOf(config, facts, ownWaypoint)
  if (target === undefined || isMeshPort(ports, target.port)) {
    return refused(400, 'wrong-workload', `${facts.host}, port ${facts.port}, is not an application of ${namespace}/${name}`, peer)
  }
  const address = believedAddress(config, speaks)
  const client: Client = { id: speaks.id, ip: address ?? remoteAddress }
  if (isUnaware(config, facts, target.port)) return { kind: 'deliver', ...target, client, from: sourceToShow(guards, client.ip, target.host), policy: '', audit: [] }
  const onlyVia = guards.onlyVia(target.port)
  if (onlyVia?.includes(peerId) === false) return waypointRequired(target.port, onlyVia, client)
  return judged(guards, target, client, { caller: speaks.identity, address, judgedByWaypoint: ownWaypoint })
}

/** Judges a connection that came in plain. */
export function admitPlaintext({ guards }: PodConfig, ports: MeshPorts, { remoteIp, host, port }: PlaintextFacts): Admission {
  const client: Client = { id: '', ip: remoteIp }
  if (isMeshPort(ports, port)) return refused(400, 'direct-hit', '', client)
  if (guards.workload.mtls === 'strict') return refused(401, 'plaintext-refused', '', client)
  const onlyVia = guards.onlyVia(port)
  if (onlyVia !== undefined) return waypointRequired(port, onlyVia, client)
  return judged(guards, { host, port }, client, { caller: undefined, address: remoteIp })
}

function judged(guards: PodGuards, { host, port }: Target, client: Client, connection: Parameters<PodGuards['judge']>[1]): Admission {
  try {
    const { allowed, policy, reason, audit } = guards.judge(port, connection)
    if (!allowed) return { ...refused(401, 'denied', reason, client), outcome: 'denied', policy, audit }
    return { kind: 'deliver', host, port, client, from: sourceToShow(guards, client.ip, host), policy, audit }
  } catch (error) {
    // A defect in the judgement lets nobody in.
    return { ...refused(401, 'denied', error instanceof Error ? error.message : 'the judgement failed', client), outcome: 'denied' }
  }
}

type Refusal = Extract<Admission, { kind: 'refuse' }>

function refused(status: 400 | 401, reason: ReasonCode, detail: string, client: Client): Refusal {
  return { kind: 'refuse', outcome: 'refused', status, reason, detail, client, policy: '', audit: [] }
}

function waypointRequired(port: number, onlyVia: readonly string[], client: Client): Refusal {
  return refused(401, 'waypoint-required', `port ${port} may be reached only by ${onlyVia.join(', ')}`, client)
}

function isMeshPort({ outbound, plaintext, hbone }: MeshPorts, port: number): boolean {
  return port === outbound || port === plaintext || port === hbone
}

interface Target {
  readonly host: string
  readonly port: number
}

/** Only the pod's own addresses; for the waypoint of its namespace also the names of Services that it serves. */
function targetOf({ guards: { workload }, view }: PodConfig, { host, port }: TunnelFacts, ownWaypoint: boolean): Target | undefined {
  if (isIP(host) !== 0) return workload.addresses.includes(host) ? { host, port } : undefined
  if (!ownWaypoint) return undefined
  const service = view.index.services.get(host)
  if (service?.namespace !== workload.namespace) return undefined
  const entry = view.index.snapshot.get(endpointsKey(service.namespace, service.name)) as EndpointsEntry | undefined
  const found = entry?.ports.find((each) => each.port === port)?.endpoints.find(({ address }) => workload.addresses.includes(address))
  return found === undefined ? undefined : { host: found.address, port: found.port }
}

/**
 * The client's address. What the pod's own namespace's waypoint says is believed; another one, which acts for its own namespace's
 * workloads by consumer routes, may name only addresses of those: whoever may run pods there could claim any other.
 */
function believedAddress({ view, guards: { workload } }: PodConfig, { address, speaker }: OriginalClient): string | undefined {
  if (address === undefined || speaker === undefined || speaker === workload.namespace) return address
  return view.index.workloads.get(address)?.namespace === speaker ? address : undefined
}

/** An address of the other family can't be shown, and the pod's own needs no show. */
function sourceToShow({ workload }: PodGuards, source: string, target: string): string | undefined {
  return isIP(source) !== isIP(target) || workload.addresses.includes(source) ? undefined : source
}
