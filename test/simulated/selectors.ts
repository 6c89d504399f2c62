import type { KubeObject } from '../../src/kube/object.ts'

/** Tells whether an object is selected. */
export type Selects = (object: KubeObject) => boolean

/** Label selectors as in a query: `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`; joined by commas. @throws if it is none of them */
export function labelSelector(text: string | undefined): Selects {
  const terms = (text ?? '').split(/,(?![^(]*\))/).map((term) => term.trim()).filter((term) => term !== '').map(labelTerm)
  return ({ metadata: { labels = {} } }) => terms.every((term) => term(labels))
}

function labelTerm(term: string): (labels: Readonly<Record<string, string>>) => boolean {
  const set = /^(\S+)\s+(in|notin)\s+\((.*)\)$/.exec(term)
  if (set !== null) {
    const [, key = '', operator, list = ''] = set
    const values = list.split(',').map((value) => value.trim())
    return (labels) => values.includes(labels[key] ?? '\u0000') === (operator === 'in')
  }
  const equal = /^([^!=]+?)\s*(==|=|!=)\s*(.*)$/.exec(term)
  if (equal !== null) {
    const [, key = '', operator, value] = equal
    return (labels) => (labels[key] === value) === (operator !== '!=')
  }
  if (/^!?[\w./-]+$/.test(term)) return (labels) => Object.hasOwn(labels, term.replace('!', '')) === !term.startsWith('!')
  throw new Error(`unable to parse requirement: ${term}`)
}

/** Field selectors: any path of plain fields, `=`, `==` and `!=`. @throws if it is none of them */
export function fieldSelector(text: string | undefined): Selects {
  const terms = (text ?? '').split(',').filter((term) => term !== '').map((term): Selects => {
    const [, path = '', operator, value = ''] = /^([\w.]+)(==|=|!=)(.*)$/.exec(term) ?? []
    if (path === '') throw new Error(`invalid field selector: ${term}`)
    return (object) => {
      let at: unknown = object
      for (const name of path.split('.')) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined
      return (typeof at === 'string' || typeof at === 'number' ? String(at) : '') === value === (operator !== '!=')
    }
  })
  return (object) => terms.every((term) => term(object))
}
