import type { Problem } from '../api/problem.ts'
import { formatProblem } from '../api/problem.ts'
import type { ObjectStatus, Warning } from '../model/status.ts'
import { describeFinding, statusFindings, warningFinding } from './findings.ts'

/** Everything that is wrong or odd now, a line each, in a stable order. */
export function describeAll(problems: readonly Problem[], statuses: readonly ObjectStatus[], warnings: readonly Warning[]): readonly string[] {
  return [...problems.map(formatProblem), ...statuses.flatMap(describeStatus), ...warnings.map(describeWarning)]
}

/** The lines of an object's status that say that something of it is not in force. */
export function describeStatus(status: ObjectStatus): readonly string[] {
  return statusFindings(status).filter(({ severity }) => severity === 'error').map(describeFinding)
}

/** One line for a warning: object, field, what, advice. */
export function describeWarning(warning: Warning): string {
  return describeFinding(warningFinding(warning))
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
