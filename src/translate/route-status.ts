import { generationOf } from '../api/meta.ts'
import { refOf } from '../api/resources.ts'
import type { ParentReference } from '../api/routes.ts'
import type { EntryKey } from '../model/entries.ts'
import { describeRef, type NamespacedName } from '../model/refs.ts'
import { controllerName, type Condition, type ObjectStatus, type ParentRef } from '../model/status.ts'
import { list, type Attachment, type Target } from './attach.ts'
import { fails, holds, ourConditions, sentences, unknown } from './conditions.ts'
import { waypointLabel } from './labels.ts'
import { tableKey, type JudgedRoute } from './judge.ts'
import type { Table } from './merge.ts'
import { compareText } from './order.ts'

type Accepted = Extract<Attachment, { readonly refusal: undefined }>

/** What statuses look up while they are written; the same question has the same object as its answer while that means the same. */
export type StatusView = {
  readonly table: (key: EntryKey) => Table | undefined
  /** See `consumersByPort`. */
  readonly consumers: (port: string) => readonly string[] | undefined
  /** Whether every ready replica of a waypoint holds the present configuration; undefined: it is not known. */
  readonly ready: (waypoint: NamespacedName) => boolean | undefined
  /** See `waypointAdvice`. */
  readonly advice: (namespace: string) => string
}

/**
 * The status of a route: one entry for each parentRef of ours, always with `Accepted` and `ResolvedRefs`.
 * @returns undefined if nothing of ours is or was in it; no parents at all if entries of ours are left over from an earlier spec
 */
export function routeStatus(judged: JudgedRoute, view: StatusView): ObjectStatus | undefined {
  const { route, attachments } = judged
  const wasOurs = route.status?.parents?.some((parent) => parent.controllerName === controllerName) === true
  if (attachments.length === 0 && !wasOurs) return undefined
  return {
    kind: 'route',
    ref: refOf(route),
    parents: attachments.map((attachment) => ({
      parentRef: parentRefOf(attachment.ref),
      controllerName,
      conditions: conditionsOf(view, judged, attachment),
    })),
  }
}

/** Whether a route counts as attached to the listener that one of its parentRefs names. Source: ListenerStatus.attachedRoutes. */
function isAttached(view: StatusView, judged: JudgedRoute, attachment: Attachment): boolean {
  return attachment.refusal === undefined && acceptance(view, judged, attachment).reason === 'Accepted'
}

function conditionsOf(view: StatusView, judged: JudgedRoute, attachment: Attachment): readonly Condition[] {
  const generation = generationOf(judged.route)
  const accepted = acceptance(view, judged, attachment)
  const isAccepted = accepted.reason === 'Accepted'
  const conditions = [
    (isAccepted ? holds : fails)('Accepted', accepted.reason, accepted.message, generation),
    resolvedRefs(judged, generation),
  ]
  if (judged.compiled.dropped.length > 0 && judged.rejection === undefined) {
    conditions.push(holds('PartiallyInvalid', 'UnsupportedValue', `Dropped Rule(s): ${sentences(judged.compiled.dropped)}`, generation))
  }
  if (isAccepted && attachment.refusal === undefined) {
    conditions.push(programmed(view, judged, attachment, generation), ...hidden(view, judged, attachment, generation))
  }
  return conditions
}

function acceptance(view: StatusView, judged: JudgedRoute, attachment: Attachment): { readonly reason: string; readonly message: string } {
  if (attachment.refusal !== undefined) return attachment.refusal
  if (judged.rejection !== undefined) {
    return { reason: 'UnsupportedValue', message: judged.rejection === '' ? `No rule can be used: ${sentences(judged.compiled.dropped)}` : judged.rejection }
  }
  const lost = attachment.targets.flatMap((target) => {
    const winner = tableOf(view, judged, attachment, target)?.routes[0].route
    if (winner === undefined || winner.kind === judged.route.kind) return []
    return [`${describeRef(refOf(winner))} holds port ${target.port.port} of Service ${target.service.key}`]
  })
  if (lost.length > 0 && lost.length === attachment.targets.length) {
    return { reason: 'Conflicted', message: `Kinds of routes do not mix on one port: ${sentences(lost)}` }
  }
  const but = lost.length === 0 ? '' : `, except where a stronger kind of route stands: ${sentences(lost)}`
  return { reason: 'Accepted', message: `Applies to ${attachment.scope}${but}` }
}

function resolvedRefs({ compiled: { problems } }: JudgedRoute, generation: number): Condition {
  const [first] = problems
  if (first === undefined) return holds('ResolvedRefs', 'ResolvedRefs', 'Every reference is resolved', generation)
  return fails('ResolvedRefs', first.reason, sentences(problems.map(({ message }) => message)), generation)
}

