import type { ObjectRef } from '../../model/refs.ts'
import { formatPath, type FieldProblem } from '../../api/field.ts'
import type { Problem } from '../../api/problem.ts'
import type { Place } from './parse.ts'

/** More problems of one file help nobody. */
export const maxProblemsPerFile = 100

/** A problem of a whole file or folder. */
export function fileProblem(file: string, message: string, advice: string, severity: Problem['severity'] = 'error'): Problem {
  return { severity, file, line: 0, column: 0, field: '', message, advice }
}

/** The problem of a field, with its place. */
export function objectProblem(file: string, ref: ObjectRef | undefined, problem: FieldProblem, place: Place): Problem {
  const { severity, message, advice, expected, path } = problem
  return {
    severity,
    file,
    line: place.line,
    column: place.column,
    ...(ref === undefined ? {} : { ref }),
    field: formatPath(path),
    message,
    ...(expected === undefined ? {} : { expected }),
    advice,
  }
}

/** `problem` with what it means for the objects that it touches. */
export function withConsequence(problem: Problem, consequence: string): Problem {
  return problem.severity === 'error' ? { ...problem, message: `${problem.message}; ${consequence}` } : problem
}
