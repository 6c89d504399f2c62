import { isIP } from 'node:net'
import { parseAuthority } from '../../transport/authority.ts'
import { isGrpc } from '../../../waypoint/grpc/status.ts'
import type { IncomingHead } from '../../../waypoint/exchange.ts'
import { suggest } from '../../api/suggest.ts'
import { UsageError } from '../usage.ts'

/** What a person asks about. */
export interface Probe {
  /** As it was asked, for the heading. */
  readonly text: string
  /** What the client's connection carries. */
  readonly protocol: 'http' | 'grpc' | 'tls' | 'tcp'
  readonly host: string
  /** Name in a TLS handshake, lower case; with `tls`. */
  readonly serverName: string | undefined
  readonly port: number
  /** Address of the pod that calls, where it is known. */
  readonly from?: string
  /** With `http` and `grpc`. */
  readonly head: IncomingHead | undefined
}

const shape = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^#]*)/i
const methodShape = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']
/** Of the protocol, not of the request: the protocol servers take these off before anything is judged. */
const framing: ReadonlySet<string> = new Set(['connection', 'content-length', 'host', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'])

/**
 * Reads `[METHOD] URL` and headers.
 * @throws {UsageError}
 */
export function parseProbe(request: readonly string[], headers: readonly (readonly [string, string])[]): Probe {
  if (request.length > 2) throw new UsageError(`write [METHOD] URL, not ${request.length} words; put a URL with blanks or & into quotes`)
  const url = request.at(-1) ?? ''
  const found = shape.exec(url)
  if (found === null) throw new UsageError(`${JSON.stringify(url)} is not a URL; write http://SERVICE.NAMESPACE:PORT/PATH${/^[\w.-]+(?::\d+)?(?:\/|$)/.test(url) ? `, perhaps http://${url}` : ''}`)
  const [, scheme = '', authority = '', rest = ''] = found
  const list = headers.filter(([name]) => !framing.has(name)).flat()
  const protocol = protocolOf(scheme.toLowerCase(), list)
  const { host, port } = destinationOf(authority, protocol, scheme.toLowerCase())
  const method = methodOf(request.length === 2 ? request[0] : undefined, protocol)
  const text = protocol === 'http' || protocol === 'grpc' ? `${method} ${url}` : url
  const hostHeader = headers.find(([name]) => name === 'host')?.[1]
  if (protocol === 'tcp') return { text, protocol, host, port, serverName: undefined, head: undefined }
  // Handshakes name no addresses. Source: RFC 6066 §3.
  if (protocol === 'tls') return { text, protocol, host, port, serverName: hostHeader?.toLowerCase() ?? (isIP(host) === 0 ? host : undefined), head: undefined }
  const target = rest === '' ? '/' : rest.startsWith('?') ? `/${rest}` : rest
  return {
    text, protocol, host, port, serverName: undefined,
    head: {
      version: protocol === 'grpc' ? 'http2' : 'http1', method, scheme: 'http', authority: (hostHeader ?? authority).toLowerCase(), target, headers: list,
    },
  }
}

function protocolOf(scheme: string, headers: readonly string[]): Probe['protocol'] {
  switch (scheme) {
    case 'http':
      return isGrpc(headers) ? 'grpc' : 'http'
    case 'https':
    case 'tls':
      return 'tls'
    case 'tcp':
      return 'tcp'
    default: {
      const near = suggest(scheme, ['http', 'https', 'tls', 'tcp'])
      throw new UsageError(`scheme ${scheme} is unknown${near === undefined ? '' : `, perhaps ${near}`}; write http://, https://, tls:// or tcp:// (gRPC is http:// with -H 'content-type: application/grpc')`)
    }
  }
}

function destinationOf(authority: string, protocol: Probe['protocol'], scheme: string): { readonly host: string; readonly port: number } {
  const usual = scheme === 'https' ? 443 : protocol === 'http' || protocol === 'grpc' ? 80 : undefined
  const hasPort = /:\d*$/.test(authority)
  if (!hasPort && usual === undefined) throw new UsageError(`${scheme}://${authority} needs a port`)
  const found = parseAuthority(hasPort ? authority : `${authority}:${usual ?? 0}`)
  if (found === undefined) throw new UsageError(`${JSON.stringify(authority)} is not HOST:PORT; write for example reviews.books:9080`)
  return found
}

function methodOf(given: string | undefined, protocol: Probe['protocol']): string {
  if (given === undefined) return protocol === 'grpc' ? 'POST' : 'GET'
  if (!methodShape.test(given)) throw new UsageError(`${JSON.stringify(given)} is not a method; write [METHOD] URL, for example GET http://reviews.books:9080/`)
  // Methods are case-sensitive; nobody means `get` by get.
  const upper = given.toUpperCase()
  return methods.includes(upper) ? upper : given
}
