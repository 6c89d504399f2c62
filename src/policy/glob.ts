/** A test against a pattern in which `*` stands for any characters but `/`; a pattern that is `*` alone takes everything. No backtracking. */
export function compileGlob(pattern: string): (text: string) => boolean {
  if (pattern === '*') return () => true
  if (!pattern.includes('*')) return (text) => text === pattern
  const segments = pattern.split('/').map(compileSegment)
  return (text) => {
    const parts = text.split('/')
    return parts.length === segments.length && segments.every((fits, at) => fits(parts[at] ?? ''))
  }
}

function compileSegment(pattern: string): (text: string) => boolean {
  const pieces = pattern.split('*')
  const [first = '', last = ''] = [pieces[0], pieces.at(-1)]
  if (pieces.length === 1) return (text) => text === pattern
  const middle = pieces.slice(1, -1)
  return (text) => {
    if (!text.startsWith(first)) return false
    let from = first.length
    for (const piece of middle) {
      const at = text.indexOf(piece, from)
      if (at === -1) return false
      from = at + piece.length
    }
    return text.length - last.length >= from && text.endsWith(last)
  }
}
