import { printable } from '../kit/printable.ts'
import { describeRef, type ObjectRef } from '../model/refs.ts'

/** Something wrong, or worth knowing, about the manifests of a folder. */
export interface Problem {
  /** `error`: the object or file is not in force; `warning`: it is. */
  readonly severity: 'error' | 'warning'
  /** Path of the file as the reader gave the folder, or the folder itself. */
  readonly file: string
  /** From 1; 0 if it is about the whole file. */
  readonly line: number
  /** From 1; 0 if it is about the whole file. */
  readonly column: number
  /** The object, as far as it could be told which one. */
  readonly ref?: ObjectRef | undefined
  /** Path of the field in the object, `spec.rules[0].matches[1].path.value`, or '' for the whole of it. */
  readonly field: string
  readonly message: string
  /** What would be accepted in its place. */
  readonly expected?: string | undefined
  /** What to do about it. */
  readonly advice: string
}

/** The problem in one line: `file:line:column: error: Kind ns/name field: message; expected …; advice`. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`
  const subject = [problem.ref === undefined ? '' : describeRef(problem.ref), problem.field].filter((part) => part !== '').join(' ')
  const parts = [
    subject === '' ? problem.message : `${subject}: ${problem.message}`,
    ...(problem.expected === undefined ? [] : [`expected ${problem.expected}`]),
    ...(problem.advice === '' ? [] : [problem.advice]),
  ]
  return printable(`${place}: ${problem.severity}: ${parts.join('; ')}`.replaceAll(/\s*\n\s*/g, ' '))
}
