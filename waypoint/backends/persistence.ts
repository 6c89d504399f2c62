import { createHmac, timingSafeEqual } from 'node:crypto'
import type { SessionPersistence } from '../../src/model/route.ts'
import type { HeaderList } from '../exchange.ts'
import { headerValue } from '../route/headers.ts'

/** A session that a client has shown. Times in milliseconds since the epoch. */
export interface Session {
  /** See `SessionKeeper.idOf`. */
  readonly endpointId: string
  readonly createdMs: number
  readonly usedMs: number
}

/** Session persistence of one rule. */
export interface SessionKeeper {
  /** The name that an endpoint has in tokens: the same in every replica with the same key; tells nothing to those without. */
  readonly idOf: (endpoint: string) => string
  /** The session that the request belongs to; undefined: none, forged, of another rule, or timed out. The endpoint is then picked anew. */
  readonly find: (requestHeaders: HeaderList, nowMs: number) => Session | undefined
  /**
   * The header that the answer has to carry so that the client comes back to this endpoint.
   * @param session what `find` gave for this request
   * @param cookiePath the path under which the client sends the cookie: the prefix that the rule matched, before any rewrite
   * @returns undefined if the client holds all it needs
   */
  readonly issue: (
    endpoint: string,
    session: Session | undefined,
    nowMs: number,
    cookiePath?: string,
  ) => readonly [name: string, value: string] | undefined
}

/** The least length of a key, bytes. */
const minKeyBytes = 16
const idBytes = 12
const timeBytes = 6
const payloadBytes = idBytes + 2 * timeBytes
const macBytes = 16
const tokenLength = Math.ceil(((payloadBytes + macBytes) * 4) / 3)
/** Tokens of one request that are looked at: a client can't make us compute more than so many hashes. */
const maxTokens = 4

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * Keeps a client's requests on one endpoint by a token that the client carries as a cookie or header, so that no replica has to
 * remember anything. A token names the endpoint by a keyed hash and is authenticated: clients can neither read addresses from it nor
 * make one for an endpoint of their choice, nor use one at another rule. A policy whose name can't be that of a cookie or header keeps
 * no sessions: translation has reported it.
 * @param scope names the rule, the same in every replica: tokens of another scope are not believed
 * @param key shared by the replicas of a waypoint and stable over restarts, at least 16 secret bytes
 * @throws if the key is too short
 * Source: GEP-1619.
 */
export function createSessionKeeper(policy: SessionPersistence, scope: string, key: Uint8Array): SessionKeeper {
  if (key.length < minKeyBytes) throw new Error(`the session key has ${key.length} bytes; give it at least ${minKeyBytes}`)
  const mac = (purpose: string, data: string | Uint8Array): Buffer =>
    createHmac('sha256', key).update(`${purpose}\0${scope}\0`).update(data).digest()
  const ids = new Map<string, string>()

  const idOf = (endpoint: string): string => {
    let id = ids.get(endpoint)
    if (id === undefined) {
      if (ids.size >= 10_000) ids.clear()
      id = mac('endpoint', endpoint).subarray(0, idBytes).toString('base64url')
      ids.set(endpoint, id)
    }
    return id
  }

  const write = ({ endpointId, createdMs, usedMs }: Session): string => {
    const payload = Buffer.alloc(payloadBytes)
    payload.write(endpointId, 'base64url')
    payload.writeUIntBE(createdMs, idBytes, timeBytes)
    payload.writeUIntBE(usedMs, idBytes + timeBytes, timeBytes)
    return Buffer.concat([payload, mac('token', payload).subarray(0, macBytes)]).toString('base64url')
  }

  const read = (text: string): Session | undefined => {
    const bytes = Buffer.from(text, 'base64url')
    if (bytes.length !== payloadBytes + macBytes) return undefined
    const payload = bytes.subarray(0, payloadBytes)
    if (!timingSafeEqual(bytes.subarray(payloadBytes), mac('token', payload).subarray(0, macBytes))) return undefined
    return {
      endpointId: payload.subarray(0, idBytes).toString('base64url'),
      createdMs: payload.readUIntBE(idBytes, timeBytes),
      usedMs: payload.readUIntBE(idBytes + timeBytes, timeBytes),
    }
  }

  const isAlive = ({ createdMs, usedMs }: Session, nowMs: number): boolean =>
    !isOver(policy.absoluteTimeoutMs, nowMs - createdMs) && !isOver(policy.idleTimeoutMs, nowMs - usedMs)

  if (!token.test(policy.name)) return { idOf, find: () => undefined, issue: () => undefined }
  return {
    idOf,
    find: (requestHeaders, nowMs) => {
      const shown = policy.type === 'cookie' ? cookieValues(requestHeaders, policy.name) : headerTokens(requestHeaders, policy.name)
      for (const text of shown.filter((each) => each.length === tokenLength).slice(0, maxTokens)) {
        const session = read(text)
        if (session !== undefined && isAlive(session, nowMs)) return session
      }
      return undefined
    },
    issue: (endpoint, session, nowMs, cookiePath = '/') => {
      const endpointId = idOf(endpoint)
      const sameEndpoint = session?.endpointId === endpointId
      // Only the idle timeout needs to hear of each use.
      if (sameEndpoint && isOff(policy.idleTimeoutMs)) return undefined
      const createdMs = sameEndpoint ? session.createdMs : nowMs
      const text = write({ endpointId, createdMs, usedMs: nowMs })
      if (policy.type === 'header') return [policy.name.toLowerCase(), text]
      // A path with parameters would end in the middle and go on as attributes.
      const path = cookiePath.includes(';') ? '/' : cookiePath
      return ['set-cookie', `${policy.name}=${text}; Path=${path}${maxAge(policy, createdMs, nowMs)}; HttpOnly; SameSite=Lax`]
    },
  }
}

/** Every value that the request's cookies have under exactly this name: a browser sends one for each path that has one. */
export function cookieValues(requestHeaders: HeaderList, name: string): string[] {
  const values: string[] = []
  for (const pair of headerValue(requestHeaders, 'cookie')?.split(';') ?? []) {
    const equals = pair.indexOf('=')
    if (equals !== -1 && pair.slice(0, equals).trim() === name) values.push(unquoted(pair.slice(equals + 1).trim()))
  }
  return values
}

function headerTokens(requestHeaders: HeaderList, name: string): string[] {
  return headerValue(requestHeaders, name.toLowerCase())?.split(',').map((each) => each.trim()) ?? []
}

function unquoted(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** A permanent cookie lives in the browser as long as the session may still last, in whole seconds. */
function maxAge({ lifetime, absoluteTimeoutMs }: SessionPersistence, createdMs: number, nowMs: number): string {
  if (lifetime !== 'permanent' || absoluteTimeoutMs === undefined || isOff(absoluteTimeoutMs)) return ''
  return `; Max-Age=${Math.max(0, Math.floor((createdMs + absoluteTimeoutMs - nowMs) / 1000))}`
}

function isOff(timeoutMs: number | undefined): boolean {
  return timeoutMs === undefined || timeoutMs === 0
}

function isOver(timeoutMs: number | undefined, ageMs: number): boolean {
  return timeoutMs !== undefined && timeoutMs !== 0 && ageMs >= timeoutMs
}
