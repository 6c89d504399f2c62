import type { WaypointInfra } from '../../model/infra.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { keepEqual, keepLast, keepMap } from '../memo.ts'
import { compareText } from '../order.ts'
import { readWaypoints, type WaypointResources, type Waypoints } from '../waypoints.ts'

/** Waypoints, with what must run for them. */
export interface AllWaypoints extends Waypoints {
  /** By namespace. */
  readonly infra: readonly WaypointInfra[]
  /** The active waypoint of each namespace, by namespace, as routes see it. */
  readonly serving: ReadonlyMap<string, Serving>
}

/** What routes and Services need to know of a waypoint. */
export interface Serving {
  readonly key: NamespacedName
  readonly name: string
  /** Its Gateway is not there yet. */
  readonly implicit: boolean
}

/** Reads waypoints. Statuses of Gateways change often; what is equal but for them stays the same object. */
export function createWaypointStage(): (
  ...args: [WaypointResources['GatewayClass'], WaypointResources['Gateway'], WaypointResources['Namespace'], WaypointResources['ConfigMap']]
) => AllWaypoints {
  let gateways: Waypoints['gateways'] = new Map()
  let serving: ReadonlyMap<string, Serving> = new Map()
  let infra: ReadonlyMap<string, WaypointInfra> = new Map()
  return keepLast((GatewayClass, Gateway, Namespace, ConfigMap) => {
    const read = readWaypoints({ GatewayClass, Gateway, Namespace, ConfigMap })
    gateways = keepMap(gateways, keepEqual(gateways, read.gateways))
    const now = [...read.active].map(([namespace, { key, name, gateway }]) => [namespace, { key, name, implicit: gateway === undefined }] as const)
    serving = keepMap(serving, keepEqual(serving, new Map(now)))
    const wanted = [...read.active.values()].sort((a, b) => compareText(a.namespace, b.namespace))
    infra = keepEqual(infra, new Map(wanted.map((waypoint) => [waypoint.key, waypoint.infra])))
    return { ...read, gateways, serving, infra: [...infra.values()] }
  })
}
