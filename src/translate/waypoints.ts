import type { Gateway } from '../api/gateway.ts'
import { refOf, type ResourceSet } from '../api/resources.ts'
import type { WaypointEntry } from '../model/entries.ts'
import { formatSpiffeId } from '../model/identity.ts'
import type { WaypointInfra } from '../model/infra.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import { controllerName, type Warning } from '../model/status.ts'
import { implicitInfra, readInfra } from './infra.ts'
import { waypointLabel } from './labels.ts'
import { readListener, type ListenerInfo } from './listeners.ts'
import { meshPort, type SocketAddress } from './options.ts'
import { compareAge, compareText } from './order.ts'

/** The class of the Gateways that this mesh makes waypoints for. */
export const waypointClass = 'waypoint'
/** The Gateway that `waymark.dev/waypoint: auto` asks for. */
const implicitName = 'waypoint'

/** The one waypoint that serves a namespace. */
export interface ActiveWaypoint {
  readonly key: NamespacedName
  readonly namespace: string
  readonly name: string
  /** Undefined if the namespace's label asks for it and its Gateway is not there yet. */
  readonly gateway: Gateway | undefined
  readonly infra: WaypointInfra
  /** Why the Gateway's parameters can not be used; the waypoint goes on with those that it has. */
  readonly parametersFault: string | undefined
}

/** A Gateway of our class; its object, whose status changes, is not in it. */
export interface GatewayInfo {
  readonly key: NamespacedName
  readonly namespace: string
  readonly name: string
  readonly listeners: readonly ListenerInfo[]
  /** Why it is not the active waypoint of its namespace; undefined if it is. */
  readonly refusal: { readonly reason: string; readonly message: string } | undefined
}

/** The kinds of objects that say which waypoints there are. */
export type WaypointResources = Pick<ResourceSet, 'GatewayClass' | 'Gateway' | 'Namespace' | 'ConfigMap'>

/** Every waypoint of the mesh. */
export interface Waypoints {
  /** By namespace. */
  readonly active: ReadonlyMap<string, ActiveWaypoint>
  /** By `namespace/name`. */
  readonly gateways: ReadonlyMap<NamespacedName, GatewayInfo>
  /** The controller that owns the class `waypoint` in our place; then no Gateway is ours. */
  readonly foreignController: string | undefined
  readonly warnings: readonly Warning[]
}

/**
 * Finds each namespace's active waypoint: the oldest Gateway of the class with a usable listener, else the one that a label asks for.
 * A Gateway that is being deleted is none; if the label asks for it, it comes again as soon as the old one is gone.
 */
export function readWaypoints(resources: WaypointResources): Waypoints {
  const active = new Map<string, ActiveWaypoint>()
  const gateways = new Map<NamespacedName, GatewayInfo>()
  const warnings: Warning[] = []
  const owner = resources.GatewayClass.get(namespacedName('', waypointClass))?.spec.controllerName
  // A missing class object is no hindrance: a folder of manifests need not bring one.
  if (owner !== undefined && owner !== controllerName) return { active, gateways, foreignController: owner, warnings }

  const ours = [...resources.Gateway.values()].filter(({ spec }) => spec.gatewayClassName === waypointClass).sort(compareAge)
  const withGateway = new Set(ours.filter((gateway) => !isEnding(gateway)).map(({ metadata }) => metadata.namespace ?? ''))
  for (const gateway of ours) {
    const namespace = gateway.metadata.namespace ?? ''
    const { name } = gateway.metadata
    const key = namespacedName(namespace, name)
    const listeners = readListeners(gateway)
    const winner = active.get(namespace)
    const refusal = refusalOf(gateway, listeners, winner)
    gateways.set(key, { key, namespace, name, listeners, refusal })
    if (refusal !== undefined) continue
    const { infra, fault, warnings: found } = readInfra(resources, gateway)
    active.set(namespace, { key, namespace, name, gateway, infra, parametersFault: fault })
    warnings.push(...found)
  }
  for (const object of resources.Namespace.values()) {
    const namespace = object.metadata.name
    if (object.metadata.labels?.[waypointLabel] !== 'auto' || withGateway.has(namespace)) continue
    const key = namespacedName(namespace, implicitName)
    const inTheWay = resources.Gateway.get(key)
    if (inTheWay === undefined || (inTheWay.spec.gatewayClassName === waypointClass && isEnding(inTheWay))) {
      const infra = implicitInfra(namespace, implicitName)
      active.set(namespace, { key, namespace, name: implicitName, gateway: undefined, infra, parametersFault: undefined })
    } else {
      warnings.push({
        ref: refOf(object),
        field: `metadata.labels["${waypointLabel}"]`,
        message: `Gateway ${key} of class ${inTheWay.spec.gatewayClassName} has the name that the waypoint would get`,
        advice: `rename that Gateway, or make a Gateway of class ${waypointClass} under another name yourself`,
      })
    }
  }
  return { active, gateways, foreignController: undefined, warnings }
}

/**
 * The entry of an active waypoint. It speaks as the service account that has its Gateway's name.
 * @param addresses where it is dialled
 */
export function waypointEntry(waypoint: ActiveWaypoint, trustDomain: string, addresses: readonly SocketAddress[]): WaypointEntry {
  const { namespace, name } = waypoint
  return { kind: 'waypoint', namespace, name, identity: formatSpiffeId({ trustDomain, namespace, serviceAccount: name }), addresses }
}

/** The one thing to do so that `namespace` gets a waypoint, as the end of a sentence. */
export function waypointAdvice(waypoints: Waypoints, namespace: string): string {
  if (waypoints.foreignController !== undefined) {
    return `GatewayClass ${waypointClass} belongs to ${waypoints.foreignController}, so this mesh makes no waypoints`
  }
  // The first by name: the order of the map is not the objects' own.
  const [refused] = [...waypoints.gateways.values()].filter((info) => info.namespace === namespace).sort((a, b) => compareText(a.name, b.name))
  if (refused !== undefined) {
    const command = `kubectl describe gateway -n ${namespace} ${refused.name}`
    return `Gateway ${refused.key} is not accepted; see why: ${command}`
  }
  return `to get one: kubectl label namespace ${namespace} ${waypointLabel}=auto`
}

function readListeners(gateway: Gateway): readonly ListenerInfo[] {
  const listeners: ListenerInfo[] = []
  for (const listener of gateway.spec.listeners ?? []) listeners.push(readListener(listener, listeners))
  return listeners
}

function isEnding({ metadata }: Gateway): boolean {
  return metadata.deletionTimestamp !== undefined
}

function refusalOf(gateway: Gateway, listeners: readonly ListenerInfo[], winner: ActiveWaypoint | undefined): GatewayInfo['refusal'] {
  if (isEnding(gateway)) return { reason: 'Pending', message: 'The Gateway is being deleted' }
  if (!listeners.some(({ refusal }) => refusal === undefined)) {
    return {
      reason: 'ListenersNotValid',
      message: `No listener can be used: a waypoint needs one with protocol HBONE and port ${meshPort}`,
    }
  }
  if (winner === undefined) return undefined
  const first = `Gateway ${winner.key} comes first (by age, then by name) and serves namespace ${winner.namespace}`
  return { reason: 'Conflicted', message: `${first}, which has one active waypoint; delete one of the two` }
}
