import { speakersKey } from '../model/entries.ts'
import type { Identity } from '../model/identity.ts'
import { formatSpiffeId, parseSpiffeId } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { plainAddress } from './cidr.ts'

/** Of a CONNECT: SPIFFE id of the original client, for whom a waypoint speaks. */
export const clientHeader = 'x-waypoint-client'
/** Of a CONNECT: `off` if a waypoint has routed it and asks for the judgement of policies alone. */
export const routesHeader = 'x-waypoint-routes'

/** Namespaces of waypoints, by SPIFFE id. They are known from the configuration: a peer can not make itself one. */
export type Speakers = ReadonlyMap<string, string>

/** Every waypoint that a snapshot tells of. */
export function speakersOf(snapshot: Snapshot): Speakers {
  const entry = snapshot.get(speakersKey)
  const found = new Map(entry?.kind === 'speakers' ? Object.entries(entry.waypoints) : [])
  // There is none without policies, and a waypoint that has not heard yet that the last one is gone still says for whom it comes.
  for (const each of snapshot.values()) if (each.kind === 'waypoint') found.set(each.identity, each.namespace)
  return found
}

/** What a tunnel says of itself. */
export interface TunnelFacts {
  readonly peer: Identity
  /** SPIFFE id of `peer`. */
  readonly peerId: string
  /** Of the peer's end. */
  readonly remoteAddress: string
  /** Of the CONNECT, names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Whose traffic a tunnel carries. */
export interface OriginalClient {
  readonly identity: Identity
  /** SPIFFE id. */
  readonly id: string
  /** IP address; undefined: the waypoint that speaks for it does not say. */
  readonly address: string | undefined
  /** Namespace of the waypoint that speaks for it; undefined: it speaks for itself. */
  readonly speaker: string | undefined
  /** Whether routes were applied before. */
  readonly routed: boolean
}

/**
 * Who is behind a tunnel. A waypoint may speak for clients of its own namespace; where its own pods are reached, the waypoint of
 * that namespace may speak for anybody, for it has checked by the same rule who was behind it. Whoever else claims to speak is refused.
 * @param own the namespace whose waypoint may speak for anybody; undefined: none
 * @returns why the tunnel must be refused, in words, or the client
 */
export function originalClient(tunnel: TunnelFacts, speakers: Speakers, own?: string): OriginalClient | { readonly refused: string } {
  const { peer, peerId, headers } = tunnel
  const claimed = headers[clientHeader]
  const routes = headers[routesHeader]
  if (claimed === undefined && routes === undefined) {
    return { identity: peer, id: peerId, address: plainAddress(tunnel.remoteAddress), speaker: undefined, routed: false }
  }
  const namespace = speakers.get(peerId)
  if (namespace === undefined) return { refused: `${peerId} is no waypoint, and speaks for somebody else` }
  if (routes !== undefined && routes !== 'off') return { refused: `${routesHeader} is neither absent nor off` }
  const identity = typeof claimed === 'string' ? parseSpiffeId(claimed) : undefined
  if (identity === undefined) return { refused: `waypoint ${peerId} does not say for whom it speaks` }
  if (identity.trustDomain !== peer.trustDomain || (identity.namespace !== namespace && namespace !== own)) {
    return { refused: `the waypoint of namespace ${namespace} speaks for ${formatSpiffeId(identity)}, which is of another one` }
  }
  return { identity, id: formatSpiffeId(identity), address: forwardedFor(headers['forwarded']), speaker: namespace, routed: routes === 'off' }
}

/** What a waypoint writes into a CONNECT on behalf of a client. */
export function speakingFor(client: Pick<OriginalClient, 'id' | 'address'>, routesOff: boolean): Readonly<Record<string, string>> {
  const { id, address } = client
  return {
    [clientHeader]: id,
    ...(routesOff ? { [routesHeader]: 'off' } : {}),
    ...(address === undefined ? {} : { forwarded: forwardedHeader(address) }),
  }
}

/** Source: RFC 7239 §6. */
export function forwardedHeader(address: string): string {
  return `for="${address.includes(':') ? `[${address}]` : address}"`
}

function forwardedFor(header: string | readonly string[] | undefined): string | undefined {
  if (typeof header !== 'string') return undefined
  const found = /^for="?\[?([0-9A-Fa-f:.]+)\]?"?$/.exec(header)
  return found?.[1] === undefined ? undefined : plainAddress(found[1])
}