/** Whether waypoints hold the route: those of all targets must. */
function programmed(view: StatusView, judged: JudgedRoute, attachment: Accepted, generation: number): Condition {
  const type = ourConditions.programmed
  const held = heldTables(view, judged, attachment)
  const waypoints = [...new Set(held.map(({ waypoint }) => waypoint))].filter((waypoint) => waypoint !== undefined).sort(compareText)
  const unserved = held.find(({ waypoint }) => waypoint === undefined)
  if (unserved !== undefined && waypoints.length === 0) return fails(type, 'NoWaypoint', noWaypoint(view, unserved), generation)
  if (waypoints.length === 0) return holds(type, 'Programmed', 'There is no Service port to apply it to', generation)
  const readiness = waypoints.map(view.ready)
  const named = `Waypoint ${waypoints.join(', ')}`
  if (readiness.includes(undefined)) return unknown(type, 'Pending', `${named} applies it; what it holds is not known here`, generation)
  const pending = waypoints.filter((_, at) => readiness[at] !== true)
  if (pending.length > 0) {
    return fails(type, 'Pending', `Waypoint ${pending.join(', ')} does not hold the present configuration yet`, generation)
  }
  return holds(type, 'Programmed', `${named} holds it`, generation)
}

function noWaypoint(view: StatusView, { level, namespace, service }: Table): string {
  if (level === 'producer' && service.atL4) {
    const command = `kubectl label service -n ${service.namespace} ${service.name} ${waypointLabel}-`
    return `Service ${service.key} is labelled ${waypointLabel}=none and stays at L4; to change that: ${command}`
  }
  const whose = level === 'producer' ? service.namespace : namespace
  return `No waypoint in namespace ${whose} applies this route; ${view.advice(whose)}`
}

/** Says for whom consumer routes stand in place of a producer route. Source: GEP-1294, no merging between the two. */
function hidden(view: StatusView, judged: JudgedRoute, attachment: Accepted, generation: number): readonly Condition[] {
  if (attachment.level !== 'producer') return []
  const namespaces = new Map<string, string[]>()
  for (const { service, port, waypoint } of heldTables(view, judged, attachment)) {
    if (waypoint === undefined) continue
    const where = `${service.key}:${port.port}`
    for (const namespace of view.consumers(where) ?? []) namespaces.set(namespace, [...(namespaces.get(namespace) ?? []), where])
  }
  if (namespaces.size === 0) return []
  const parts = [...namespaces]
    .sort(([a], [b]) => compareText(a, b))
    .map(([namespace, where]) => `callers in namespace ${namespace} use their own routes for ${list('Service port', where)}`)
  const message = `Applies to every namespace but these: ${sentences(parts)}`
  return [fails(ourConditions.appliesToAllNamespaces, 'ConsumerRoutes', message, generation)]
}

/** The tables in which the route really stands through one parentRef. */
function heldTables(view: StatusView, judged: JudgedRoute, attachment: Accepted): readonly Table[] {
  return attachment.targets.flatMap((target) => {
    const table = tableOf(view, judged, attachment, target)
    return table?.routes[0].route.kind === judged.route.kind ? [table] : []
  })
}

function tableOf(view: StatusView, judged: JudgedRoute, attachment: Accepted, target: Target): Table | undefined {
  return view.table(tableKey(judged.route, attachment.level, target))
}

/** Exactly the fields that the spec has: the status is keyed by them. */
function parentRefOf({ group, kind, namespace, name, sectionName, port }: ParentReference): ParentRef {
  return {
    ...(group === undefined ? {} : { group }),
    ...(kind === undefined ? {} : { kind }),
    ...(namespace === undefined ? {} : { namespace }),
    name,
    ...(sectionName === undefined ? {} : { sectionName }),
    ...(port === undefined ? {} : { port }),
  }
}

/** Namespace and name of the Gateways that the accepted parentRefs of a route attach to, with their listener. */
export function listenersOf(judged: JudgedRoute, view: StatusView): readonly { readonly key: NamespacedName; readonly listener: string }[] {
  const found = new Map<string, { readonly key: NamespacedName; readonly listener: string }>()
  for (const attachment of judged.attachments) {
    if (attachment.refusal !== undefined || attachment.gateway?.listener === undefined || !isAttached(view, judged, attachment)) continue
    const { key, listener } = attachment.gateway
    found.set(`${key}/${listener}`, { key, listener })
  }
  return [...found.values()]
}
