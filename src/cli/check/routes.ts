import { isDeepStrictEqual } from 'node:util'
import { generationOf, type StatusCondition } from '../../api/meta.ts'
import { refOf } from '../../api/resources.ts'
import type { AnyRoute } from '../../api/routes.ts'
import { describeFinding, statusFindings, type Finding } from '../../control/findings.ts'
import { describeRef } from '../../model/refs.ts'
import { controllerName, type Condition, type ObjectStatus, type ParentRef } from '../../model/status.ts'
import type { Translation } from '../../translate/options.ts'
import type { LiveCluster } from '../live.ts'
import { count, failure, ok, warning, type Line } from './report.ts'

type RouteStatus = Extract<ObjectStatus, { readonly kind: 'route' }>

/** Most lines of one severity: a cluster may have thousands of routes, and one fault that shows in all of them. */
const most = 40

const routeKinds = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] as const

/** What the statuses of routes say, and whether controllers have judged all that concern them. */
export function judgeRoutes({ resources }: Pick<LiveCluster, 'resources'>, { statuses, warnings }: Pick<Translation, 'statuses' | 'warnings'>): readonly Line[] {
  const ours = new Map(statuses.filter((each): each is RouteStatus => each.kind === 'route' && each.parents.length > 0).map((each) => [describeRef(each.ref), each]))
  const routes = routeKinds.flatMap((kind): readonly AnyRoute[] => [...resources[kind].values()]).filter((route) => ours.has(describeRef(refOf(route))))
  const found = routes.flatMap((route) => judgeRoute(route, ours.get(describeRef(refOf(route)))?.parents.map(({ parentRef }) => parentRef) ?? []))
  const odd = warnings.filter(({ ref }) => (routeKinds as readonly string[]).includes(ref.kind))
    .map(({ ref, field, message, advice }) => warning(`${describeRef(ref)} ${field}: ${message}`, advice))
  const lines = [...found, ...odd]
  if (lines.length === 0) return [ok(routes.length === 0 ? 'no route concerns the mesh yet' : `${count(routes.length, 'route')} ${routes.length === 1 ? 'is' : 'are'} accepted, resolved and programmed`)]
  return (['error', 'warning'] as const).flatMap((severity) => bounded(lines.filter((each) => each.severity === severity), severity))
}

function bounded(lines: readonly Line[], severity: 'error' | 'warning'): readonly Line[] {
  if (lines.length <= most) return lines
  const rest = `${lines.length - most} more ${severity === 'error' ? 'errors' : 'warnings'} of routes`
  const advice = 'mend those above first; the statuses of the routes have all of them'
  return [...lines.slice(0, most), severity === 'error' ? failure(rest, advice) : warning(rest, advice)]
}

/** @param expected the parentRefs about which we have something to say */
function judgeRoute(route: AnyRoute, expected: readonly ParentRef[]): readonly Line[] {
  const parents = (route.status?.parents ?? []).filter((each) => each.controllerName === controllerName)
  const name = describeRef(refOf(route))
  const lines: Line[] = []
  for (const parentRef of expected) {
    const entry = parents.find((each) => sameParent(each.parentRef, parentRef))
    if (entry === undefined) {
      lines.push(failure(`${name}: parent ${parentRef.name}: no controller has judged it`, 'it should be there within a second: does a controller lead? See above'))
      continue
    }
    const conditions = (entry.conditions ?? []).map(asCondition)
    if (conditions.some((each) => each.observedGeneration < generationOf(route))) {
      lines.push(warning(`${name}: parent ${parentRef.name}: its status is about an earlier version of it`, 'look again; if it stays so, does a controller lead? See above'))
    }
    const status: RouteStatus = { kind: 'route', ref: refOf(route), parents: [{ parentRef, controllerName, conditions }] }
    lines.push(...statusFindings(status).map(asLine), ...conditions.flatMap((each) => pending(name, parentRef, each)))
  }
  return lines
}

/** Source: Gateway API: a parentRef is the same if all of its fields are; the API server fills in group and kind. */
function sameParent(a: object, b: ParentRef): boolean {
  const filled = (ref: object): object => ({ group: 'gateway.networking.k8s.io', kind: 'Gateway', ...Object.fromEntries(Object.entries(ref).filter(([, value]) => value !== undefined)) })
  return isDeepStrictEqual(filled(a), filled(b))
}

function asCondition({ type, status, reason, message, observedGeneration = 0 }: StatusCondition): Condition {
  return { type, status, reason, message, observedGeneration }
}

/** A route that is in order and that waypoints do not hold. */
function pending(name: string, { name: parent }: ParentRef, { type, status, reason, message }: Condition): readonly Line[] {
  if (type !== 'waymark.dev/Programmed' || status === 'True' || reason === 'NoWaypoint') return []
  return [warning(`${name}: parent ${parent}: ${type}=${status} (${reason}): ${message}`, 'see the waypoints above')]
}

function asLine(finding: Finding): Line {
  const { severity, advice, expected } = finding
  const message = describeFinding({ ...finding, advice: '', expected: '' })
  const what = [...(expected === '' ? [] : [`expected ${expected}`]), ...(advice === '' ? [] : [advice])].join('; ') || 'do what the message says'
  return severity === 'error' ? failure(message, what) : warning(message, what)
}
