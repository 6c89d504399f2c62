import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../kit/clock.ts'
import type { CapturedDecision } from '../../model/destination.ts'
import type { Endpoint, ServiceEntry } from '../../model/entries.ts'
import { reasons, type ReasonCode } from '../../model/reasons.ts'
import { formatAuthority } from '../../transport/authority.ts'
import { HboneError } from '../../transport/errors.ts'
import type { HboneClient } from '../../transport/hbone-client.ts'
import type { PodNetwork } from '../network.ts'
import type { Affinity } from './affinity.ts'
import { OpenError, whenConnected } from './dial.ts'
import type { Loads } from './loads.ts'
import type { TrafficView } from './view.ts'

/** A connection as it was opened; its load is counted until `stream` closes. */
export interface Opened {
  readonly stream: Duplex
  readonly transport: 'mtls' | 'plain'
  /** `address:port` of the peer. */
  readonly peer: string
}

export interface OpenerOptions {
  readonly network: PodNetwork
  readonly clock: Clock
  readonly loads: Loads
  readonly affinity: Affinity
  /** Speaks as the pod. @throws {OpenError} `no-certificate` */
  readonly hbone: () => HboneClient
  /** Port of other pods' listeners. */
  readonly hbonePort: number
}

/** What one connection wants. */
export interface OpenRequest {
  readonly view: TrafficView
  /** Headers of the CONNECT. @param host name of the Service that is addressed */
  readonly headers: (host?: string) => Readonly<Record<string, string>>
  /** Told of each peer before it is tried. */
  readonly onTry: (peer: string) => void
}

/** @throws {OpenError} nothing was sent to the destination then */
export type Open = (decision: CapturedDecision, request: OpenRequest) => Promise<Opened>

/** Peers that one connection is tried with at most. */
const maxTries = 3
/** Until an endpoint must have accepted a connection. */
const endpointTimeoutMs = 5_000
/** The same for addresses outside of the mesh, which may be far away: what a client of its own would wait is longer still. */
const outsideTimeoutMs = 60_000

/** Reasons that every peer would give: they judge who asks, not how the peer is. */
const aboutCaller: ReadonlySet<string> = new Set<ReasonCode>(['denied', 'waypoint-required', 'rate-limited', 'malformed-request'])

