import type { Identity } from '../src/model/identity.ts'
import type { ReasonCode } from '../src/model/reasons.ts'
import type { BackendTarget, RetryPolicy, RuleId, SessionPersistence, Timeouts } from '../src/model/route.ts'
import type { HeaderList } from './exchange.ts'

/** A request as matchers and filters see it; filters change it in place, before it is forwarded. */
export interface RequestHead {
  readonly version: 'http1' | 'http2'
  method: string
  scheme: 'http' | 'https'
  /** Host with its port, lower case. */
  authority: string
  /** Normalised path without the query: what is matched is what is forwarded. */
  path: string
  /** With its `?`, or ''. */
  query: string
  headers: HeaderList
  /** The original client; undefined if it is not a mesh member. */
  readonly caller: Identity | undefined
  /** Port of the original destination: the default port of redirects. */
  readonly destinationPort: number
}

/** An answer that a filter or the proxy itself gives in place of a backend. */
export interface LocalAnswer {
  readonly status: number
  readonly headers: HeaderList
  readonly body: string
  /** Present if it is an answer of the reason table. */
  readonly reason?: ReasonCode
}

/** Where a mirrored copy goes. */
export interface CompiledMirror {
  readonly target: BackendTarget
  /** Whether this request is copied; counts by itself so that any run of `denominator` requests copies `numerator`. */
  readonly take: () => boolean
}

/** The filters of one rule or one backendRef, in their order. */
export interface CompiledFilters {
  /**
   * Runs the request side, changing `head`.
   * @param prefix the prefix that the match consumed, for ReplacePrefixMatch
   * @returns an answer (redirect, preflight, unresolved filter) if one of them answers
   */
  readonly onRequest: (head: RequestHead, prefix: string | undefined) => LocalAnswer | undefined
  /** Runs the response side on an answer's headers, ours or the endpoint's. `requestHeaders` are those that the client sent. */
  readonly onResponse: (responseHeaders: HeaderList, requestHeaders: HeaderList) => void
  readonly mirrors: readonly CompiledMirror[]
  /** True if there is nothing to run: the hot path skips it. */
  readonly empty: boolean
}

export interface CompiledBackend {
  readonly target: BackendTarget
  readonly weight: number
  readonly filters: CompiledFilters
}

/** A rule as the data plane runs it. */
export interface CompiledRule {
  readonly id: RuleId
  readonly filters: CompiledFilters
  readonly backends: readonly CompiledBackend[]
  /** Smooth weighted round robin; undefined if no backend has a weight. */
  readonly pickBackend: () => CompiledBackend | undefined
  readonly timeouts: Timeouts
  readonly retry: RetryPolicy | undefined
  readonly persistence: SessionPersistence | undefined
}

/** The rule that serves a request. One object per match of a rule, made when the table was compiled. */
export interface RuleMatch {
  readonly rule: CompiledRule
  /** The prefix that matched, if the match was by prefix. */
  readonly prefix: string | undefined
}

/** One candidate of `explain`, best rank first. */
export interface Candidate {
  readonly id: RuleId
  /** The match in words: `path prefix /v2, header x-user = "jason"`. */
  readonly match: string
  readonly verdict: 'won' | 'no match' | 'matches, but ranks lower'
  /** Why: the first field that does not fit, or by which rule of precedence it lost. */
  readonly why: string
}

/** A route table that judges single requests (HTTPRoute, GRPCRoute). */
export interface RequestTable {
  /** Best match by the spec's precedence, first in tie-break order; undefined: the caller answers `no-route`. */
  readonly find: (head: RequestHead) => RuleMatch | undefined
  readonly explain: (head: RequestHead) => readonly Candidate[]
}

/** A route table that judges whole connections (TLSRoute, TCPRoute). */
export interface ConnectionTable {
  /** @param serverName SNI in lower case, undefined for TCP */
  readonly find: (serverName: string | undefined) => CompiledRule | undefined
}
