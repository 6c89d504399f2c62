import { printable } from '../kit/printable.ts'
import type { KubeObject } from '../kube/object.ts'
import { describeRef } from '../model/refs.ts'
import type { ObjectStatus, Warning } from '../model/status.ts'
import { conditionOf } from './conditions.ts'
import { entryList } from './entries.ts'
import { listOf, recordOf, sameJson, textOf, type JsonRecord } from './json.ts'
import { clip, digest, microTime } from './text.ts'

/** Something worth an Event. */
export interface Notice {
  readonly type: 'Normal' | 'Warning'
  /** UpperCamelCase. */
  readonly reason: string
  readonly note: string
  /** What makes it this one and no other: two notices with the same identity about one object are told once. */
  readonly identity: readonly string[]
}

/** What is remembered of conditions that were bad and are neither bad nor good yet: `place/type` of one object. */
export type Unresolved = Set<string>

/** The object that a notice is about. */
export interface Regarding {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined; readonly uid?: string | undefined }
}

/** Who tells. */
export interface Reporter {
  /** `domain/name`. */
  readonly controllerName: string
  /** The pod's name. */
  readonly instance: string
}

/** Limits of the API, bytes. Source: Kubernetes, validation of events.k8s.io/v1. */
const noteLimit = 1024
const reasonLimit = 128

/**
 * What a write of a status is worth telling: conditions that turned bad or are bad for another reason, and those that are good again.
 * What the status said before is not told again, so a controller that starts finds nothing to tell.
 * @param before the object's `status` as it stood, unchecked
 * @param after the status that was written
 * @param wanted of what kind it is, and which of it is ours
 * @param unresolved of this object; changed in place
 * @param advice what to do about a reason; undefined: the message says it
 */
export function statusNotices(
  before: unknown,
  after: JsonRecord,
  wanted: ObjectStatus,
  unresolved: Unresolved,
  advice: (reason: string) => string | undefined,
): readonly Notice[] {
  const notices = new Map<string, Notice>()
  for (const { place, was, is } of places(recordOf(before), after, wanted)) {
    const types = new Set([...is, ...was].map((each) => textOf(recordOf(each)['type'])))
    for (const type of types) {
      const now = conditionOf(is, type)
      const notice = noticeOf(wanted.kind, place, type, conditionOf(was, type), now, is, unresolved)
      if (notice === undefined) continue
      const help = notice.type === 'Warning' ? advice(notice.reason) : undefined
      const note = help === undefined ? notice.note : `${notice.note}; ${help}`
      const key = `${type} ${note}`
      if (!notices.has(key)) notices.set(key, { ...notice, note, identity: [type, textOf(now?.['status']), note, textOf(now?.['lastTransitionTime'])] })
    }
  }
  return [...notices.values()]
}

/** A warning as a notice; its identity outlives edits of the object that leave it as it is. */
export function warningNotice({ field, message, advice }: Warning): Notice {
  const note = [field === '' ? message : `${field}: ${message}`, ...(advice === '' ? [] : [advice])].join('; ')
  return { type: 'Warning', reason: 'ConfigurationWarning', note, identity: ['warning', field, message] }
}

/**
 * The Event of a notice. Its name is made of the object and the notice's identity, so that whoever tells it again, this process
 * or the next leader, is answered that it is there already.
 */
export function eventOf({ apiVersion, kind, metadata }: Regarding, notice: Notice, { controllerName, instance }: Reporter, nowMs: number): KubeObject {
  const { name, namespace, uid } = metadata
  const id = digest(uid ?? '', kind, namespace ?? '', name, ...notice.identity)
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    // Events about objects without a namespace stand in `default`: the API asks for it.
    metadata: { name: `${name.slice(0, 230).replace(/[^a-z0-9]+$/, '')}.${id}`, namespace: namespace ?? 'default' },
    eventTime: microTime(nowMs),
    reportingController: controllerName,
    reportingInstance: clip(instance, reasonLimit),
    action: 'Configure',
    type: notice.type,
    reason: clip(notice.reason, reasonLimit),
    note: clip(printable(notice.note), noteLimit),
    regarding: { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) },
  }
}

interface Place {
  /** '' for the object itself, else its parent or listener in words. */
  readonly place: string
  readonly was: readonly unknown[]
  readonly is: readonly unknown[]
}