/** Opens the connections of one pod as decided: by HBONE, or in plain to what is not in the mesh. Never in plain to what is. */
export function createOpen({ network, clock, loads, affinity, hbone, hbonePort }: OpenerOptions): Open {
  const openPlain = async (host: string, port: number, timeoutMs: number): Promise<Duplex> => {
    const target = { host, port }
    return whenConnected(network.dial(target), target, clock, timeoutMs)
  }

  const openEndpoint = (endpoint: Endpoint, headers: Readonly<Record<string, string>>): Promise<Duplex> => {
    const { address, port, transport } = endpoint
    if (transport.kind === 'plain') return openPlain(address, port, endpointTimeoutMs)
    const peer = { kind: 'identity', id: transport.identity } as const
    return hbone().connect({ host: address, port: transport.port, authority: formatAuthority(address, port), peer, headers })
  }

  /** Tries some candidates. Safe, for no byte was sent where a connection failed or was refused. */
  const tryEach = async <T>(attempt: Attempt<T>): Promise<Opened> => {
    let left = attempt.candidates
    let last: unknown
    for (let tries = 0; tries < maxTries && left.length > 0; tries++) {
      const preferred = tries === 0 ? attempt.preferred : undefined
      const candidate = preferred ?? loads.pick(left, attempt.keyOf)
      if (candidate === undefined) break
      const peer = attempt.keyOf(candidate)
      attempt.onTry(peer)
      try {
        const stream = await attempt.open(candidate)
        loads.opened(peer)
        stream.once('close', () => loads.closed(peer))
        return { stream, transport: attempt.transportOf(candidate), peer }
      } catch (error) {
        if (error instanceof OpenError && error.reason === 'no-certificate') throw error
        // An answer tells more than that somebody else did not answer.
        if (!isRefusal(last) || isRefusal(error)) last = error
        if (isRefusal(error) && aboutCaller.has(error.reason ?? '')) break
        loads.failed(peer)
      }
      left = left.filter((each) => each !== candidate)
    }
    throw openError(last, attempt.unreachable)
  }

  const toEndpoints = async (service: ServiceEntry, port: number, endpoints: readonly Endpoint[], { view, headers, onTry }: OpenRequest): Promise<Opened> => {
    const candidates = view.reachable(service, endpoints)
    if (candidates.length === 0) {
      const where = service.internalTrafficPolicy === 'Local' && endpoints.length > 0 ? ' on this node, and its traffic policy is Local' : ''
      throw new OpenError('no-endpoint', `Service ${service.namespace}/${service.name}, port ${port}, has none${where}`)
    }
    const connect = headers(serviceHost(service))
    const attempt: Attempt<Endpoint> = {
      candidates, keyOf: endpointKey, onTry, unreachable: 'connect-failure', preferred: undefined,
      open: (endpoint) => openEndpoint(endpoint, connect), transportOf: ({ transport }) => (transport.kind === 'plain' ? 'plain' : 'mtls'),
    }
    if (service.affinitySeconds === undefined) return tryEach(attempt)
    const key = `${service.namespace}/${service.name}:${port}`
    const opened = await tryEach({ ...attempt, preferred: affinity.pick(key, candidates, endpointKey) })
    affinity.remember(key, opened.peer, service.affinitySeconds)
    return opened
  }

  return async (decision, request) => {
    const { headers, onTry } = request
    switch (decision.kind) {
      case 'refused':
        throw new OpenError(decision.reason, decision.detail)
      case 'waypoint': {
        const { waypoint, authority, service } = decision
        const peer = { kind: 'identity', id: waypoint.identity } as const
        const connect = headers(serviceHost(service))
        return tryEach({
          // Names would be resolved on the node, not in the pod.
          candidates: waypoint.addresses.filter(({ host }) => isIP(host) !== 0), keyOf: addressKey, onTry, unreachable: 'no-waypoint', preferred: undefined,
          open: ({ host, port }) => hbone().connect({ host, port, authority, peer, headers: connect }), transportOf: () => 'mtls',
        })
      }
      case 'endpoints':
        return toEndpoints(decision.service, decision.port.port, decision.endpoints, request)
      case 'workload': {
        const { workload, address, port } = decision
        const transport = workload.enrolled ? ({ kind: 'hbone', port: hbonePort, identity: workload.identity } as const) : ({ kind: 'plain' } as const)
        const endpoint: Endpoint = { address, port, condition: 'ready', transport }
        return tryEach<Endpoint>({
          candidates: [endpoint], keyOf: endpointKey, onTry, unreachable: 'connect-failure', preferred: undefined,
          open: (each) => openEndpoint(each, headers()), transportOf: () => (workload.enrolled ? 'mtls' : 'plain'),
        })
      }
      case 'outside': {
        const { address, port } = decision
        const peer = formatAuthority(address, port)
        onTry(peer)
        return { stream: await openPlain(address, port, outsideTimeoutMs), transport: 'plain', peer }
      }
    }
  }
}

interface Attempt<T> {
  readonly candidates: readonly T[]
  /** Tried first. */
  readonly preferred: T | undefined
  readonly keyOf: (candidate: T) => string
  readonly open: (candidate: T) => Promise<Duplex>
  readonly transportOf: (candidate: T) => Opened['transport']
  readonly onTry: (peer: string) => void
  /** The reason if none of them could be reached. */
  readonly unreachable: ReasonCode
}

function endpointKey({ address, port }: Endpoint): string {
  return formatAuthority(address, port)
}

function addressKey({ host, port }: { readonly host: string; readonly port: number }): string {
  return formatAuthority(host, port)
}

/** As `forwarded` names a Service. */
function serviceHost({ namespace, name }: ServiceEntry): string {
  return `${name}.${namespace}.svc.cluster.local`
}

function isRefusal(error: unknown): error is HboneError {
  return error instanceof HboneError && error.code === 'refused'
}

function openError(error: unknown, unreachable: ReasonCode): OpenError {
  if (error instanceof OpenError) return unreachable === 'no-waypoint' ? new OpenError(unreachable, error.message, { cause: error }) : error
  if (error === undefined) return new OpenError(unreachable, 'there is no address to connect to')
  const message = error instanceof Error ? error.message : 'it failed without saying why'
  if (error instanceof HboneError) {
    if (error.code === 'peer-identity') return new OpenError('peer-identity', message, { cause: error })
    if (error.reason !== undefined && error.reason in reasons) return new OpenError(error.reason as ReasonCode, message, { cause: error })
    if (error.code === 'timeout' && unreachable !== 'no-waypoint') return new OpenError('connect-timeout', message, { cause: error })
  }
  return new OpenError(unreachable, message, { cause: error })
}
