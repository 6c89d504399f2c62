import { closeSync } from 'node:fs'
import type { Clock } from '../../kit/clock.ts'
import type { CredentialSource } from '../../model/credentials.ts'
import type { ConnectionRecord, ConnectionTelemetry } from '../../telemetry/connections.ts'
import { createHboneClient, type HboneClient } from '../../transport/hbone-client.ts'
import type { HboneServer } from '../../transport/hbone-server.ts'
import type { OriginalDestination, PodNetwork } from '../network.ts'
import { createAffinity } from './affinity.ts'
import { OpenError } from './dial.ts'
import { listenInbound } from './inbound.ts'
import { listenInPod, type PodListener } from './listener.ts'
import { createLiveConnections } from './live.ts'
import type { Loads } from './loads.ts'
import { createOpen } from './open.ts'
import { createOutbound } from './outbound.ts'
import { createPlaintext } from './plaintext.ts'
import { isNewlyGuarded, unawareMs } from './unaware.ts'
import { defaultMeshPorts as ports, mostConnections, type PodConfig } from './view.ts'

export interface CapturedPodOptions {
  /** The pod's namespace. */
  readonly network: PodNetwork
  readonly originalDestination: OriginalDestination
  readonly clock: Clock
  readonly telemetry: ConnectionTelemetry
  /** Shared by all pods of the node. */
  readonly loads: Loads
  /** See `mostConnections`, the default. */
  readonly maxConnections?: number
}

/** The traffic of one captured pod. */
export interface CapturedPod {
  /**
   * Takes the three ports. From then on rules may send the pod's traffic here: it is refused until there is a configuration.
   * @throws {NetworkError} if a port can't be had; nothing is left behind then
   */
  readonly start: () => Promise<void>
  /** Replaces the configuration. If its guards are others, connections that would not be let in any more are cut, see also `isUnaware`; all others go on. */
  readonly update: (config: PodConfig) => void
  /** Gives the pod its identity; until then nothing that needs one goes out, and nobody gets in by HBONE. Once is enough: renewals come by themselves. */
  readonly certify: (credentials: CredentialSource) => Promise<void>
  /**
   * Takes who waits to be accepted and then nothing new, tells peers so, and waits for the connections that are there.
   * @param deadlineMs after which the rest is cut
   */
  readonly drain: (deadlineMs: number) => Promise<void>
  /** Cuts everything now. */
  readonly close: () => Promise<void>
  readonly stats: () => PodStats
  /** The connections that are there now; their byte counts come when they end. */
  readonly connections: () => readonly ConnectionRecord[]
}

export interface PodStats {
  readonly phase: 'new' | 'capturing' | 'draining' | 'drained' | 'closed'
  readonly configured: boolean
  readonly certified: boolean
  readonly connections: number
  readonly sessionsIn: number
  readonly sessionsOut: number
}

/** What a peer may open in one session. */
const tunnelsPerSession = 256

