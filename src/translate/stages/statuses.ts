import { isDeepStrictEqual } from 'node:util'
import type { ResourceSet } from '../../api/resources.ts'
import { namespacedName } from '../../model/refs.ts'
import type { ObjectStatus } from '../../model/status.ts'
import { gatewayClassStatus, gatewayStatus } from '../gateway-status.ts'
import type { JudgedRoute } from '../judge.ts'
import { createListReading, createSameList, createSorting, keepEqual, keepLast, keepMap, perObject } from '../memo.ts'
import { consumersByPort } from '../merge.ts'
import type { TranslateOptions } from '../options.ts'
import { compareNames, compareText } from '../order.ts'
import { listenersOf, routeStatus, type StatusView } from '../route-status.ts'
import { statusAddresses, type AddressSources } from '../waypoint-addresses.ts'
import { waypointAdvice } from '../waypoints.ts'
import type { Policies } from './policies.ts'
import type { Routes } from './routes.ts'
import type { AllWaypoints } from './waypoints.ts'

/** What statuses are made from. */
export interface StatusParts {
  readonly waypoints: AllWaypoints
  readonly routes: Routes
  readonly policies: Policies
  readonly sources: AddressSources
  readonly options: TranslateOptions
}

interface RouteReading {
  readonly status: ReturnType<typeof routeStatus>
  readonly listeners: ReturnType<typeof listenersOf>
}

/** Makes the statuses; those that did not change are the same objects as before. */
export function createStatusStage(): (resources: ResourceSet, parts: StatusParts) => readonly ObjectStatus[] {
  const sortClasses = createSorting<ResourceSet['GatewayClass'] extends ReadonlyMap<string, infer Class> ? Class : never>(compareNames)
  const classStatus = perObject(gatewayClassStatus)
  const read = createListReading(
    (judged: JudgedRoute, view: StatusView): RouteReading => ({ status: routeStatus(judged, view), listeners: listenersOf(judged, view) }),
    isDeepStrictEqual,
  )
  const gather = keepLast((all: readonly RouteReading[]) => {
    const attached = new Map<string, number>()
    for (const { listeners } of all) for (const { key, listener } of listeners) attached.set(`${key}/${listener}`, (attached.get(`${key}/${listener}`) ?? 0) + 1)
    return { attached, statuses: all.map(({ status }) => status).filter((status) => status !== undefined) }
  })
  let consumers: ReadonlyMap<string, readonly string[]> = new Map()
  const readConsumers = keepLast((tables: Routes['tables']) => (consumers = consumersByPort(tables, consumers)))
  const listGateways = keepLast((all: ReadonlyMap<string, ObjectStatus>) => [...all.values()])
  const [sameClasses, samePolicies] = [createSameList<ObjectStatus>(), createSameList<ObjectStatus>()]
  const join = keepLast((...parts: readonly (readonly ObjectStatus[])[]) => parts.flat())
  let ready: ReadonlyMap<string, true> | undefined
  let gateways: ReadonlyMap<string, ObjectStatus> = new Map()
  return (resources, { waypoints, routes, policies, sources, options }) => {
    readConsumers(routes.tables)
    ready = options.readyWaypoints === undefined ? undefined : keepMap(ready ?? new Map<string, true>(), new Map([...options.readyWaypoints].map((key) => [key, true])))
    const view: StatusView = {
      table: (key) => routes.tables.get(key),
      consumers: (port) => consumers.get(port),
      ready: (waypoint) => options.readyWaypoints?.has(waypoint),
      advice: (namespace) => waypointAdvice(waypoints, namespace),
    }
    const isTouched = routes.changedTables.size === 0 ? undefined : ({ placements }: JudgedRoute): boolean => placements.some(({ key }) => routes.changedTables.has(key))
    const { attached, statuses: ofRoutes } = gather(read(routes.inNameOrder, view, [waypoints.gateways, waypoints.foreignController, consumers, ready], isTouched))
    const ofGateways = new Map<string, ObjectStatus>()
    for (const info of [...waypoints.gateways.values()].sort((a, b) => compareText(a.key, b.key))) {
      const gateway = resources.Gateway.get(namespacedName(info.namespace, info.name))
      if (gateway === undefined) continue
      const active = info.refusal === undefined ? waypoints.active.get(info.namespace) : undefined
      const addresses = active === undefined ? [] : statusAddresses(active, sources)
      ofGateways.set(info.key, gatewayStatus(gateway, info, active, addresses, options, (listener) => attached.get(`${info.key}/${listener}`) ?? 0))
    }
    gateways = keepMap(gateways, keepEqual(gateways, ofGateways))
    const ofClasses = sortClasses(resources.GatewayClass).values.map(classStatus).filter((status) => status !== undefined)
    const ofPolicies = policies.statuses({
      ready: view.ready,
      advice: view.advice,
      hasRoute: (kind, key) => (kind === 'HTTPRoute' || kind === 'GRPCRoute') && resources[kind].has(key),
    })
    return join(sameClasses(ofClasses), listGateways(gateways), ofRoutes, samePolicies(ofPolicies))
  }
}
