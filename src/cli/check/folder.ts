import { formatProblem, type Problem } from '../../api/problem.ts'
import { formatPath } from '../../api/field.ts'
import { describeRef } from '../../model/refs.ts'
import { statusFindings, warningFinding, type Finding } from '../../control/findings.ts'
import { translate } from '../../translate/translate.ts'
import { placesOf, type Places } from '../places.ts'
import { exitCodes, type Io } from '../io.ts'
import { readFolder } from '../load.ts'
import { toJson } from '../json.ts'
import { toYaml } from '../yaml.ts'

export interface FolderCheckOptions {
  readonly file: string
  readonly output: 'table' | 'json' | 'yaml'
  readonly trustDomain: string
}

/** `waymark check -f`: everything that is wrong with a folder, at once. */
export async function checkFolder(options: FolderCheckOptions, io: Io): Promise<number> {
  const loaded = await readFolder(options.file)
  const { statuses, warnings } = translate(loaded.resources, { trustDomain: options.trustDomain })
  const findings = [...statuses.flatMap(statusFindings), ...warnings.map(warningFinding)]
  const places = await placesOf(loaded, findings)
  const problems = [...loaded.problems, ...findings.map((each) => toProblem(each, places))].sort(byPlace)
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const counts = { errors, warnings: problems.length - errors }
  if (options.output === 'table') io.out(problems.map((problem) => `${paintLine(problem, io)}\n`).join(''))
  else io.out((options.output === 'json' ? toJson : toYaml)({ problems: problems.map(toRecord), ...counts }))
  const objects = Object.values(loaded.resources).reduce((sum, { size }) => sum + size, 0)
  io.say(`${options.file}: ${count(objects, 'object')} in force, ${count(counts.errors, 'error')}, ${count(counts.warnings, 'warning')}`)
  return errors === 0 ? exitCodes.fine : exitCodes.failed
}

function toProblem(finding: Finding, places: Places): Problem {
  const { severity, ref, field, message, expected, advice, condition } = finding
  const place = places.find(finding)
  return {
    severity, ref, advice,
    file: place.file, line: place.line, column: place.column,
    field: field === '' && place.path.length > 0 ? formatPath(place.path) : field,
    message: condition === '' ? message : `${condition}: ${message}`,
    ...(expected === '' ? {} : { expected }),
  }
}

/** As JSON and YAML show a problem. */
function toRecord({ severity, file, line, column, ref, field, message, expected, advice }: Problem): Record<string, unknown> {
  const object = ref === undefined ? undefined : { kind: ref.kind, namespace: ref.namespace, name: ref.name }
  return { severity, file, line, column, object, field, message, expected, advice }
}

function paintLine(problem: Problem, io: Io): string {
  const line = formatProblem(problem)
  const colour = problem.severity === 'error' ? 'red' : 'yellow'
  return line.replace(`: ${problem.severity}: `, () => `: ${io.paint(colour, problem.severity)}: `)
}

/** By file, line and column; then by object, so that equal input gives equal output. */
function byPlace(a: Problem, b: Problem): number {
  return compare(a.file, b.file) || a.line - b.line || a.column - b.column || compare(nameOf(a), nameOf(b)) || compare(a.message, b.message)
}

function nameOf({ ref }: Problem): string {
  return ref === undefined ? '' : describeRef(ref)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`
}
