import type { WaypointInfra } from '../../model/infra.ts'
import { keepEqual, keepLast } from '../memo.ts'
import { compareText } from '../order.ts'
import { readWaypoints, type WaypointResources, type Waypoints } from '../waypoints.ts'

/** Waypoints, with what must run for them. */
export interface AllWaypoints extends Waypoints {
  /** By namespace. */
  readonly infra: readonly WaypointInfra[]
}

/** Reads waypoints. Statuses of Gateways change often; what is equal but for them stays the same object. */
export function createWaypointStage(): (
  ...args: [WaypointResources['GatewayClass'], WaypointResources['Gateway'], WaypointResources['Namespace'], WaypointResources['ConfigMap']]
) => AllWaypoints {
  let gateways: Waypoints['gateways'] = new Map()
  let infra: ReadonlyMap<string, WaypointInfra> = new Map()
  return keepLast((GatewayClass, Gateway, Namespace, ConfigMap) => {
    const read = readWaypoints({ GatewayClass, Gateway, Namespace, ConfigMap })
    gateways = keepEqual(gateways, read.gateways)
    const wanted = [...read.active.values()].sort((a, b) => compareText(a.namespace, b.namespace))
    infra = keepEqual(infra, new Map(wanted.map((waypoint) => [waypoint.key, waypoint.infra])))
    return { ...read, gateways, infra: [...infra.values()] }
  })
}
