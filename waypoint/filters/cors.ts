import type { Filter } from '../../src/model/route.ts'
import type { LocalAnswer, RequestHead } from '../compiled.ts'
import type { HeaderList } from '../exchange.ts'
import { headerValue, removeHeader, setHeader } from '../route/headers.ts'
import type { FilterStep } from './step.ts'

type Cors = Extract<Filter, { kind: 'cors' }>

/** An origin taken apart; ports are numbers, also where the origin leaves its scheme's own out. */
interface Origin {
  readonly scheme: string
  readonly host: string
  readonly port: string
}

const originPattern = /^([a-z][a-z0-9+.-]*):\/\/([a-z0-9._*-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/

/**
 * CORS. A preflight (`OPTIONS` with `origin` and `access-control-request-method`) is answered here, with 200, whether or not its
 * origin is allowed; one that is not gets no CORS headers, and the browser refuses. Every other request is forwarded, and the filter
 * alone decides about the answer's `access-control-allow-origin`, `-allow-credentials` and `-expose-headers`, whatever the backend
 * said. The caller's origin is echoed, never `*`, so `vary` always names it.
 * Source: HTTPCORSFilter, Gateway API v1.6; Fetch standard, CORS protocol.
 */
export function compileCors(filter: Cors): FilterStep {
  const isAllowed = compileOrigins(filter.allowOrigins)
  // `*` means "every header" only without credentials; with them it would be taken as a header's name.
  const expose = filter.exposeHeaders.filter((each) => each !== '*' || !filter.allowCredentials).join(', ')

  const onResponse = (headers: HeaderList, requestHeaders: HeaderList): void => {
    removeHeader(headers, 'access-control-allow-origin')
    removeHeader(headers, 'access-control-allow-credentials')
    removeHeader(headers, 'access-control-expose-headers')
    addVary(headers, 'origin')
    const origin = headerValue(requestHeaders, 'origin')
    if (origin === undefined || !isAllowed(origin)) return
    headers.push('access-control-allow-origin', origin)
    if (filter.allowCredentials) headers.push('access-control-allow-credentials', 'true')
    if (expose !== '') headers.push('access-control-expose-headers', expose)
  }

  const preflight = (head: RequestHead, origin: string, method: string): LocalAnswer => {
    const headers: HeaderList = []
    onResponse(headers, head.headers)
    addVary(headers, 'access-control-request-method')
    addVary(headers, 'access-control-request-headers')
    if (isAllowed(origin)) {
      const allowMethods = filter.allowMethods.includes('*') ? method : filter.allowMethods.join(', ')
      const asked = headerValue(head.headers, 'access-control-request-headers') ?? ''
      const allowHeaders = filter.allowHeaders.includes('*') ? asked : filter.allowHeaders.join(', ')
      if (allowMethods !== '') headers.push('access-control-allow-methods', allowMethods)
      if (allowHeaders !== '') headers.push('access-control-allow-headers', allowHeaders)
      headers.push('access-control-max-age', String(filter.maxAge))
    }
    return { status: 200, headers, body: '' }
  }

  return {
    onRequest: (head) => {
      if (head.method !== 'OPTIONS') return undefined
      const origin = headerValue(head.headers, 'origin')
      const method = headerValue(head.headers, 'access-control-request-method')
      return origin === undefined || method === undefined ? undefined : preflight(head, origin, method)
    },
    onResponse,
  }
}

/** Whether an `origin` header's value is one of the allowed ones; several values in one header never are. */
function compileOrigins(allowed: readonly string[]): (origin: string) => boolean {
  if (allowed.includes('*')) return (origin) => origin === 'null' || parseOrigin(origin) !== undefined
  const origins = allowed.map(parseOrigin).filter((each) => each !== undefined)
  const exact = new Set(origins.filter(({ host }) => !host.includes('*')).map(formatOrigin))
  const wildcards = origins.filter(({ host }) => host.startsWith('*')).map((each) => ({ ...each, suffix: each.host.slice(1) }))
  return (text) => {
    const origin = parseOrigin(text)
    if (origin === undefined || origin.host.includes('*')) return false
    if (exact.has(formatOrigin(origin))) return true
    const { scheme, host, port } = origin
    return wildcards.some(
      (each) => each.scheme === scheme && each.port === port && host.length > each.suffix.length && host.endsWith(each.suffix),
    )
  }
}

function parseOrigin(text: string): Origin | undefined {
  const found = originPattern.exec(text.toLowerCase())
  if (found === null) return undefined
  const [, scheme = '', host = '', port] = found
  return { scheme, host, port: port ?? (scheme === 'https' ? '443' : scheme === 'http' ? '80' : '') }
}

function formatOrigin({ scheme, host, port }: Origin): string {
  return `${scheme}://${host}:${port}`
}

function addVary(headers: HeaderList, name: string): void {
  const vary = headerValue(headers, 'vary')
  const named = vary?.split(',').map((each) => each.trim().toLowerCase()) ?? []
  if (named.includes(name) || named.includes('*')) return
  setHeader(headers, 'vary', vary === undefined || vary === '' ? name : `${vary}, ${name}`)
}
