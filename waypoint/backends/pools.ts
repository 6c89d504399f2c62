import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/kit/clock.ts'
import type { OriginalClient } from '../../src/policy/speaker.ts'
import { formatAuthority } from '../../src/transport/authority.ts'
import type { EndpointSet, RoutedEndpoint } from '../config/runtime.ts'
import type { Dial, UpstreamPool } from '../upstream.ts'
import type { Candidates } from './balance.ts'
import { afterFailure, afterSuccess, isEjected, newOutlierState, type OutlierState } from './outlier.ts'

/** For whom a connection is made; endpoints that judge by it are told. */
export type Client = Pick<OriginalClient, 'id' | 'address'>

/** What is spoken with an endpoint. */
export type UpstreamProtocol = 'http1' | 'http2'

export interface DialOptions {
  /** Opaque connections end by halves, HTTP connections as a whole. */
  readonly allowHalfOpen: boolean
  /** For the CONNECT of a tunnel, names in lower case; a plain connection carries nothing. */
  readonly headers?: Readonly<Record<string, string>>
  readonly client: Client
  readonly signal?: AbortSignal
}

/** Makes a connection to an endpoint; rejects with `DialError`. */
export type DialEndpoint = (endpoint: RoutedEndpoint, options: DialOptions) => Promise<Duplex>

export interface HostOptions {
  readonly dial: DialEndpoint
  readonly createPool: (protocol: UpstreamProtocol, dial: Dial) => UpstreamPool
  readonly clock: Clock
}

/** One endpoint with its connections and its record of failures; shared by all Services that it serves. */
export class Host {
  readonly key: string
  /** `address:port`. */
  readonly address: string
  readonly endpoint: RoutedEndpoint
  /** Opaque connections that are open now. */
  connections = 0
  /** Endpoint sets that hold it. */
  references = 0
  readonly #options: HostOptions
  #pools: Pools = {}
  /** Of endpoints that judge by the original client, by client; the one used last stands last. */
  #perClient = new Map<string, Pools>()
  #outlier: OutlierState = newOutlierState

  constructor(key: string, endpoint: RoutedEndpoint, options: HostOptions) {
    this.key = key
    this.endpoint = endpoint
    this.address = formatAuthority(endpoint.address, endpoint.port)
    this.#options = options
  }

  pool(protocol: UpstreamProtocol, client: Client): UpstreamPool {
    const pools = this.endpoint.perClient === true ? this.#poolsOf(client) : this.#pools
    return (pools[protocol] ??= this.#options.createPool(protocol, () => this.#options.dial(this.endpoint, { allowHalfOpen: false, client })))
  }

  /** What least-request balancing compares. */
  load(): number {
    let sum = inFlight(this.#pools) + this.connections
    for (const pools of this.#perClient.values()) sum += inFlight(pools)
    return sum
  }

  #poolsOf({ id, address = '' }: Client): Pools {
    const key = `${id} ${address}`
    const found = this.#perClient.get(key) ?? {}
    this.#perClient.delete(key)
    this.#perClient.set(key, found)
    if (this.#perClient.size > mostClients) {
      for (const [oldest, pools] of this.#perClient) {
        if (inFlight(pools) > 0 || pools === found) continue
        this.#perClient.delete(oldest)
        drainPools(pools)
        break
      }
    }
    return found
  }

  #allPools(): readonly Pools[] {
    const all = [this.#pools, ...this.#perClient.values()]
    // Who still holds the host gets fresh pools rather than closed ones.
    this.#pools = {}
    this.#perClient = new Map()
    return all
  }

  dial(options: DialOptions): Promise<Duplex> {
    return this.#options.dial(this.endpoint, options)
  }

  succeeded(): void {
    this.#outlier = afterSuccess(this.#outlier, this.#options.clock.now())
  }

  failed(): void {
    this.#outlier = afterFailure(this.#outlier, this.#options.clock.now())
  }

  isEjected(): boolean {
    return isEjected(this.#outlier, this.#options.clock.now())
  }

  drain(): void {
    for (const pools of this.#allPools()) drainPools(pools)
  }

  destroy(): void {
    for (const { http1, http2 } of this.#allPools()) {
      http1?.destroy()
      http2?.destroy()
    }
  }
}

interface Pools {
  http1?: UpstreamPool
  http2?: UpstreamPool
}

/** Clients of one endpoint whose connections are kept; of more, those that were idle longest are closed. */
const mostClients = 256

function inFlight({ http1, http2 }: Pools): number {
  return (http1?.inFlight() ?? 0) + (http2?.inFlight() ?? 0)
}

function drainPools({ http1, http2 }: Pools): void {
  http1?.drain()
  http2?.drain()
}

/** The endpoints that are in use, over all configurations. */
export interface HostRegistry {
  /** The hosts of a set that is part of the present configuration. */
  readonly candidates: (set: EndpointSet) => Candidates<Host>
  /** Puts a set in the place of one that left the configuration; hosts that no set holds any more finish their requests and close. */
  readonly replace: (before: EndpointSet, after: EndpointSet | undefined) => void
  readonly size: () => number
  readonly drain: () => void
  readonly destroy: () => void
}

/** Hosts are made when their set is used first, under what identifies the endpoint: a reload keeps their connections. */
export function createHostRegistry(options: HostOptions): HostRegistry {
  const hosts = new Map<string, Host>()
  const sets = new Map<EndpointSet, Candidates<Host>>()
  const hostOf = (endpoint: RoutedEndpoint): Host => {
    const key = hostKey(endpoint)
    let host = hosts.get(key)
    if (host === undefined) hosts.set(key, (host = new Host(key, endpoint, options)))
    host.references++
    return host
  }
  const candidates = (set: EndpointSet): Candidates<Host> => {
    let found = sets.get(set)
    if (found === undefined) {
      const ready: Host[] = []
      const draining: Host[] = []
      for (const endpoint of set.endpoints) (endpoint.condition === 'ready' ? ready : draining).push(hostOf(endpoint))
      sets.set(set, (found = { ready, draining }))
    }
    return found
  }
  return {
    candidates,
    replace: (before, after) => {
      const found = sets.get(before)
      if (found === undefined) return
      // First the new holders, so that hosts in both keep their connections.
      if (after !== undefined) candidates(after)
      sets.delete(before)
      for (const host of [...found.ready, ...found.draining]) {
        if (--host.references > 0) continue
        hosts.delete(host.key)
        host.drain()
      }
    },
    size: () => hosts.size,
    drain: () => {
      for (const host of hosts.values()) host.drain()
    },
    destroy: () => {
      for (const host of hosts.values()) host.destroy()
    },
  }
}

/** The same for endpoints that the same connections may serve. */
function hostKey({ address, port, transport, via = '', perClient }: RoutedEndpoint): string {
  const way = transport.kind === 'plain' ? 'plain' : `hbone ${transport.port} ${transport.identity} ${via} ${perClient === true ? 'per client' : ''}`
  return `${formatAuthority(address, port)} ${way}`
}
