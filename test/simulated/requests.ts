import type { IncomingMessage } from 'node:http'
import type { ServedKind } from './kinds.ts'

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'

/** A request as authorization and the hooks of tests see it. */
export interface ApiRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly verb: Verb
  /** '' for the core group and for paths that are not about objects. */
  readonly group: string
  readonly version: string
  /** Plural name; '' for paths that are not about objects. */
  readonly resource: string
  readonly subresource: string
  /** '' for all or for cluster-scoped kinds. */
  readonly namespace: string
  /** '' for collections. */
  readonly name: string
  /** The bearer token; '' without one. */
  readonly token: string
}

const writing: readonly Verb[] = ['create', 'update', 'patch', 'delete', 'deletecollection']

/** Whether a request changes something; reviews are asked by POST and change nothing. */
export function isWrite({ verb, resource }: ApiRequest): boolean {
  return writing.includes(verb) && !resource.endsWith('reviews')
}

/** Reads what a request is about from its line and headers. */
export function parseRequest(request: IncomingMessage): ApiRequest {
  const url = new URL(request.url ?? '/', 'http://server')
  const method = request.method ?? 'GET'
  const [root, ...parts] = url.pathname.split('/').slice(1).map(decodeURIComponent)
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
  const base = { method, path: url.pathname, query: url.searchParams, token }
  const group = root === 'apis' ? (parts.shift() ?? '') : ''
  const version = parts.shift() ?? ''
  const inNamespace = parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize'
  const [resource = '', name = '', subresource = ''] = (root === 'api' || root === 'apis') && version !== '' ? (inNamespace ? parts.slice(2) : parts) : []
  const watch = url.searchParams.get('watch')
  const verb = verbOf(method, name, watch === '1' || watch === 'true')
  return { ...base, verb, group, version, resource, subresource, namespace: inNamespace ? (parts[1] ?? '') : '', name }
}

function verbOf(method: string, name: string, watch: boolean): Verb {
  if (method === 'POST') return 'create'
  if (method === 'PUT') return 'update'
  if (method === 'PATCH') return 'patch'
  if (method === 'DELETE') return name === '' ? 'deletecollection' : 'delete'
  if (watch) return 'watch'
  return name === '' ? 'list' : 'get'
}

/** The version of `kind` that a request asks for; undefined if it is not served. */
export function servedVersion(kind: ServedKind | undefined, version: string): string | undefined {
  if (kind === undefined || !kind.versions.includes(version)) return undefined
  return kind.group === '' ? version : `${kind.group}/${version}`
}