export function createCapturedPod(options: CapturedPodOptions): CapturedPod {
  const { network, originalDestination, clock, telemetry, loads, maxConnections = mostConnections } = options
  const live = createLiveConnections(clock, telemetry)
  let phase: PodStats['phase'] = 'new'
  let present: PodConfig | undefined
  let credentials: CredentialSource | undefined
  let client: HboneClient | undefined
  let server: HboneServer | undefined
  let serving: Promise<void> | undefined
  let listeners: readonly PodListener[] = []
  /** Bound, and nobody listens on it yet: the kernel refuses whoever comes. */
  let hboneFd: number | undefined

  // Asked through a function because it changes across awaits.
  const isClosed = (): boolean => phase === 'closed'
  const config = (): PodConfig | undefined => present
  const hbone = (): HboneClient => {
    if (client === undefined || credentials === undefined) throw new OpenError('no-certificate', 'there has been none yet')
    if (credentials.current().notAfterMs <= clock.now()) throw new OpenError('no-certificate', 'it has ended, and there is no other yet')
    return client
  }
  const affinity = createAffinity(network.place.path, clock.now)
  const open = createOpen({ network, clock, loads, affinity, hbone, hbonePort: ports.hbone })
  const onOutbound = createOutbound({ config, originalDestination, open, hbone: () => client, live })
  const onPlaintext = createPlaintext({ config, originalDestination, network, ports, clock, live })

  const listen = async (): Promise<void> => {
    const made: PodListener[] = []
    const bound: number[] = []
    try {
      for (const port of [ports.outbound, ports.plaintext, ports.hbone]) bound.push(network.bind(port))
      for (const [direction, onConnection] of [['outbound', onOutbound], ['plaintext', onPlaintext]] as const) {
        const fd = bound[0]
        if (fd === undefined) break
        const onOverload = (): void => live.begin(direction).refuse('refused', 'overload', `more than ${maxConnections} connections`)
        // Whether it listens or fails, the socket is the server's.
        bound.shift()
        made.push(await listenInPod({ clock, fd, maxConnections, far: direction === 'plaintext', onConnection, onOverload }))
      }
    } catch (error) {
      for (const each of made) each.close()
      for (const fd of bound) closeSync(fd)
      throw error
    }
    listeners = made
    hboneFd = bound[0]
  }

  const serveHbone = async (): Promise<void> => {
    const fd = hboneFd
    if (fd === undefined || credentials === undefined) return
    hboneFd = undefined
    const made = await listenInbound(fd, credentials, { maxTunnelsPerSession: tunnelsPerSession }, { config, network, ports, clock, live })
    server = made
    // Ended meanwhile.
    if (phase === 'draining') void made.drain()
    if (phase === 'drained' || phase === 'closed') await made.close()
  }

  const stopListening = (): void => {
    for (const each of listeners) each.close()
    listeners = []
    if (hboneFd !== undefined) closeSync(hboneFd)
    hboneFd = undefined
  }

  const stop = async (): Promise<void> => {
    stopListening()
    live.cutAll('draining')
    client?.close()
    await server?.close()
  }

  return {
    start: async () => {
      if (phase !== 'new') throw new Error(`a captured pod starts once, and this one is ${phase}`)
      phase = 'capturing'
      try {
        await listen()
      } catch (error) {
        phase = 'closed'
        throw error
      }
      if (credentials !== undefined) await (serving ??= serveHbone())
      // Who listens now is missed from now on.
      network.deaf()
    },
    update: (next) => {
      const { guards, before } = present ?? next
      present = { ...next, ...(before === undefined ? {} : { before }) }
      if (guards === next.guards) return
      if (before === undefined && isNewlyGuarded(guards.workload, next.guards.workload)) {
        present = { ...next, before: guards.workload }
        clock.after(unawareMs, () => {
          present = { view: present?.view ?? next.view, guards: present?.guards ?? next.guards }
          live.recheck()
        })
      }
      live.recheck()
    },
    certify: async (source) => {
      if (credentials !== undefined || (phase !== 'new' && phase !== 'capturing')) return
      credentials = source
      client = createHboneClient({ credentials: source, clock, dial: (target) => network.dial(target) })
      if (hboneFd !== undefined) await (serving ??= serveHbone())
    },
    drain: async (deadlineMs) => {
      if (phase !== 'new' && phase !== 'capturing') return
      phase = 'draining'
      void server?.drain()
      const { promise, resolve } = Promise.withResolvers<undefined>()
      void Promise.all(listeners.map((each) => each.drain(deadlineMs / 10))).then(() => {
        stopListening()
        live.onEmpty(() => resolve(undefined))
      })
      const cancel = clock.after(deadlineMs, () => resolve(undefined))
      await promise
      cancel()
      if (isClosed()) return
      phase = 'drained'
      await stop()
    },
    close: async () => {
      if (phase === 'closed') return
      phase = 'closed'
      await stop()
    },
    stats: () => ({
      phase, configured: present !== undefined, certified: credentials !== undefined, connections: live.size(),
      sessionsIn: server?.sessions() ?? 0, sessionsOut: client?.stats().sessions ?? 0,
    }),
    connections: () => [...live.all()].map(({ record }) => record),
  }
}
