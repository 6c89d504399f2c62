/** The heading of the section about the node agent in RESULTS.md, which is measured apart from the rest. */
export const agentHeading = '## The node agent'

/** The section about the node agent in `text`; '' if there is none. */
export function agentSectionOf(text: string): string {
  const at = text.indexOf(agentHeading)
  if (at === -1) return ''
  const end = text.indexOf('\n## ', at + agentHeading.length)
  return `${text.slice(at, end === -1 ? undefined : end).trimEnd()}\n`
}

/** `text` with its section about the node agent replaced by `section`, or with that at its end. */
export function withAgentSection(text: string, section: string): string {
  const old = agentSectionOf(text)
  if (old === '') return section === '' ? text : `${text.trimEnd()}\n\n${section}`
  const at = text.indexOf(agentHeading)
  const rest = text.slice(at + old.length).trimStart()
  return `${text.slice(0, at)}${section}${rest === '' ? '' : `\n${rest}`}`
}
