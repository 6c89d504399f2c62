import type { PathModifier } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { normaliseTarget } from '../route/path.ts'

/** A path and its query after a change; both in normal form. */
export interface ChangedPath {
  readonly path: string
  readonly query: string
}

/**
 * Compiles a path change, in normal form whatever the manifest's spelling. The request's query survives; a full path may bring a
 * query of its own, which then stands before it. `*` is no path and stays as it is.
 * @returns undefined at a request that the change can't be applied to: the replacement has no normal form, or a prefix is to be
 * replaced where the rule did not match by prefix. The caller then answers as for any filter that can't be honoured.
 * Source: HTTPPathModifier, with its table for ReplacePrefixMatch.
 */
export function compilePathChange(modifier: PathModifier): (head: RequestHead, prefix: string | undefined) => ChangedPath | undefined {
  const value = modifier.value.startsWith('/') ? modifier.value : `/${modifier.value}`
  const replacement = normaliseTarget(value)
  if ('refused' in replacement) return () => undefined
  if (modifier.type === 'full') {
    return (head) => (head.path === '*' ? head : { path: replacement.path, query: joinQueries(replacement.query, head.query) })
  }
  if (replacement.query !== '') return () => undefined
  const newPrefix = withoutSlash(replacement.path)
  return (head, prefix) => {
    if (prefix === undefined) return undefined
    if (head.path === '*') return head
    // What follows the prefix is empty or begins with a slash, for prefixes match whole segments.
    const rest = head.path.slice(withoutSlash(prefix).length)
    return { path: newPrefix === '' && rest === '' ? '/' : newPrefix + rest, query: head.query }
  }
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}

function joinQueries(own: string, requests: string): string {
  return own.length < 2 ? requests || own : requests.length < 2 ? own : `${own}&${requests.slice(1)}`
}
