/** The heading of the section about the control plane in RESULTS.md, which is measured apart from the rest. */
export const controlHeading = '## The control plane of a large cluster'

/** The section about the control plane in `text`; '' if there is none. */
export function controlSectionOf(text: string): string {
  const at = text.indexOf(controlHeading)
  if (at === -1) return ''
  const end = text.indexOf('\n## ', at + controlHeading.length)
  return `${text.slice(at, end === -1 ? undefined : end).trimEnd()}\n`
}

/** `text` with its section about the control plane replaced by `section`, or with that at its end. */
export function withControlSection(text: string, section: string): string {
  const old = controlSectionOf(text)
  if (old === '') return section === '' ? text : `${text.trimEnd()}\n\n${section}`
  const at = text.indexOf(controlHeading)
  const rest = text.slice(at + old.length).trimStart()
  return `${text.slice(0, at)}${section}${rest === '' ? '' : `\n${rest}`}`
}
