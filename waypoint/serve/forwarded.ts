import type { Identity } from '../../src/model/identity.ts'
import type { RequestHead } from '../compiled.ts'
import type { HeaderList, IncomingHead } from '../exchange.ts'

/** Carries the original client's identity to the backend. Source: Envoy's documentation of `x-forwarded-client-cert`. */
export const clientCertHeader = 'x-forwarded-client-cert'
/** Headers of ours: neither believed from workloads nor passed on. */
const ownPrefix = 'x-waypoint-'

/** Whose traffic a tunnel carries: the peer's, or a client's for which it speaks. */
export interface Caller {
  readonly identity: Identity
  /** SPIFFE id of `identity`. */
  readonly id: string
  /** IP address; undefined: not known. */
  readonly address: string | undefined
  /** Value of `x-forwarded-client-cert` for its requests, made once per tunnel. */
  readonly clientCert: string
}

/** Whose requests a connection carries, and where they were sent. */
export interface RequestContext {
  readonly caller: Caller
  /** The original destination: see `destinationKey`. */
  readonly destination: string
  /** Whether a waypoint has routed it before: it is judged and not routed again. */
  readonly routed: boolean
}

/** @param waypointId SPIFFE id of the waypoint */
export function callerOf(identity: Identity, id: string, waypointId: string, address?: string): Caller {
  return { identity, id, address, clientCert: `By=${waypointId};URI=${id}` }
}

/**
 * The headers as matchers, filters and the backend see them: what claims an identity is removed and ours is set.
 * The client's own list stays as it is.
 */
export function requestHeaders(headers: HeaderList, caller: Caller): HeaderList {
  const forwarded: HeaderList = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? ''
    if (name.charCodeAt(0) === 0x78 && isOwnHeader(name)) continue
    forwarded.push(name, headers[at + 1] ?? '')
  }
  forwarded.push(clientCertHeader, caller.clientCert)
  return forwarded
}

/** Many application servers read `_` in a header's name as `-`, so that spelling is ours too. */
function isOwnHeader(name: string): boolean {
  const folded = name.includes('_') ? name.replaceAll('_', '-') : name
  return folded === clientCertHeader || folded.startsWith(ownPrefix)
}

/** @param target normalised */
export function requestHead(
  head: IncomingHead,
  target: { readonly path: string; readonly query: string },
  caller: Caller,
  destinationPort: number,
): RequestHead {
  return {
    version: head.version,
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: target.path,
    query: target.query,
    headers: requestHeaders(head.headers, caller),
    caller: caller.identity,
    destinationPort,
  }
}

/** A copy that filters may change without touching the original. */
export function copyHead(head: RequestHead): RequestHead {
  return { ...head, headers: head.headers.slice() }
}

/** Removes headers of ours from an endpoint's answer: no application can speak in the proxy's name. Changes `headers`. */
export function stripOwnHeaders(headers: HeaderList): void {
  for (let at = 0; at < headers.length; ) {
    if (headers[at]?.startsWith(ownPrefix) === true) headers.splice(at, 2)
    else at += 2
  }
}

/** Trace id of a `traceparent`, '' if there is none or it is malformed. Source: W3C Trace Context §3.2. */
export function traceIdOf(headers: HeaderList): string {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === 'traceparent') return /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/.exec(headers[at + 1] ?? '')?.[1] ?? ''
  }
  return ''
}
