import type { HeaderList } from '../exchange.ts'
import { readFields } from './fields.ts'
import type { Refusal } from './refusal.ts'

/** Framing, routing, authentication, and what a receiver judges before the body: never taken from a trailer. Source: RFC 9110 §6.5.1. */
const forbidden: ReadonlySet<string> = new Set([
  'host', 'content-length', 'transfer-encoding', 'trailer', 'connection', 'te', 'upgrade', 'keep-alive', 'proxy-connection', 'expect', 'range',
  'max-forwards', 'cache-control', 'pragma', 'age', 'expires', 'date', 'location', 'retry-after', 'vary', 'warning', 'authorization',
  'proxy-authorization', 'proxy-authenticate', 'www-authenticate', 'authentication-info', 'cookie', 'set-cookie', 'content-encoding',
  'content-type', 'content-range', 'content-location', 'forwarded', 'origin', 'referer',
])
const forbiddenPrefix = /^(?:x-forwarded-|if-|access-control-|x-waypoint-|x-envoy-|sec-)/

/** Whether a trailer of this name may travel. */
export function mayTrail(name: string): boolean {
  return !forbidden.has(name) && !forbiddenPrefix.test(name)
}

/** Those of `trailers` that may travel. */
export function allowedTrailers(trailers: HeaderList): HeaderList {
  const kept: HeaderList = []
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i] ?? ''
    if (mayTrail(name)) kept.push(name, trailers[i + 1] ?? '')
  }
  return kept
}

/** Reads a trailer section, under the same strict rules as headers; fields that may not trail are dropped. @param to index after the empty line */
export function parseTrailers(buf: Buffer, from: number, to: number, maxFields: number): HeaderList | Refusal {
  const fields = readFields(buf, from, to - 2, maxFields)
  return 'kind' in fields ? fields : allowedTrailers(fields.headers)
}
