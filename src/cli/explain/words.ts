import type { Endpoint } from '../../model/entries.ts'
import type { BackendTarget, Filter, HeaderEdits, PathModifier, RetryPolicy, SessionPersistence, Timeouts } from '../../model/route.ts'
import { formatAuthority } from '../../transport/authority.ts'

/** A filter in words. */
export function filterWords(filter: Filter): string {
  switch (filter.kind) {
    case 'request-headers':
      return `request headers: ${editWords(filter)}`
    case 'response-headers':
      return `response headers: ${editWords(filter)}`
    case 'redirect': {
      const parts = [
        filter.scheme === undefined ? undefined : `scheme ${filter.scheme}`,
        filter.hostname === undefined ? undefined : `host ${filter.hostname}`,
        filter.port === undefined ? undefined : `port ${filter.port}`,
        filter.path === undefined ? undefined : pathWords(filter.path),
      ].filter((each) => each !== undefined)
      return `redirect with ${filter.status}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`
    }
    case 'rewrite': {
      const parts = [filter.hostname === undefined ? undefined : `host ${filter.hostname}`, filter.path === undefined ? undefined : pathWords(filter.path)]
      return `rewrite: ${parts.filter((each) => each !== undefined).join(', ')}`
    }
    case 'mirror':
      return `mirror ${round((100 * filter.numerator) / filter.denominator)} % to ${targetWords(filter.target)}`
    case 'cors':
      return `CORS: origins ${filter.allowOrigins.join(', ') || 'none'}${filter.allowCredentials ? ', with credentials' : ''}`
    case 'unresolved':
      return `can not be resolved: ${filter.detail}`
  }
}

function editWords({ set, add, remove }: HeaderEdits): string {
  return [
    ...set.map(([name, value]) => `set ${name}: ${value}`),
    ...add.map(([name, value]) => `add ${name}: ${value}`),
    ...remove.map((name) => `remove ${name}`),
  ].join(', ')
}

function pathWords({ type, value }: PathModifier): string {
  return type === 'full' ? `path ${value}` : `matched prefix becomes ${value === '' ? '/' : value}`
}

/** A backend's name: `Service books/reviews:9080`. */
export function targetWords(target: BackendTarget): string {
  return target.kind === 'service' ? `Service ${target.namespace}/${target.name}:${target.port}` : target.detail
}

/** An endpoint and how it is reached. */
export function endpointWords({ address, port, condition, transport, pod }: Endpoint): string {
  const notes = [
    ...(pod === undefined ? [] : [`pod ${pod}`]),
    transport.kind === 'plain' ? 'plain' : `mTLS as ${transport.identity}`,
    ...(condition === 'draining' ? ['draining'] : []),
  ]
  return `${formatAuthority(address, port)} (${notes.join(', ')})`
}

/** Timeouts in words; '' if there are none. */
export function timeoutWords({ requestMs = 0, backendRequestMs = 0 }: Timeouts): string {
  const parts = [
    ...(requestMs === 0 ? [] : [`${requestMs} ms for the whole exchange`]),
    ...(backendRequestMs === 0 ? [] : [`${backendRequestMs} ms for each try`]),
  ]
  return parts.join(', ')
}

/** A retry policy in words. */
export function retryWords({ attempts, codes, backoffMs }: RetryPolicy): string {
  const causes = codes.length === 0 ? 'connection errors' : `connection errors and ${codes.join(', ')}`
  return `up to ${attempts} more ${attempts === 1 ? 'try' : 'tries'} after ${causes}, pauses from ${backoffMs} ms`
}

/** Session persistence in words. */
export function persistenceWords({ type, name }: SessionPersistence): string {
  return `a session stays on its endpoint by ${type} ${name}, whatever the shares`
}

/** A share as people read it: at most one decimal. */
export function round(percent: number): number {
  return Math.round(percent * 10) / 10
}
