import type { Resource } from '../api/resources.ts'
import type { KubeObject } from '../kube/object.ts'
import type { ObjectStatus } from '../model/status.ts'
import type { Unresolved } from './events.ts'
import { sameJson, type JsonRecord } from './json.ts'
import { mergeStatus, withoutPassing } from './merge.ts'

/** What is known of an object in the cluster besides what the watch says. */
export interface Seen {
  readonly uid: string | undefined
  readonly resourceVersion: string | undefined
  readonly status: unknown
  /** When it was seen, milliseconds since the Unix epoch. */
  readonly atMs: number
}

/** One object and the status that it should have. */
export interface Entry {
  readonly key: string
  readonly namespace: string
  wanted: ObjectStatus
  /** As the watch has it. */
  watched: Resource
  /** The answer to our own last write or read, which the watch may not have brought yet. */
  seen: Seen | undefined
  /** Since when something that only passes has been held back. */
  passingSinceMs: number | undefined
  /** What was written and how the server kept it, if it dropped a part: to write that again would never end. */
  curtailed: { readonly target: ObjectStatus; readonly status: unknown } | undefined
  readonly unresolved: Unresolved
}

/** What to write now. */
export interface Plan {
  /** The version that it builds on, and its status. */
  readonly base: Seen
  /** What of the wanted status is to stand there now. */
  readonly target: ObjectStatus
  /** The whole status; undefined: it stands there already. */
  readonly status: JsonRecord | undefined
  /** Milliseconds until what is held back is due; undefined if nothing is. */
  readonly settleMs: number | undefined
}

/** An answer is preferred to the watch for so long only: were the cluster set back to a backup, its versions would count anew. */
const seenForMs = 60_000

/** A new entry. */
export function createEntry(key: string, wanted: ObjectStatus, watched: Resource): Entry {
  return {
    key, namespace: wanted.ref.namespace, wanted, watched,
    seen: undefined, passingSinceMs: undefined, curtailed: undefined, unresolved: new Set(),
  }
}

/**
 * What to write for an entry.
 * @param settleMs for how long a condition that became `Pending` is held back
 */
export function planFor(entry: Entry, controllerName: string, settleMs: number, nowMs: number): Plan {
  const base = baseOf(entry, nowMs)
  const calm = withoutPassing(base.status, entry.wanted, controllerName)
  // A clock that was set back must not hold it back until it has caught up.
  entry.passingSinceMs = calm === entry.wanted ? undefined : Math.min(entry.passingSinceMs ?? nowMs, nowMs)
  const leftMs = entry.passingSinceMs === undefined ? 0 : entry.passingSinceMs + settleMs - nowMs
  const target = leftMs > 0 ? calm : entry.wanted
  const merged = mergeStatus(base.status, target, { controllerName, nowMs })
  const { curtailed } = entry
  const again = curtailed !== undefined && sameJson(curtailed.status, base.status) && sameJson(curtailed.target, target)
  return { base, target, status: again ? undefined : merged, settleMs: leftMs > 0 ? leftMs : undefined }
}

/** What an answer of the API server says of an object. */
export function seenOf(object: { readonly metadata: Pick<Resource['metadata'], 'uid' | 'resourceVersion'>; readonly status?: unknown }, atMs: number): Seen {
  return { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion, status: object.status, atMs }
}

/** Whether `live` is the object that was watched, with no newer spec: what is wanted holds for that one only. */
export function isStill(watched: Resource, live: KubeObject): boolean {
  return watched.metadata.uid === live.metadata.uid && (live.metadata.generation ?? 1) <= (watched.metadata.generation ?? 1)
}

function baseOf({ watched, seen }: Entry, nowMs: number): Seen {
  const current = seenOf(watched, nowMs)
  if (seen?.uid !== current.uid || seen === undefined || nowMs - seen.atMs > seenForMs) return current
  return isNewer(seen.resourceVersion, current.resourceVersion) ? seen : current
}

/** Versions of one resource are decimal numbers that grow. Source: Kubernetes KEP-5504. Others are taken for older, and a conflict tells. */
function isNewer(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false
  return a.length === b.length ? a > b : a.length > b.length
}
