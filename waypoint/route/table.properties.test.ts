import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { GrpcMatch, GrpcRule, HttpMatch, HttpRule, NamedMatch, RuleId, StringMatch } from '../../src/model/route.ts'
import type { RequestHead, RequestTable } from '../compiled.ts'
import { compileGrpcTable, compileHttpTable } from './table.ts'

// The oracle: the rules of the specification, one after the other, with nothing prepared. Values are drawn from small alphabets, so
// that literal patterns may run on RegExp here.

const patterns: Readonly<Record<string, RegExp>> = {
  '/a.*': /^\/a.*$/, '/a/.*': /^\/a\/.*$/, '/a/?b?': /^\/a\/?b?$/, '/b/(a|b)': /^\/b\/(a|b)$/, '/ab/(a)|/b': /^\/ab\/(a)$|^\/b$/,
  '/.*b': /^\/.*b$/, '[01]': /^[01]$/, '.*': /^.*$/, 's.*': /^s.*$/, 'a\\.S[12]': /^a\.S[12]$/,
}
const whole = (pattern: string, value: string): boolean => patterns[pattern]?.test(value) === true

const valueFits = (match: StringMatch, value: string | undefined): boolean =>
  value !== undefined && (match.type === 'exact' ? value === match.value : whole(match.value, value))

const firstNamed = (matches: readonly NamedMatch[]): NamedMatch[] => {
  const seen = new Set<string>()
  return matches.filter(({ name }) => !seen.has(name) && seen.add(name))
}

const headerOf = (head: RequestHead, name: string): string | undefined => {
  const values = head.headers.filter((_, at) => at % 2 === 1 && head.headers[at - 1] === name)
  return values.length === 0 ? undefined : values.join(',')
}

const queryOf = (head: RequestHead, name: string): string | undefined =>
  head.query
    .slice(1)
    .split('&')
    .map((each) => each.split('='))
    .find(([key]) => key === name)?.[1]

const namedFit = (matches: readonly NamedMatch[], read: (name: string) => string | undefined): boolean =>
  firstNamed(matches).every((each) => valueFits(each, read(each.name)))

const httpFits = (match: HttpMatch, head: RequestHead): boolean => {
  const { type, value } = match.path
  const prefix = value.split('/').slice(1).filter((segment) => segment !== '')
  const segments = head.path.split('/').slice(1)
  const pathFits =
    type === 'exact' ? head.path === value : type === 'regex' ? whole(value, head.path) : prefix.every((each, at) => segments[at] === each)
  return pathFits && (match.method ?? head.method) === head.method && namedFit(match.headers, (name) => headerOf(head, name)) && namedFit(
    match.query,
    (name) => queryOf(head, name),
  )
}

const httpRank = (match: HttpMatch): number[] => [
  { exact: 2, regex: 1, prefix: 0 }[match.path.type],
  match.path.type === 'prefix' ? match.path.value.replace(/(?<=.)\/$/, '').length : 0,
  match.method === undefined ? 0 : 1,
  firstNamed(match.headers).length,
  firstNamed(match.query).length,
]

const grpcFits = (match: GrpcMatch, head: RequestHead): boolean => {
  const [, service, method, ...more] = head.path.split('/')
  const call = method !== undefined && method !== '' && more.length === 0
  return (
    (match.service === undefined || (call && valueFits(match.service, service))) &&
    (match.method === undefined || (call && valueFits(match.method, method))) &&
    namedFit(match.headers, (name) => headerOf(head, name))
  )
}

const grpcRank = (match: GrpcMatch): number[] => [
  match.service?.value.length ?? 0,
  match.method?.value.length ?? 0,
  firstNamed(match.headers).length,
]

/** Name of the rule that has the best fitting match, the first of equals. */
function oracle<M>(
  rules: readonly { id: { name: string }; matches: readonly M[] }[],
  fits: (match: M) => boolean,
  rankOf: (match: M) => number[],
): string | undefined {
  let best: { name: string; rank: number[] } | undefined
  for (const rule of rules) {
    for (const match of rule.matches.filter(fits)) {
      const rank = rankOf(match)
      const decisive = rank.findIndex((each, at) => each !== best?.rank[at])
      if (best === undefined || (decisive !== -1 && rank[decisive]! > best.rank[decisive]!)) best = { name: rule.id.name, rank }
    }
  }
  return best?.name
}

const segment = fc.constantFrom('a', 'b', 'ab')
const anyPath = fc
  .tuple(fc.array(segment, { maxLength: 3 }), fc.boolean())
  .map(([segments, open]) => (segments.length === 0 ? '/' : `/${segments.join('/')}${open ? '/' : ''}`))
const small = fc.constantFrom('0', '1', '2')
const exactly = (value: fc.Arbitrary<string>): fc.Arbitrary<StringMatch> => value.map((each) => ({ type: 'exact', value: each }))
const pattern = (...sources: readonly string[]): fc.Arbitrary<StringMatch> =>
  fc.constantFrom(...sources).map((value) => ({ type: 'regex', value }))
