import type { ReferenceGrant } from '../../api/gateway.ts'
import type { ResourceSet } from '../../api/resources.ts'
import type { AnyRoute } from '../../api/routes.ts'
import type { EntryKey } from '../../model/entries.ts'
import { namespacedName } from '../../model/refs.ts'
import type { Warning } from '../../model/status.ts'
import { createJudge, type JudgedRoute } from '../judge.ts'
import { createGrouping, createListReading, createSorting, keepEqual, keepLast, keepMap, sameItems, type Sorted } from '../memo.ts'
import { createMerger, type Tables } from '../merge.ts'
import type { Mesh } from '../mesh.ts'
import { compareAge, compareNames, compareText } from '../order.ts'
import type { Services } from './services.ts'
import type { AllWaypoints } from './waypoints.ts'

/** Every route, judged and merged. */
export interface Routes {
  /** As they stand in statuses: by kind, and by `namespace/name` within each. */
  readonly inNameOrder: readonly JudgedRoute[]
  readonly tables: Tables
  /** Those that are not as they were at the last time. */
  readonly changedTables: ReadonlySet<EntryKey>
  readonly warnings: readonly Warning[]
}

type RouteMaps = Pick<ResourceSet, 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute' | 'TCPRoute'>

/** Judges routes: again only those of which something that they refer to changed. */
export function createRouteStage(): (resources: ResourceSet, services: Services, waypoints: AllWaypoints) => Routes {
  const judge = createListReading(createJudge())
  const groupGrants = createGrouping<ReferenceGrant>(({ metadata }) => metadata.namespace ?? '', compareNames)
  const sort = createRouteSort()
  const merge = createMerger()
  const readLabels = createLabelStage()
  let last: { readonly inputs: readonly unknown[]; readonly routes: Routes } | undefined
  return (resources, services, { gateways, serving }) => {
    const { HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, ReferenceGrant, Namespace } = resources
    const inputs = [HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, ReferenceGrant, Namespace, services.byKey, services.parents, gateways, serving]
    if (last !== undefined && sameItems(last.inputs, inputs)) return { ...last.routes, changedTables: new Set() }
    const grants = groupGrants(resources.ReferenceGrant)
    const labels = readLabels(resources.Namespace)
    const mesh: Mesh = {
      service: (key) => services.byKey.get(key),
      parentServices: (namespace) => services.parents.get(namespace) ?? none,
      gateway: (key) => gateways.get(key),
      implicitGateway: (namespace) => {
        const waypoint = serving.get(namespace)
        return waypoint?.implicit === true ? waypoint.key : undefined
      },
      labels: (namespace) => labels.get(namespacedName('', namespace)),
      grants: (namespace) => grants.get(namespace) ?? none,
    }
    const { routes, byName } = sort(resources)
    const judged = judge(routes, mesh, [services.byKey, services.parents, gateways, serving, labels, grants])
    const { tables, changed } = merge(judged, (namespace) => serving.get(namespace)?.key, serving)
    const inNameOrder = byName.map((at) => judged[at]).filter((one) => one !== undefined)
    last = { inputs, routes: { inNameOrder, tables, changedTables: changed, warnings: judged.flatMap(({ warnings }) => warnings) } }
    return last.routes
  }
}

const none: readonly never[] = []

type Labels = Readonly<Record<string, string>>

function createLabelStage(): (namespaces: ResourceSet['Namespace']) => ReadonlyMap<string, Labels> {
  let labels: ReadonlyMap<string, Labels> = new Map()
  return keepLast((namespaces) => {
    labels = keepMap(labels, keepEqual(labels, new Map([...namespaces].map(([key, { metadata }]) => [key, metadata.labels ?? {}]))))
    return labels
  })
}

/** Routes in two orders. */
interface SortedRoutes {
  /** Oldest first: the order in which rules that rank equal stand. */
  readonly routes: readonly AnyRoute[]
  /** Positions in `routes` by kind, and by name within each. */
  readonly byName: readonly number[]
}

function createRouteSort(): (maps: RouteMaps) => SortedRoutes {
  const kinds = (['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] as const).map((kind) => ({ kind, sort: createSorting<AnyRoute>(compareAge) }))
  let present: readonly Sorted<AnyRoute>[] = []
  // Positions change only when the order of a kind does, and then its list of keys is another one.
  const positions = keepLast((...keys: readonly (readonly string[])[]) => {
    const all = present.flatMap(({ values }, kind) => values.map((route, at) => ({ route, kind, at })))
    if (keys.filter(({ length }) => length > 0).length > 1) {
      all.sort((a, b) => compareAge(a.route, b.route) || compareText(a.route.kind, b.route.kind))
    }
    const byName = all
      .map(({ route, kind }, position) => ({ route, kind, position }))
      .sort((a, b) => a.kind - b.kind || compareNames(a.route, b.route))
      .map(({ position }) => position)
    return { inAgeOrder: all.map(({ kind, at }) => ({ kind, at })), byName }
  })
  return (maps) => {
    present = kinds.map(({ kind, sort }) => sort(maps[kind]))
    const { inAgeOrder, byName } = positions(...present.map(({ keys }) => keys))
    return { routes: inAgeOrder.map(({ kind, at }) => present[kind]?.values[at]).filter((route) => route !== undefined), byName }
  }
}
