import { compilePattern, patternProblem } from '../../src/kit/regex.ts'
import type { GrpcMatch, HttpMatch, NamedMatch, StringMatch } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { firstSegmentLookup } from './first-segment.ts'
import { headerValue } from './headers.ts'
import type { Lookup } from './lookup.ts'
import { normaliseTarget } from './path.ts'
import { pathRank } from './precedence.ts'
import { queryValue } from './query.ts'

/** One field of a match as a test; the request serving path and `explain` run the same one. */
export interface Condition {
  /** `header x-user = "jason"` */
  readonly words: string
  readonly test: (head: RequestHead) => boolean
  /** What the request has in its place, or why the test can't fit: follows "the request has". */
  readonly actual: (head: RequestHead) => string
  /** Present if the test can only fit requests that have one certain value: what an index can look up. */
  readonly lookup?: Lookup
}

/** Where a match stands in the index of paths; `never` if its path can't be that of any request. */
export type PathKey =
  | { readonly kind: 'exact'; readonly path: string }
  | { readonly kind: 'prefix'; readonly segments: readonly string[] }
  | { readonly kind: 'scan' }
  | { readonly kind: 'never' }

/** One match, compiled: all `conditions` are AND-ed. */
export interface CompiledMatch {
  readonly words: string
  readonly conditions: readonly Condition[]
  readonly pathKey: PathKey
  /** See `Rank.keys`. */
  readonly keys: readonly number[]
  /** Without its trailing slash, but `/` for the root; undefined if the match is not by prefix. */
  readonly prefix: string | undefined
}

/** Compiles a match of an HTTPRoute. A pattern that RE2 does not accept never fits: translation has reported it. */
export function compileHttpMatch(match: HttpMatch): CompiledMatch {
  const { condition, key, prefix } = compilePath(match.path)
  const headers = firstOfEachName(match.headers.map((each) => ({ ...each, name: each.name.toLowerCase() })))
  const query = firstOfEachName(match.query)
  const conditions = [condition]
  if (match.method !== undefined) conditions.push(methodCondition(match.method))
  conditions.push(...headers.map(headerCondition), ...query.map(queryCondition))
  return {
    words: wordsOf(conditions),
    conditions,
    pathKey: key,
    keys: [pathRank[match.path.type], prefix?.length ?? 0, match.method === undefined ? 0 : 1, headers.length, query.length],
    prefix,
  }
}

/**
 * Compiles a match of a GRPCRoute. A call is recognised by its path `/service/method` alone: a content-type says nothing that the
 * path does not, and a request that is no gRPC call fits only a match without service and method.
 */
export function compileGrpcMatch(match: GrpcMatch): CompiledMatch {
  const headers = firstOfEachName(match.headers.map((each) => ({ ...each, name: each.name.toLowerCase() })))
  const conditions: Condition[] = []
  if (match.service !== undefined) conditions.push(compare('service', match.service, grpcService))
  if (match.method !== undefined) conditions.push(compare('method', match.method, grpcMethod))
  conditions.push(...headers.map(headerCondition))
  return {
    words: conditions.length === 0 ? 'every call' : wordsOf(conditions),
    conditions,
    pathKey:
      match.service?.type === 'exact' && match.method?.type === 'exact'
        ? { kind: 'exact', path: `/${match.service.value}/${match.method.value}` }
        : { kind: 'scan' },
    keys: [match.service?.value.length ?? 0, match.method?.value.length ?? 0, headers.length],
    prefix: undefined,
  }
}

/** The service of `/service/method`; undefined if the path is not of that shape. */
export function grpcService(head: RequestHead): string | undefined {
  const slash = grpcSlash(head.path)
  return slash === undefined ? undefined : head.path.slice(1, slash)
}

/** The method of `/service/method`; undefined if the path is not of that shape. */
export function grpcMethod(head: RequestHead): string | undefined {
  const slash = grpcSlash(head.path)
  return slash === undefined ? undefined : head.path.slice(slash + 1)
}