const named = (names: readonly string[]): fc.Arbitrary<NamedMatch[]> =>
  fc.array(
    fc.tuple(fc.constantFrom(...names), fc.oneof(exactly(small), pattern('[01]', '.*'))).map(([name, match]) => ({ name, ...match })),
    { maxLength: 2 },
  )

const httpMatch: fc.Arbitrary<HttpMatch> = fc.record({
  path: fc.oneof(
    anyPath.map((value) => ({ type: 'exact' as const, value })),
    anyPath.map((value) => ({ type: 'prefix' as const, value })),
    fc.constantFrom('/a.*', '/.*b', '/a/.*', '/a/?b?', '/b/(a|b)', '/ab/(a)|/b').map((value) => ({ type: 'regex' as const, value })),
  ),
  method: fc.option(fc.constantFrom('GET', 'PUT'), { nil: undefined, freq: 2 }),
  headers: named(['x', 'y']),
  query: named(['q', 'r']),
}).map(({ method, ...rest }) => (method === undefined ? rest : { ...rest, method }))

const optionalMatch = (values: readonly string[], regexes: readonly string[]): fc.Arbitrary<StringMatch | undefined> =>
  fc.option(
    fc.oneof(
      fc.constantFrom(...values).map((value) => ({ type: 'exact' as const, value })),
      fc.constantFrom(...regexes).map((value) => ({ type: 'regex' as const, value })),
    ),
    { nil: undefined },
  )

const grpcMatch: fc.Arbitrary<GrpcMatch> = fc
  .record({
    service: optionalMatch(['a.S1', 'a.S2', 'b.Svc'], ['a\\.S[12]', '.*']),
    method: optionalMatch(['say', 'sing', 's'], ['s.*', '.*']),
    headers: named(['x', 'y']),
  })
  .map(({ service, method, headers }) => ({ headers, ...(service && { service }), ...(method && { method }) }))

const rulesOf = <M>(match: fc.Arbitrary<M>): fc.Arbitrary<M[][]> => fc.array(
  fc.array(match, { minLength: 1, maxLength: 3 }),
  { maxLength: 30 },
)

