import { randomBytes } from 'node:crypto'
import type { Clock } from '../src/kit/clock.ts'
import { turnPretenuringOff } from '../src/kit/pretenuring.ts'
import type { CredentialSource } from '../src/model/credentials.ts'
import { formatSpiffeId } from '../src/model/identity.ts'
import type { Snapshot } from '../src/model/snapshot.ts'
import type { Telemetry } from '../src/telemetry/telemetry.ts'
import { createHboneClient } from '../src/transport/hbone-client.ts'
import { listenHbone } from '../src/transport/hbone-server.ts'
import { createHostRegistry } from './backends/pools.ts'
import { compileConfig } from './config/compile.ts'
import type { RuntimeConfig } from './config/runtime.ts'
import { createHttp1Pool } from './http1/pool.ts'
import { createHttp2Pool } from './http2/pool.ts'
import { createDialer } from './serve/dial.ts'
import { newUsage, sessionKeepers, type Engine } from './serve/engine.ts'
import { defaultLimits, type WaypointLimits } from './serve/limits.ts'
import { createStanding } from './serve/standing.ts'
import { createTunnelServer } from './serve/tunnel.ts'

export interface WaypointOptions {
  /** Whose Gateway it is: its producer routes are applied for everybody, its consumer routes for its own workloads. */
  readonly namespace: string
  /** Of the Gateway. */
  readonly name: string
  readonly credentials: CredentialSource
  readonly trustDomain: string
  /** An IP address. */
  readonly host: string
  /** 0 = any. */
  readonly port: number
  /** Lets several threads listen on one port. */
  readonly reusePort?: boolean
  readonly telemetry: Telemetry
  readonly clock: Clock
  readonly limits?: Partial<WaypointLimits>
  /** Seals session persistence tokens, at least 16 secret bytes; the secret that the CA shares among replicas if not given. */
  readonly sessionKey?: Uint8Array
  /** 0 ≤ random() < 1: endpoint choice and jitter. */
  readonly random?: () => number
  /** Told what only somebody who looks for a fault wants to know. */
  readonly debug?: ((line: string) => void) | undefined
}

/** The L7 data plane of one namespace. */
export interface Waypoint {
  readonly address: { readonly host: string; readonly port: number }
  /** Takes over a configuration at once; requests in flight keep the one they began with, connections that are not read are judged anew. */
  readonly configure: (snapshot: Snapshot) => void
  /** Whether there is a configuration and no drain. */
  readonly ready: () => boolean
  /**
   * Takes no new tunnels, lets everything in flight finish, then closes.
   * @param deadlineMs after which what is left is cut; `limits.drainMs` if not given
   */
  readonly drain: (deadlineMs?: number) => Promise<void>
  /** Cuts everything now. */
  readonly close: () => Promise<void>
}

/**
 * Starts a waypoint; it refuses with `no-configuration` until `configure` is called first.
 * @throws the error of `listen`, if the address can't be had
 */
export async function startWaypoint(options: WaypointOptions): Promise<Waypoint> {
  turnPretenuringOff()
  const { credentials, clock, telemetry, namespace, name } = options
  const limits = { ...defaultLimits, ...options.limits }
  const hbone = createHboneClient({ credentials, clock, limits: { connectTimeoutMs: limits.connectTimeoutMs } })
  const headers = { baggage: `k8s.namespace.name=${namespace},service.name=${name}` }
  const hosts = createHostRegistry({
    clock,
    dial: createDialer({ hbone, clock, connectTimeoutMs: limits.connectTimeoutMs, headers, count: telemetry.count }),
    createPool: (protocol, dial) => (protocol === 'http1' ? createHttp1Pool : createHttp2Pool)(dial, limits.pool, clock),
  })
  let config: RuntimeConfig | undefined
  let configuredAtMs = 0
  let draining = false
  const usage = newUsage()
  const standing = createStanding()
  const engine: Engine = {
    identity: formatSpiffeId(credentials.identity),
    namespace,
    clock,
    random: options.random ?? Math.random,
    telemetry,
    limits,
    hosts,
    config: () => config,
    sessions: sessionKeepers(sessionKeys(credentials, options.sessionKey)),
    usage,
    standing,
  }
  const tunnels = createTunnelServer(engine)
  telemetry.observe(() => ({
    configVersion: config?.version ?? 0,
    configuredAtMs,
    certificateNotAfterMs: notAfterMs(credentials),
    requestsInFlight: usage.requests,
    connections: usage.connections,
    pools: hosts.size(),
  }))
  const server = await listenHbone({
    credentials, clock, host: options.host, port: options.port, reusePort: options.reusePort ?? false, trustDomain: options.trustDomain, onTunnel: tunnels.serve,
    onRefused: ({ kind, remoteAddress, message }) => {
      telemetry.count('connection-refused')
      options.debug?.(`refused ${remoteAddress} (${kind}): ${message}`)
    },
  })

  const close = async (): Promise<void> => {
    draining = true
    tunnels.destroy()
    hosts.destroy()
    hbone.close()
    await server.close()
  }
  return {
    address: server.address,
    configure: (snapshot) => {
      const before = config
      config = compileConfig(snapshot, namespace, before)
      configuredAtMs = clock.now()
      if (before === undefined) return
      for (const [key, set] of before.endpoints) {
        const after = config.endpoints.get(key)
        if (after !== set) hosts.replace(set, after)
      }
      standing.recheck()
    },
    ready: () => config !== undefined && !draining,
    drain: async (deadlineMs = limits.drainMs) => {
      if (draining) return close()
      draining = true
      tunnels.drain(limits.drainIdleMs)
      await server.drain(deadlineMs)
      await close()
    },
    close,
  }
}

function notAfterMs(credentials: CredentialSource): number {
  try {
    return credentials.current().notAfterMs
  } catch {
    return 0
  }
}

/** The key that all replicas of this waypoint have; if the CA shares none, one that ends with the process. */
function sessionKeys(credentials: CredentialSource, given: Uint8Array | undefined): () => Uint8Array {
  const own = given ?? randomBytes(32)
  let from: string | undefined
  let key = own
  return () => {
    const shared = given === undefined ? credentials.current().sharedSecret : undefined
    if (shared !== from) {
      from = shared
      key = shared === undefined ? own : Buffer.from(shared, 'base64')
    }
    return key
  }
}
