import type { Clock } from '../../src/kit/clock.ts'
import type { Telemetry } from '../../src/telemetry/telemetry.ts'
import type { HostRegistry } from '../backends/pools.ts'
import { createSessionKeeper, type SessionKeeper } from '../backends/persistence.ts'
import type { CompiledRule } from '../compiled.ts'
import type { RuntimeConfig } from '../config/runtime.ts'
import type { WaypointLimits } from './limits.ts'
import type { Standing } from './standing.ts'

/** What all requests of one waypoint share. */
export interface Engine {
  /** SPIFFE id of the waypoint. */
  readonly identity: string
  /** Namespace of the waypoint. */
  readonly namespace: string
  readonly clock: Clock
  /** Uniform in 0 ≤ x < 1. */
  readonly random: () => number
  readonly telemetry: Telemetry
  readonly limits: WaypointLimits
  readonly hosts: HostRegistry
  /** The configuration that new requests begin with; undefined: there is none yet. */
  readonly config: () => RuntimeConfig | undefined
  /** Session persistence of a rule that asks for it. */
  readonly sessions: (rule: CompiledRule) => SessionKeeper | undefined
  readonly usage: Usage
  /** Connections to which a configuration that changes may object. */
  readonly standing: Standing
}

/** What is held now; see `WaypointLimits`. */
export interface Usage {
  requests: number
  connections: number
  replayBytes: number
  mirrors: number
}

/** Nothing held. */
export function newUsage(): Usage {
  return { requests: 0, connections: 0, replayBytes: 0, mirrors: 0 }
}

/**
 * Keeps one `SessionKeeper` for each rule; all rules of one identity share their tokens over reloads.
 * @param key see `createSessionKeeper`
 */
export function sessionKeepers(key: () => Uint8Array): Engine['sessions'] {
  let present: Uint8Array | undefined
  let keepers = new WeakMap<CompiledRule, SessionKeeper>()
  return (rule) => {
    if (rule.persistence === undefined) return undefined
    const now = key()
    if (now !== present) {
      present = now
      keepers = new WeakMap()
    }
    let keeper = keepers.get(rule)
    if (keeper === undefined) {
      const { routeKind, namespace, name, rule: position } = rule.id
      keeper = createSessionKeeper(rule.persistence, `${routeKind}/${namespace}/${name}/${position}`, now)
      keepers.set(rule, keeper)
    }
    return keeper
  }
}
