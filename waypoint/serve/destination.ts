import type { ReasonCode } from '../../src/model/reasons.ts'
import type { RouteLevel } from '../../src/telemetry/telemetry.ts'
import type { CompiledService, CompiledTable, RuntimeConfig } from '../config/runtime.ts'

/** What a caller's traffic to a destination meets. */
export interface Resolved {
  readonly kind: 'resolved'
  readonly service: CompiledService
  readonly level: RouteLevel
  /** Undefined: no route is attached, the Service's own endpoints serve. */
  readonly table: CompiledTable | undefined
  /** The table whose routes policies may be about: `table`, also if another waypoint has routed and it is not applied. */
  readonly judgedTable: CompiledTable | undefined
}

export interface Unresolved {
  readonly kind: 'unresolved'
  readonly reason: Extract<ReasonCode, 'unknown-destination' | 'wrong-waypoint'>
  readonly detail: string
}

/**
 * Decides what serves a caller at an original destination.
 * @param key see `destinationKey`
 * @param callerNamespace namespace of the verified caller
 * @param routed whether a waypoint has routed it before: no routes are applied, but policies are about the Service's own all the same
 * Source: GEP-1294: producer routes are for every caller, consumer routes for callers of their own namespace, and levels never mix.
 */
export function resolve(config: RuntimeConfig, key: string, callerNamespace: string, routed = false): Resolved | Unresolved {
  const service = config.destinations.get(key)
  if (service === undefined) return { kind: 'unresolved', reason: 'unknown-destination', detail: `${key} is no Service port here` }
  if (service.entry.namespace === config.namespace) return resolved(service, service.producer, routed)
  if (callerNamespace === config.namespace && !routed) return resolved(service, service.consumer, false)
  const detail = `${key} belongs to namespace ${service.entry.namespace}, the caller to ${callerNamespace}, this waypoint to ${config.namespace}`
  return { kind: 'unresolved', reason: 'wrong-waypoint', detail }
}

function resolved(service: CompiledService, judgedTable: CompiledTable | undefined, routed: boolean): Resolved {
  const table = routed ? undefined : judgedTable
  return { kind: 'resolved', service, level: table === undefined ? 'none' : table.entry.level, table, judgedTable }
}
