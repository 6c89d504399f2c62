import type { Filter } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { compilePathChange } from './path-change.ts'
import type { FilterStep } from './step.ts'
import { unresolvedAnswer } from './unresolved.ts'

type Redirect = Extract<Filter, { kind: 'redirect' }>

const ownPort = { http: 80, https: 443 } as const

/**
 * RequestRedirect: answers with a `Location` whose parts come from the filter, else from the request; the query survives.
 * Source: HTTPRequestRedirectFilter.
 */
export function compileRedirect(filter: Redirect): FilterStep {
  const change = filter.path === undefined ? undefined : compilePathChange(filter.path)
  return {
    onRequest: (head, prefix) => {
      const { path, query } = (change === undefined ? head : change(head, prefix)) ?? { path: undefined, query: '' }
      if (path === undefined) return unresolvedAnswer()
      const pathPart = path === '*' ? '/' : path
      return { status: filter.status, headers: ['location', originOf(filter, head) + pathPart + query], body: '' }
    },
  }
}

/** `scheme://host[:port]`, or '' if neither the filter nor the request names a host: `Location` is then relative. */
function originOf(filter: Redirect, head: RequestHead): string {
  const scheme = filter.scheme ?? head.scheme
  const host = filter.hostname?.toLowerCase() ?? hostOf(head.authority)
  if (host === '') return ''
  const port = filter.port ?? (filter.scheme === undefined ? head.destinationPort : ownPort[scheme])
  return port === ownPort[scheme] ? `${scheme}://${host}` : `${scheme}://${host}:${port}`
}

/** The host of `host[:port]`, an IPv6 address with its brackets. */
function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':')
  return colon === -1 || authority.endsWith(']') ? authority : authority.slice(0, colon)
}
