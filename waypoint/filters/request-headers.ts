import type { Filter } from '../../src/model/route.ts'
import { compileEdits } from './edits.ts'
import type { FilterStep } from './step.ts'

/** The original client's identity: only the proxy itself writes it, after the filters. */
const identityHeader = 'x-forwarded-client-cert'

const authority = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/

/**
 * RequestHeaderModifier. `set` of `host` changes the authority, as URLRewrite's `hostname` does (and may name a port); any other edit
 * of `host` does nothing.
 * Source: HTTPHeaderFilter.
 */
export function compileRequestHeaders(filter: Extract<Filter, { kind: 'request-headers' }>): FilterStep {
  const edit = compileEdits(filter, identityHeader)
  const host = filter.set.find(([name]) => name.toLowerCase() === 'host')?.[1].trim().toLowerCase()
  const newAuthority = host !== undefined && authority.test(host) ? host : undefined
  if (edit === undefined && newAuthority === undefined) return {}
  return {
    onRequest: (head) => {
      edit?.(head.headers)
      if (newAuthority !== undefined) head.authority = newAuthority
      return undefined
    },
  }
}
