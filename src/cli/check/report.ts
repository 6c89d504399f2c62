import { printable } from '../../kit/printable.ts'
import { failure, ok, warning, type Severity, type Verdict } from '../../kit/verdict.ts'
import { isStatus, KubeError } from '../../kube/errors.ts'
import { adviceFor } from '../cluster.ts'
import type { Colour, Io } from '../io.ts'

export { failure, ok, warning }

/** One thing that was looked at. */
export type Line = Verdict

/** Lines that belong together. */
export interface Section {
  readonly name: string
  readonly lines: readonly Line[]
}

/**
 * Runs what fills one section. What fails is an error there, also if it may not be read, for nothing is known then: the other sections are
 * looked at all the same.
 * @param what it looks at, in words
 */
export async function section(name: string, what: string, look: () => Promise<readonly Line[]>): Promise<Section> {
  try {
    return { name, lines: await look() }
  } catch (error) {
    if (!(error instanceof KubeError)) throw error
    const advice = error.status === 403 ? 'use a context whose user may read this, or ask for the right' : adviceFor(error) || 'try again; if it stays so, see the API server\'s log'
    return { name, lines: [failure(`${what} can not be looked at: ${error.message}`, advice)] }
  }
}

/** One thing that may not be looked at is a warning, and no reason not to look at the rest. @param what it is, in words */
export async function unlessForbidden(what: string, look: () => Promise<readonly Line[]>, advice = 'use a context whose user may read this, or ask for the right'): Promise<readonly Line[]> {
  try {
    return await look()
  } catch (error) {
    if (!isStatus(error, 403)) throw error
    return [warning(`${what} can not be looked at: ${error.message}`, advice)]
  }
}

/** Counts what is not fine. */
export function countLines(sections: readonly Section[]): { readonly errors: number; readonly warnings: number } {
  const all = sections.flatMap(({ lines }) => lines)
  const of = (severity: Severity): number => all.filter((each) => each.severity === severity).length
  return { errors: of('error'), warnings: of('warning') }
}

const marks: Readonly<Record<Severity, readonly [mark: string, colour: Colour]>> = { ok: ['√', 'green'], warning: ['‼', 'yellow'], error: ['×', 'red'] }

/** For people: a heading for each section, a mark before each line, details and advice below those that are not fine. */
export function formatSections(sections: readonly Section[], { paint }: Pick<Io, 'paint'>): string {
  return sections.filter(({ lines }) => lines.length > 0).map(({ name, lines }) => [
    paint('bold', name),
    paint('bold', '-'.repeat(name.length)),
    ...lines.flatMap((line) => formatLine(line, paint)),
    '',
  ].join('\n')).join('\n')
}

function formatLine({ severity, message, details = [], advice }: Line, paint: Io['paint']): readonly string[] {
  const [mark, colour] = marks[severity]
  return [`${paint(colour, mark)} ${printable(message)}`, ...details.map((each) => `    ${printable(each)}`), ...(advice === undefined ? [] : [`    → ${printable(advice)}`])]
}

/** At most `most` of the names, and how many more there are. */
export function some(names: readonly string[], most = 8): readonly string[] {
  return names.length <= most ? names : [...names.slice(0, most), `and ${names.length - most} more`]
}

/** `1 pod`, `2 pods` */
export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`
}
