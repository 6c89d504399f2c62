import type { Gateway, GatewayClass } from '../api/gateway.ts'
import { generationOf } from '../api/meta.ts'
import { refOf } from '../api/resources.ts'
import { controllerName, type Condition, type ListenerStatus, type ObjectStatus } from '../model/status.ts'
import { fails, holds, unknown } from './conditions.ts'
import { supportedFeatures } from './features.ts'
import type { ListenerInfo } from './listeners.ts'
import type { TranslateOptions } from './options.ts'
import type { StatusAddresses } from './waypoint-addresses.ts'
import { waypointClass, type ActiveWaypoint, type GatewayInfo } from './waypoints.ts'

/** The status of a GatewayClass that names our controller; undefined for one of another controller. */
export function gatewayClassStatus(gatewayClass: GatewayClass): ObjectStatus | undefined {
  if (gatewayClass.spec.controllerName !== controllerName) return undefined
  const generation = generationOf(gatewayClass)
  const served = gatewayClass.metadata.name === waypointClass
  return {
    kind: 'gatewayclass',
    ref: refOf(gatewayClass),
    conditions: [
      served
        ? holds('Accepted', 'Accepted', 'Gateways of this class become waypoints', generation)
        : fails('Accepted', 'Unsupported', `Only the class named ${waypointClass} is served`, generation),
    ],
    supportedFeatures: served ? supportedFeatures.map((name) => ({ name })) : [],
  }
}

/**
 * The status of a Gateway of our class.
 * @param active the waypoint that it is, if it is the active one
 * @param addresses of that
 * @param attachedRoutes number of accepted routes whose parentRef is this Gateway, by listener
 */
export function gatewayStatus(
  gateway: Gateway,
  info: GatewayInfo,
  active: ActiveWaypoint | undefined,
  addresses: StatusAddresses,
  options: TranslateOptions,
  attachedRoutes: (listener: string) => number,
): ObjectStatus {
  const generation = generationOf(gateway)
  const programmed = programmedCondition(info, addresses.length, generation, options)
  return {
    kind: 'gateway',
    ref: refOf(gateway),
    addresses,
    conditions: [
      acceptedCondition(info, active, generation),
      programmed,
      holds('ResolvedRefs', 'ResolvedRefs', 'The Gateway itself refers to nothing; see the listeners for theirs', generation),
    ],
    listeners: info.listeners.map((listener) => listenerStatus(listener, programmed, generation, attachedRoutes(listener.listener.name))),
  }
}

/** A waypoint whose parameters turn bad goes on with those that it has: traffic must not bypass it for a typo. */
function acceptedCondition({ namespace, listeners, refusal }: GatewayInfo, active: ActiveWaypoint | undefined, generation: number): Condition {
  if (refusal !== undefined) return fails('Accepted', refusal.reason, refusal.message, generation)
  if (active?.parametersFault !== undefined) {
    const stays = 'until that is mended, what runs for this Gateway stays as it is'
    return fails('Accepted', 'InvalidParameters', `${active.parametersFault}; ${stays}`, generation)
  }
  const unusable = listeners.filter((listener) => listener.refusal !== undefined).map(({ listener }) => listener.name)
  const served = `This is the active waypoint of namespace ${namespace}`
  return unusable.length === 0
    ? holds('Accepted', 'Accepted', served, generation)
    : holds('Accepted', 'ListenersNotValid', `${served}, without the listeners ${unusable.join(', ')}`, generation)
}

function programmedCondition(
  { key, refusal }: GatewayInfo,
  addresses: number,
  generation: number,
  { readyWaypoints, infraProblems }: TranslateOptions,
): Condition {
  if (refusal !== undefined) return fails('Programmed', 'Invalid', 'A Gateway that is not accepted gets no waypoint', generation)
  const inTheWay = infraProblems?.get(key)
  const serves = readyWaypoints?.has(key) === true && addresses > 0
  if (inTheWay !== undefined && !serves) return fails('Programmed', 'InfrastructureFailed', inTheWay, generation)
  if (readyWaypoints === undefined) return unknown('Programmed', 'Pending', 'What the waypoint holds is not known here', generation)
  if (!readyWaypoints.has(key)) return fails('Programmed', 'Pending', 'No ready waypoint holds the present configuration yet', generation)
  if (addresses === 0) return fails('Programmed', 'AddressNotAssigned', 'The waypoint has no address yet', generation)
  const but = inTheWay === undefined ? '' : `, but not all of it is as it should be: ${inTheWay}`
  return holds('Programmed', 'Programmed', `A ready waypoint holds the present configuration${but}`, generation)
}

function listenerStatus(info: ListenerInfo, programmed: Condition, generation: number, attachedRoutes: number): ListenerStatus {
  const { listener, refusal, supportedKinds, unknownKinds } = info
  return {
    name: listener.name,
    attachedRoutes,
    supportedKinds,
    conditions: [
      refusal === undefined
        ? holds('Accepted', 'Accepted', 'The listener is accepted', generation)
        : fails('Accepted', refusal.reason, refusal.message, generation),
      refusal === undefined ? programmed : fails('Programmed', 'Invalid', 'A listener that is not accepted is not served', generation),
      unknownKinds.length === 0
        ? holds('ResolvedRefs', 'ResolvedRefs', 'Every kind in allowedRoutes is known', generation)
        : fails('ResolvedRefs', 'InvalidRouteKinds', `This mesh does not serve routes of kind ${unknownKinds.join(', ')}`, generation),
      refusal?.conflict === true
        ? holds('Conflicted', refusal.reason, refusal.message, generation)
        : fails('Conflicted', 'NoConflicts', 'No other listener is in the way', generation),
    ],
  }
}
