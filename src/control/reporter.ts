import type { Problem } from '../api/problem.ts'
import { formatProblem } from '../api/problem.ts'
import { describeRef } from '../model/refs.ts'
import type { Condition, ObjectStatus, Warning } from '../model/status.ts'

/** Everything that is wrong or odd now, a line each, in a stable order. */
export function describeAll(problems: readonly Problem[], statuses: readonly ObjectStatus[], warnings: readonly Warning[]): readonly string[] {
  return [...problems.map(formatProblem), ...statuses.flatMap(describeStatus), ...warnings.map(describeWarning)]
}

/** The lines of an object's status that say that something is not as its author wants it. */
export function describeStatus(status: ObjectStatus): readonly string[] {
  const name = describeRef(status.ref)
  switch (status.kind) {
    case 'route':
      return status.parents.flatMap((parent) => parent.conditions.filter(isBad).map((each) => `${name}: parent ${parent.parentRef.name}: ${line(each)}`))
    case 'gateway':
      return [...status.conditions, ...status.listeners.flatMap((listener) => listener.conditions)].filter(isBad).map((each) => `${name}: ${line(each)}`)
    case 'gatewayclass':
      return status.conditions.filter(isBad).map((each) => `${name}: ${line(each)}`)
  }
}

/** One line for a warning: object, field, what, advice. */
export function describeWarning(warning: Warning): string {
  return `${describeRef(warning.ref)}${warning.field === '' ? '' : ` ${warning.field}`}: ${warning.message}; ${warning.advice}`
}

function isBad(condition: Condition): boolean {
  // `Programmed` waits for data planes, which a folder alone can't tell; these two are the author's own.
  if (condition.type === 'Accepted' || condition.type === 'ResolvedRefs') return condition.status === 'False'
  return condition.type === 'PartiallyInvalid' && condition.status === 'True'
}

function line(condition: Condition): string {
  return `${condition.type}=${condition.status} (${condition.reason}): ${condition.message}`
}

/** Tells of each line once: when it appears, and when it is gone. */
export function createReporter(log: (line: string) => void): (lines: readonly string[]) => void {
  let told = new Set<string>()
  return (lines) => {
    const now = new Set(lines)
    for (const each of now) if (!told.has(each)) log(each)
    for (const each of told) if (!now.has(each)) log(`resolved: ${each}`)
    told = now
  }
}
