import type { Condition, ListenerStatus, ObjectStatus, ParentRef } from '../model/status.ts'
import { conditionOf, mergeConditions } from './conditions.ts'
import { entryList, type EntryList, type NamedEntry } from './entries.ts'
import { listOf, recordOf, sameJson, textOf, type JsonRecord } from './json.ts'

/** What a merge must know besides the two statuses. */
export interface MergeContext {
  /** `domain/name`; entries of `status.parents[]` and `status.ancestors[]` with another name are not touched. */
  readonly controllerName: string
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number
}

/**
 * The whole status that an object should have.
 *
 * Route, policy: only entries with our controller's name are touched; those whose parentRef or ancestorRef is not wanted go. Gateway: conditions,
 * addresses and listeners are set. GatewayClass: conditions and `supportedFeatures`, sorted. All else stays as it stands,
 * conditions with another's domain included. `lastTransitionTime` moves only when the condition's status does.
 * @param current the object's `status` in the cluster, unchecked
 * @returns undefined if nothing changes
 */
export function mergeStatus(current: unknown, wanted: ObjectStatus, context: MergeContext): JsonRecord | undefined {
  const status = recordOf(current)
  const fields = wantedFields(status, wanted, context)
  const changed = Object.keys(fields).some((field) => !sameList(status[field], fields[field]))
  return changed ? { ...status, ...fields } : undefined
}

/**
 * `wanted` without what may pass within seconds: a condition that holds in the cluster and should now be `Pending` for the same
 * generation stays as it is. Every new configuration is pending for a moment at every waypoint; without this each edit of one
 * object would write the status of all others twice.
 * @returns `wanted` itself if there is nothing of that kind
 */
export function withoutPassing(current: unknown, wanted: ObjectStatus, controllerName: string): ObjectStatus {
  const status = recordOf(current)
  switch (wanted.kind) {
    case 'route': {
      const parents = keep(wanted.parents, (parent) => steady(conditionsOf(status, 'parents', 'parentRef', parent.parentRef, controllerName), parent))
      return parents === wanted.parents ? wanted : { ...wanted, parents }
    }
    case 'policy': {
      const ancestors = keep(wanted.ancestors, (ancestor) => steady(conditionsOf(status, 'ancestors', 'ancestorRef', ancestor.ancestorRef, controllerName), ancestor))
      return ancestors === wanted.ancestors ? wanted : { ...wanted, ancestors }
    }
    case 'gateway': {
      const listeners = keep(wanted.listeners, (listener) => steady(listenerOf(status, listener.name)['conditions'], listener))
      const { conditions } = steady(status['conditions'], wanted)
      return listeners === wanted.listeners && conditions === wanted.conditions ? wanted : { ...wanted, conditions, listeners }
    }
    case 'gatewayclass':
      return wanted
  }
}

function wantedFields(status: JsonRecord, wanted: ObjectStatus, { controllerName, nowMs }: MergeContext): JsonRecord {
  const conditions = (current: unknown, of: Pick<ListenerStatus, 'conditions'>, plainTypes: boolean): readonly unknown[] =>
    mergeConditions(current, of.conditions, { controllerName, plainTypes }, nowMs)
  switch (wanted.kind) {
    case 'route':
    case 'policy': {
      const list = entryList(wanted)
      return { [list.field]: mergeEntries(listOf(status[list.field]), list, controllerName, (current, of) => conditions(current, of, true)) }
    }
    case 'gateway':
      return {
        addresses: wanted.addresses,
        conditions: conditions(status['conditions'], wanted, false),
        listeners: wanted.listeners.map((listener) => {
          const before = listenerOf(status, listener.name)
          return { ...before, ...listener, conditions: conditions(before['conditions'], listener, true) }
        }),
      }
    case 'gatewayclass': {
      const names = [...new Set(wanted.supportedFeatures.map(({ name }) => name))].sort()
      return { conditions: conditions(status['conditions'], wanted, false), supportedFeatures: names.map((name) => ({ name })) }
    }
  }
}

/** Entries that stay keep their place, others' entries are the same objects as before, and new ones come last. */
function mergeEntries(
  current: readonly unknown[],
  { entries, refField }: EntryList,
  controllerName: string,
  conditions: (current: unknown, of: NamedEntry) => readonly unknown[],
): readonly unknown[] {
  const left = [...entries]
  const merged: unknown[] = []
  for (const each of current) {
    const before = recordOf(each)
    if (before['controllerName'] !== controllerName) {
      merged.push(each)
      continue
    }
    const at = left.findIndex(({ ref }) => isEntryOf(before, refField, ref, controllerName))
    const [entry] = at === -1 ? [] : left.splice(at, 1)
    if (entry !== undefined) merged.push({ ...before, conditions: conditions(before['conditions'], entry) })
  }
  for (const entry of left) merged.push({ [refField]: entry.ref, controllerName, conditions: conditions([], entry) })
  return merged
}

/** The conditions of our entry about a reference; undefined if there is none. */
function conditionsOf(status: JsonRecord, field: EntryList['field'], refField: EntryList['refField'], ref: ParentRef, controllerName: string): unknown {
  return listOf(status[field]).map(recordOf).find((each) => isEntryOf(each, refField, ref, controllerName))?.['conditions']
}

function isEntryOf(entry: JsonRecord, refField: EntryList['refField'], ref: ParentRef, controllerName: string): boolean {
  return entry['controllerName'] === controllerName && sameJson(withDefaults(recordOf(entry[refField])), withDefaults({ ...ref }))
}

/** The API server fills these in, in the spec as in the status; a parentRef that was kept without them is the same one. */
function withDefaults(parentRef: JsonRecord): JsonRecord {
  return { ...parentRef, group: parentRef['group'] ?? 'gateway.networking.k8s.io', kind: parentRef['kind'] ?? 'Gateway' }
}

function listenerOf(status: JsonRecord, name: string): JsonRecord {
  return listOf(status['listeners']).map(recordOf).find((each) => each['name'] === name) ?? {}
}

/** `of` with those conditions that only pass put back to what stands in the cluster. */
function steady<T extends Pick<ListenerStatus, 'conditions'>>(current: unknown, of: T): T {
  const conditions = keep<Condition>(of.conditions, (condition) => {
    if (condition.status === 'True' || condition.reason !== 'Pending') return condition
    const before = conditionOf(current, condition.type)
    if (before?.['status'] !== 'True' || before['observedGeneration'] !== condition.observedGeneration) return condition
    return { ...condition, status: 'True', reason: textOf(before['reason']), message: textOf(before['message']) }
  })
  return conditions === of.conditions ? of : { ...of, conditions }
}

/** `map`, but the very same list if every item is. */
function keep<T>(items: readonly T[], change: (item: T) => T): readonly T[] {
  const changed = items.map(change)
  return changed.every((each, at) => each === items[at]) ? items : changed
}

/** A list that is not there says as much as an empty one. */
function sameList(current: unknown, wanted: unknown): boolean {
  return sameJson(current ?? [], wanted)
}