const headers = fc.array(fc.tuple(fc.constantFrom('x', 'y', 'z'), small), { maxLength: 3 }).map((pairs) => pairs.flat())
const query = fc
  .array(fc.tuple(fc.constantFrom('q', 'r', 's'), small), { maxLength: 3 })
  .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map((pair) => pair.join('=')).join('&')}`))
const head = (path: fc.Arbitrary<string>): fc.Arbitrary<RequestHead> =>
  fc.record({ path, method: fc.constantFrom('GET', 'PUT', 'POST'), headers, query }).map((parts) => ({
    version: 'http1', scheme: 'http', authority: 'h', caller: undefined, destinationPort: 80, ...parts,
  }))
const services = fc.constantFrom('a.S1', 'a.S2', 'b.Svc', 'c')
const grpcPath = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(services, fc.constantFrom('say', 'sing', 's', 'x')).map((parts) => `/${parts.join('/')}`) },
  { weight: 1, arbitrary: anyPath },
)

const idOf = (routeKind: RuleId['routeKind'], at: number): RuleId => ({ routeKind, namespace: 'n', name: `r${at}`, rule: 0 })
const httpRules = (all: readonly HttpMatch[][]): HttpRule[] =>
  all.map((matches, at) => ({ kind: 'http', id: idOf('HTTPRoute', at), matches, filters: [], backends: [], timeouts: {} }))
const grpcRules = (all: readonly GrpcMatch[][]): GrpcRule[] =>
  all.map((matches, at) => ({ kind: 'grpc', id: idOf('GRPCRoute', at), matches, filters: [], backends: [] }))

const assertExplained = (table: RequestTable, request: RequestHead): void => {
  const candidates = table.explain(request)
  const won = candidates.findIndex(({ verdict }) => verdict === 'won')
  assert.equal(candidates[won]?.id.name, table.find(request)?.rule.id.name)
  assert.ok(candidates.every(({ verdict, why }, at) => why !== '' && (verdict !== 'matches, but ranks lower' || (won !== -1 && at > won))))
}

describe('a compiled table', () => {
  it('finds what a naive reading of the HTTPRoute rules finds', () => {
    fc.assert(
      fc.property(rulesOf(httpMatch).map(httpRules), fc.array(head(anyPath), { minLength: 1, maxLength: 12 }), (rules, requests) => {
        const table = compileHttpTable(rules)
        for (const each of requests) assert.equal(table.find(each)?.rule.id.name, oracle(rules, (match) => httpFits(match, each), httpRank))
      }),
      { numRuns: 400 },
    )
  })

  it('finds what a naive reading of the GRPCRoute rules finds', () => {
    fc.assert(
      fc.property(rulesOf(grpcMatch).map(grpcRules), fc.array(head(grpcPath), { minLength: 1, maxLength: 12 }), (rules, requests) => {
        const table = compileGrpcTable(rules)
        for (const each of requests) assert.equal(table.find(each)?.rule.id.name, oracle(rules, (match) => grpcFits(match, each), grpcRank))
      }),
      { numRuns: 400 },
    )
  })

  it('does not depend on the order of rules that differ in rank', () => {
    const distinct = rulesOf(httpMatch).map((all) => {
      const seen = new Set<string>()
      const isNew = (match: HttpMatch | undefined): boolean => match !== undefined && seen.size < seen.add(String(httpRank(match))).size
      return httpRules(all.map((matches) => matches.slice(0, 1)).filter(([match]) => isNew(match)))
    })
    const twice = distinct.chain((rules) => fc.tuple(fc.constant(rules), fc.shuffledSubarray(rules, { minLength: rules.length })))
    fc.assert(
      fc.property(twice, head(anyPath), ([rules, shuffled], request) => {
        assert.equal(compileHttpTable(shuffled).find(request)?.rule.id.name, compileHttpTable(rules).find(request)?.rule.id.name)
      }),
      { numRuns: 300 },
    )
  })

  it('explains the very choice that it makes', () => {
    fc.assert(
      fc.property(rulesOf(httpMatch).map(httpRules), head(anyPath), (rules, request) => assertExplained(compileHttpTable(rules), request)),
      { numRuns: 200 },
    )
    fc.assert(
      fc.property(rulesOf(grpcMatch).map(grpcRules), head(grpcPath), (rules, request) => assertExplained(compileGrpcTable(rules), request)),
      { numRuns: 200 },
    )
  })
})

describe('a table of 5,000 rules', () => {
  const get = (path: string, query = '', headers: readonly string[] = []): RequestHead => ({
    version: 'http1', method: 'GET', scheme: 'http', authority: 'h', path, query, headers: [...headers],
    caller: undefined, destinationPort: 80,
  })

  /** Counts what the table reads of a request: the machine's mood can't change that, and it grows with every rule that is tried. */
  const readsPer = (matches: readonly HttpMatch[], path: string, headers: readonly string[] = [], query = ''): number => {
    const table = compileHttpTable(httpRules(matches.map((each) => [each])))
    let reads = 0
    const counted = new Proxy(get(path, query, headers), {
      get: (target, key): unknown => {
        reads += 1
        return Reflect.get(target, key)
      },
    })
    assert.notEqual(table.find(counted), undefined)
    return reads
  }
  const many = Array.from({ length: 5_000 }, (_, at) => at)
  const of = (type: HttpMatch['path']['type'], value: string, rest: Partial<HttpMatch> = {}): HttpMatch => ({
    path: { type, value },
    headers: [],
    query: [],
    ...rest,
  })

  type Shape = readonly [shape: string, match: (at: number) => HttpMatch, path: string, headers: readonly string[], query: string]
  const shapes: readonly Shape[] = [
    ['exact paths', (at) => of('exact', `/p${at}`), '/p4999', [], ''],
    ['prefixes', (at) => of('prefix', `/p${at}`), '/p4999/x', [], ''],
    ['regular expressions', (at) => of('regex', `/p${at}/v[0-9]+/(a|b)`), '/p4999/v1/a', [], ''],
    ['nested prefixes', (at) => of('prefix', `/${at % 70}/${at}`), '/29/4999/x', [], ''],
    [
      'values of a header',
      (at) => of('prefix', '/', { headers: [{ type: 'exact', name: 'x-tenant', value: `t${at}` }] }),
      '/',
      ['x-tenant', 't4999'],
      '',
    ],
    [
      'values of a query parameter',
      (at) => of('exact', '/', { query: [{ type: 'exact', name: 'tenant', value: `t${at}` }] }),
      '/',
      [],
      '?tenant=t4999',
    ],
    [
      'values of the second header',
      (at) => of(
        'prefix',
        '/',
        { headers: [{ type: 'exact', name: 'x-version', value: '1' }, { type: 'exact', name: 'x-tenant', value: `t${at}` }] },
      ),
      '/',
      ['x-version', '1', 'x-tenant', 't4999'],
      '',
    ],
  ]
  for (const [shape, match, path, requestHeaders, query] of shapes) {
    it(`told apart by ${shape} looks at the request about as often as a table of one`, () => {
      const one = readsPer([match(4_999)], path, requestHeaders, query)
      const all = readsPer(many.map(match), path, requestHeaders, query)
      assert.ok(all <= one + 2, `${one} reads with one rule, ${all} with 5,000`)
    })
  }

  it('is not slowed down by a path of very many segments', () => {
    const table = compileHttpTable(httpRules(many.map((at) => [of('prefix', `/a/${at}`)])))
    const path = '/a'.repeat(1_000_000)
    const startMs = performance.now()
    assert.equal(
      table.find(get(path)),
      undefined,
    )
    assert.ok(performance.now() - startMs < 5_000)
  })
})
