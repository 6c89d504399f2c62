import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** The section of RESULTS.md below `heading`, which is measured apart from the rest; '' if there is none. */
export function sectionOf(text: string, heading: string): string {
  const at = text.indexOf(heading)
  if (at === -1) return ''
  const end = text.indexOf('\n## ', at + heading.length)
  return `${text.slice(at, end === -1 ? undefined : end).trimEnd()}\n`
}

/** `text` with its section below `heading` replaced by `section`, or with that at its end. */
export function withSection(text: string, heading: string, section: string): string {
  const old = sectionOf(text, heading)
  if (old === '') return section === '' ? text : `${text.trimEnd()}\n\n${section}`
  const at = text.indexOf(heading)
  const rest = text.slice(at + old.length).trimStart()
  return `${text.slice(0, at)}${section}${rest === '' ? '' : `\n${rest}`}`
}

/** Replaces the section below `heading` of a file, which is made if it is not there. */
export function writeSection(file: string, heading: string, section: string): void {
  writeFileSync(file, withSection(existsSync(file) ? readFileSync(file, 'utf8') : '', heading, section))
}

/** Where figures stand, unless another file is asked for. */
export const resultsFile = new URL('RESULTS.md', import.meta.url).pathname