/** The lists of conditions in a status that are ours. What is gone from it, with its parentRef or listener, is not told. */
function places(before: JsonRecord, after: JsonRecord, wanted: ObjectStatus): readonly Place[] {
  switch (wanted.kind) {
    case 'route':
    case 'policy': {
      const { field, refField, entries } = entryList(wanted)
      const was = listOf(before[field]).map(recordOf)
      return listOf(after[field]).map(recordOf).flatMap((entry) => {
        const ours = entries.some(({ controllerName }) => controllerName === entry['controllerName'])
        if (!ours) return []
        const same = was.find((each) => each['controllerName'] === entry['controllerName'] && sameJson(each[refField], entry[refField]))
        return [{ place: describeReference(wanted.kind, recordOf(entry[refField])), was: listOf(same?.['conditions']), is: listOf(entry['conditions']) }]
      })
    }
    case 'gateway': {
      const was = listOf(before['listeners']).map(recordOf)
      return [
        { place: '', was: listOf(before['conditions']), is: listOf(after['conditions']) },
        ...listOf(after['listeners']).map(recordOf).map((listener) => ({
          place: `listener ${textOf(listener['name'])}`,
          was: listOf(was.find((each) => each['name'] === listener['name'])?.['conditions']),
          is: listOf(listener['conditions']),
        })),
      ]
    }
    case 'gatewayclass':
      return [{ place: '', was: listOf(before['conditions']), is: listOf(after['conditions']) }]
  }
}

function noticeOf(
  kind: ObjectStatus['kind'],
  place: string,
  type: string,
  was: JsonRecord | undefined,
  is: JsonRecord | undefined,
  siblings: readonly unknown[],
  unresolved: Unresolved,
): Omit<Notice, 'identity'> | undefined {
  const key = `${place}/${type}`
  const wasBad = unresolved.has(key) || isBad(kind, place, type, was, undefined, siblings)
  if (isBad(kind, place, type, is, was, siblings)) {
    unresolved.add(key)
    const told = was?.['status'] === is?.['status'] && was?.['reason'] === is?.['reason']
    return told ? undefined : { type: severity(type), reason: textOf(is?.['reason']), note: noteOf(place, type, is) }
  }
  if (!wasBad) return undefined
  if (is === undefined) {
    unresolved.delete(key)
    return { type: 'Normal', reason: 'Resolved', note: `${place === '' ? '' : `${place}: `}${type} is no longer said` }
  }
  // Neither bad nor good: told once it is one of them.
  if (is['status'] !== goodStatus(type)) {
    unresolved.add(key)
    return undefined
  }
  unresolved.delete(key)
  return { type: 'Normal', reason: textOf(is['reason']), note: noteOf(place, type, is) }
}

/**
 * Whether a condition says something that the object's author would act on. That something is pending is not: it is so after each
 * edit. But a Gateway that was programmed and, for the same generation, is not any more has lost its waypoint.
 * @param was the same condition before, undefined if that does not matter
 */
function isBad(
  kind: ObjectStatus['kind'], place: string, type: string, is: JsonRecord | undefined, was: JsonRecord | undefined, siblings: readonly unknown[],
): boolean {
  if (is === undefined || is['status'] === goodStatus(type) || is['status'] === 'Unknown') return false
  switch (nameOf(type)) {
    case 'Accepted':
    case 'ResolvedRefs':
    case 'PartiallyInvalid':
    case 'AppliesToAllNamespaces':
      return true
    case 'Enforced':
      return is['reason'] !== 'Pending'
    case 'Programmed':
      if (kind === 'route') return is['reason'] !== 'Pending'
      // A listener's follows from the Gateway's, and one that is not accepted has been told.
      if (place !== '' || conditionOf(siblings, 'Accepted')?.['status'] === 'False') return false
      return was?.['status'] === 'True' && was['observedGeneration'] === is['observedGeneration']
    default:
      return false
  }
}

function goodStatus(type: string): 'True' | 'False' {
  return type === 'PartiallyInvalid' ? 'False' : 'True'
}

function severity(type: string): Notice['type'] {
  return nameOf(type) === 'AppliesToAllNamespaces' ? 'Normal' : 'Warning'
}

/** A condition type without its domain. */
function nameOf(type: string): string {
  return type.slice(type.indexOf('/') + 1)
}

function noteOf(place: string, type: string, condition: JsonRecord | undefined): string {
  const message = textOf(condition?.['message'])
  // What is wrong with the rules is the same for every parent.
  return place === '' || type === 'ResolvedRefs' || type === 'PartiallyInvalid' ? message : `${place}: ${message}`
}

function describeReference(kind: 'route' | 'policy', ref: JsonRecord): string {
  const named = describeRef({ group: '', kind: textOf(ref['kind']), namespace: textOf(ref['namespace']), name: textOf(ref['name']) })
  const port = typeof ref['port'] === 'number' ? ` port ${ref['port']}` : ''
  const section = ref['sectionName'] === undefined ? '' : ` section ${textOf(ref['sectionName'])}`
  return `${kind === 'route' ? 'parent' : 'target'} ${named}${port}${section}`
}
