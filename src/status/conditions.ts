import type { Condition } from '../model/status.ts'
import { listOf, recordOf, textOf, type JsonRecord } from './json.ts'
import { clip, secondsTime } from './text.ts'

/** Whose conditions a list holds. */
export interface ConditionOwner {
  /** Our controller's name, `domain/name`: condition types of that domain are ours. */
  readonly controllerName: string
  /**
   * Whether types without a domain, Gateway API's own, are ours as well. So it is in an entry that bears our name; in the
   * conditions of a whole Gateway others may say something too.
   */
  readonly plainTypes: boolean
}

/** Bytes of a message; the CRDs allow as many characters. */
const messageLimit = 32_768

/**
 * The conditions that a list should have: those wanted, with the time at which their status changed last; those of ours that are
 * no longer wanted are gone; those of others stay as they are, for conditions are a map by type to which anyone may add
 * (Kubernetes API conventions). What stays keeps its place.
 * @param current as it stands in the cluster
 */
export function mergeConditions(current: unknown, wanted: readonly Condition[], owner: ConditionOwner, nowMs: number): readonly unknown[] {
  const left = new Map(wanted.map((condition) => [condition.type, condition]))
  const merged: unknown[] = []
  for (const each of listOf(current)) {
    const before = recordOf(each)
    const type = textOf(before['type'])
    const condition = left.get(type)
    if (condition !== undefined) {
      merged.push(mergeCondition(before, condition, nowMs))
      left.delete(type)
    } else if (!isOurs(type, owner)) {
      merged.push(each)
    }
  }
  for (const condition of left.values()) merged.push(mergeCondition({}, condition, nowMs))
  return merged
}

/** The condition of one type in a list; undefined if there is none. */
export function conditionOf(conditions: unknown, type: string): JsonRecord | undefined {
  return listOf(conditions).map(recordOf).find((each) => each['type'] === type)
}

function mergeCondition(before: JsonRecord, { type, status, reason, message, observedGeneration }: Condition, nowMs: number): JsonRecord {
  const since = textOf(before['lastTransitionTime'])
  return {
    type, status, reason, message: clip(message, messageLimit), observedGeneration,
    lastTransitionTime: before['status'] === status && since !== '' ? since : secondsTime(nowMs),
  }
}

function isOurs(type: string, { controllerName, plainTypes }: ConditionOwner): boolean {
  const slash = type.indexOf('/')
  if (slash === -1) return plainTypes
  return type.slice(0, slash) === controllerName.slice(0, controllerName.indexOf('/'))
}