function grpcSlash(path: string): number | undefined {
  const slash = path.indexOf('/', 1)
  return slash === -1 || slash === path.length - 1 || path.indexOf('/', slash + 1) !== -1 ? undefined : slash
}

function compilePath(path: HttpMatch['path']): { condition: Condition; key: PathKey; prefix: string | undefined } {
  if (path.type === 'regex') {
    const condition = compare('path', { type: 'regex', value: path.value }, (head) => head.path)
    const lookup = firstSegmentLookup(path.value)
    return { condition: lookup === undefined ? condition : { ...condition, lookup }, key: { kind: 'scan' }, prefix: undefined }
  }
  // Requests are judged in their normal form, so the rule is brought to it too: `/caf%c3%a9` in a manifest means `/caf%C3%A9`.
  const normal = normaliseTarget(path.value)
  const usable = !('refused' in normal) && normal.query === ''
  const value = usable ? normal.path : path.value
  const actual = usable ? (head: RequestHead): string => `path ${head.path}` : (): string => 'only normal paths, and this is none'
  if (path.type === 'exact') {
    const condition: Condition = { words: `path = ${value}`, test: (head) => usable && head.path === value, actual }
    return { condition, key: usable ? { kind: 'exact', path: value } : { kind: 'never' }, prefix: undefined }
  }
  const bare = value.length > 1 && value.endsWith('/') ? value.slice(0, -1) : value
  const condition: Condition = { words: `path prefix ${bare}`, test: (head) => usable && hasPrefix(head.path, bare), actual }
  const segments = bare === '/' ? [] : bare.slice(1).split('/')
  return { condition, key: usable ? { kind: 'prefix', segments } : { kind: 'never' }, prefix: bare }
}

/** Whether `path` begins with the whole segments of `prefix`; the root prefix also takes `*`, for no rule is more general. */
function hasPrefix(path: string, prefix: string): boolean {
  return prefix === '/' || (path.startsWith(prefix) && (path.length === prefix.length || path.charAt(prefix.length) === '/'))
}

function methodCondition(method: string): Condition {
  return {
    words: `method ${method}`,
    test: (head) => head.method === method,
    actual: (head) => `method ${head.method}`,
    lookup: { id: 'method', read: (head) => head.method, value: method },
  }
}

function headerCondition(match: NamedMatch): Condition {
  const { name } = match
  // The host never stands in the header list.
  return compare(`header ${name}`, match, name === 'host' ? (head) => head.authority : (head) => headerValue(head.headers, name))
}

function queryCondition(match: NamedMatch): Condition {
  return compare(`query ${match.name}`, match, (head) => queryValue(head.query, match.name))
}

/** A test of one value of the request. @param id names the value, the same for every condition that reads it */
function compare(id: string, match: StringMatch, read: (head: RequestHead) => string | undefined): Condition {
  const { type, value } = match
  const actual = (head: RequestHead): string => {
    const present = read(head)
    return present === undefined ? `no ${id}` : `${id} = ${JSON.stringify(present)}`
  }
  if (type === 'exact') {
    return { words: `${id} = ${JSON.stringify(value)}`, test: (head) => read(head) === value, actual, lookup: { id, read, value } }
  }
  const words = `${id} ~ ${value}`
  const problem = patternProblem(value)
  if (problem !== undefined) return { words, test: () => false, actual: () => `nothing that can fit: ${problem}` }
  const pattern = compilePattern(value)
  const test = (head: RequestHead): boolean => {
    const present = read(head)
    return present !== undefined && pattern.test(present)
  }
  return { words, test, actual }
}

/** A name that stands twice counts once: the first. Source: HTTPHeaderMatch, HTTPQueryParamMatch. */
function firstOfEachName(matches: readonly NamedMatch[]): NamedMatch[] {
  return matches.filter((each, at) => matches.findIndex((other) => other.name === each.name) === at)
}

function wordsOf(conditions: readonly Condition[]): string {
  return conditions.map((each) => each.words).join(', ')
}
