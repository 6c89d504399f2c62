import assert from 'node:assert/strict'
import type { HttpMatch, HttpRule, NamedMatch } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { compileHttpTable } from './table.ts'

const rule = (name: string, ...matches: readonly HttpMatch[]): HttpRule => ({
  kind: 'http',
  id: { routeKind: 'HTTPRoute', namespace: 'shop', name, rule: 0 },
  matches,
  filters: [],
  backends: [],
  timeouts: {},
})

const path = (type: HttpMatch['path']['type'], value: string, rest: Partial<HttpMatch> = {}): HttpMatch => ({
  path: { type, value },
  headers: [],
  query: [],
  ...rest,
})
const exact = (name: string, value: string): NamedMatch => ({ type: 'exact', name, value })
const regex = (name: string, value: string): NamedMatch => ({ type: 'regex', name, value })

/** `METHOD /path?query`, then header names and values. */
const request = (line: string, ...headers: string[]): RequestHead => {
  const [method = '', target = ''] = line.split(' ')
  const question = target.indexOf('?')
  return {
    version: 'http1',
    method,
    scheme: 'http',
    authority: 'cart.shop',
    path: question === -1 ? target : target.slice(0, question),
    query: question === -1 ? '' : target.slice(question),
    headers,
    caller: undefined,
    destinationPort: 8080,
  }
}

const winner = (rules: readonly HttpRule[], head: RequestHead): string | undefined => compileHttpTable(rules).find(head)?.rule.id.name

describe('compileHttpTable', () => {
  const fitting: readonly (readonly [title: string, match: HttpMatch, fits: readonly RequestHead[], not: readonly RequestHead[]])[] = [
    [
      'a prefix goes by whole segments, case-sensitive',
      path('prefix', '/v2'),
      [request('GET /v2'), request('GET /v2/'), request('GET /v2/x'), request('GET /v2/x/y?z')],
      [request('GET /v2x'), request('GET /V2'), request('GET /v'), request('GET /'), request('GET /x/v2'), request('GET *')],
    ],
    [
      'a trailing slash of a prefix is ignored',
      path('prefix', '/v2/'),
      [request('GET /v2'), request('GET /v2/'), request('GET /v2/x')],
      [request('GET /v2x')],
    ],
    ['the root prefix takes everything', path('prefix', '/'), [request('GET /'), request('GET /a/b'), request('OPTIONS *')], []],
    [
      'an exact path is that path only',
      path('exact', '/v2'),
      [request('GET /v2'), request('GET /v2?x')],
      [request('GET /v2/'), request('GET /v2/x'), request('GET /V2')],
    ],
    ['an exact path may end in a slash', path('exact', '/v2/'), [request('GET /v2/')], [request('GET /v2')]],
    [
      'a path in a manifest means its normal form',
      path('exact', '/caf%c3%a9/%7Ea'),
      [request('GET /caf%C3%A9/~a')],
      [request('GET /caf%c3%a9/%7Ea')],
    ],
    ['a prefix in a manifest means its normal form', path('prefix', '/%7ea/'), [request('GET /~a/b')], [request('GET /%7ea/b')]],
    ['a path that has no normal form fits nothing', path('exact', '/a%2Fb'), [], [request('GET /a%2Fb'), request('GET /a/b')]],
    ['a path with a query fits nothing', path('prefix', '/a?b'), [], [request('GET /a?b'), request('GET /a')]],
    [
      'a path pattern matches the whole path',
      path('regex', '/v[0-9]+'),
      [request('GET /v2'), request('GET /v10?x=/')],
      [request('GET /v2/x'), request('GET /x/v2')],
    ],
    ['a pattern that RE2 refuses fits nothing', path('regex', '(?=a)'), [], [request('GET /'), request('GET /a')]],
    ['a method is exact', path('prefix', '/', { method: 'GET' }), [request('GET /')], [request('get /'), request('HEAD /')]],
    [
      'a header value is exact and case-sensitive',
      path('prefix', '/', { headers: [exact('x-user', 'jason')] }),
      [request('GET /', 'x-user', 'jason')],
      [request('GET /'), request('GET /', 'x-user', 'Jason'), request('GET /', 'x-user', 'jason2'), request('GET /', 'x-user2', 'jason')],
    ],
    [
      'repeated headers are one value, joined with commas',
      path('prefix', '/', { headers: [exact('accept', 'a,b')] }),
      [request('GET /', 'accept', 'a', 'x', 'y', 'accept', 'b'), request('GET /', 'accept', 'a,b')],
      [request('GET /', 'accept', 'a'), request('GET /', 'accept', 'b', 'accept', 'a')],
    ],
    [
      'cookie crumbs are one value',
      path('prefix', '/', { headers: [regex('cookie', '.*a=1; b=2.*')] }),
      [request('GET /', 'cookie', 'a=1', 'cookie', 'b=2')],
      [],
    ],
    ['a header name ignores case', path('prefix', '/', { headers: [exact('X-User', 'a')] }), [request('GET /', 'x-user', 'a')], []],
    [
      'of a header named twice, the first counts',
      path('prefix', '/', { headers: [exact('x-user', 'a'), exact('X-USER', 'b')] }),
      [request('GET /', 'x-user', 'a')],
      [request('GET /', 'x-user', 'b')],
    ],
    ['the header host is the authority', path('prefix', '/', { headers: [exact('host', 'cart.shop')] }), [request('GET /')], []],
    [
      'a header pattern matches the whole value of a present header',
      path('prefix', '/', { headers: [regex('x-a', '[0-9]*')] }),
      [request('GET /', 'x-a', '12'), request('GET /', 'x-a', '')],
      [request('GET /', 'x-a', '12a'), request('GET /')],
    ],
    [
      'a query parameter is compared decoded, its name is exact',
      path('prefix', '/', { query: [exact('q', 'a b/ü')] }),
      [request('GET /?q=a%20b%2F%C3%BC'), request('GET /?q=a+b/%c3%bc'), request('GET /?x&%71=a%20b/%C3%BC')],
      [request('GET /?q=a%2520b'), request('GET /?Q=a+b/%c3%bc'), request('GET /'), request('GET /?')],
    ],
    [
      'of a repeated query parameter, the first counts',
      path('prefix', '/', { query: [exact('q', '1')] }),
      [request('GET /?q=1&q=2')],
      [request('GET /?q=2&q=1'), request('GET /?q&q=1')],
    ],
    [
      'of a query parameter named twice in a match, the first counts',
      path('prefix', '/', { query: [exact('q', '1'), exact('q', '2')] }),
      [request('GET /?q=1')],
      [request('GET /?q=2')],
    ],
    ['a broken escape in a query stands for itself', path('prefix', '/', { query: [exact('q', '100%')] }), [request('GET /?q=100%')], []],
    [
      'all fields of a match have to fit',
      path('prefix', '/a', { method: 'PUT', headers: [exact('h', '1')], query: [exact('q', '1')] }),
      [request('PUT /a/b?q=1', 'h', '1')],
      [
        request('GET /a/b?q=1', 'h', '1'),
        request('PUT /b?q=1', 'h', '1'),
        request('PUT /a?q=2', 'h', '1'),
        request('PUT /a?q=1', 'h', '2'),
      ],
    ],
  ]
  for (const [title, match, fits, not] of fitting) {
    it(title, () => {
      for (const head of fits) assert.equal(winner([rule('r', match)], head), 'r', JSON.stringify(head))
      for (const head of not) assert.equal(winner([rule('r', match)], head), undefined, JSON.stringify(head))
    })
  }

  const rich = { method: 'GET', headers: [exact('a', '1'), exact('b', '1')], query: [exact('q', '1'), exact('r', '1')] }
  const orders: readonly (readonly [title: string, better: HttpMatch, worse: HttpMatch])[] = [
    ['an exact path before a regular expression', path('exact', '/a/b'), path('regex', '/a/b', rich)],
    ['an exact path before a prefix', path('exact', '/a/b'), path('prefix', '/a/b', rich)],
    ['a regular expression before a prefix', path('regex', '/.*'), path('prefix', '/a/b', rich)],
    ['the longer prefix', path('prefix', '/a/b'), path('prefix', '/a', rich)],
    ['any prefix before the root', path('prefix', '/a'), path('prefix', '/', rich)],
    [
      'a method before headers',
      path('prefix', '/a', { method: 'GET' }),
      path('prefix', '/a', { headers: rich.headers, query: rich.query }),
    ],
    [
      'a method before headers on regular expressions, whatever their length',
      path('regex', '/.*', { method: 'GET' }),
      path('regex', '/a/[b]', { headers: rich.headers }),
    ],
    [
      'more headers',
      path('prefix', '/a', { headers: rich.headers }),
      path('prefix', '/a', { headers: [exact('a', '1')], query: rich.query }),
    ],
    ['more query parameters', path('prefix', '/a', { query: rich.query }), path('prefix', '/a', { query: [exact('q', '1')] })],
    [
      'a trailing slash does not make a prefix longer: more headers win',
      path('prefix', '/a', { headers: [exact('a', '1')] }),
      path('prefix', '/a/'),
    ],
    [
      'a header named twice counts once',
      path('prefix', '/a', { headers: rich.headers }),
      path('prefix', '/a', { headers: [exact('a', '1'), exact('a', '2'), exact('A', '3')], query: rich.query }),
    ],
  ]
  for (const [title, better, worse] of orders) {
    it(`prefers ${title}, in whatever order the rules stand`, () => {
      const head = request('GET /a/b?q=1&r=1', 'a', '1', 'b', '1')
      assert.equal(winner([rule('better', better), rule('worse', worse)], head), 'better')
      assert.equal(winner([rule('worse', worse), rule('better', better)], head), 'better')
      assert.equal(winner([rule('worse', worse)], head), 'worse')
      const verdicts = compileHttpTable([rule('worse', worse), rule('better', better)]).explain(head).map(({ verdict }) => verdict)
      assert.deepEqual(verdicts, ['won', 'matches, but ranks lower'])
    })
  }

  it('gives the first in tie-break order of two equal matches', () => {
    assert.equal(winner([rule('older', path('prefix', '/a')), rule('newer', path('prefix', '/a'))], request('GET /a')), 'older')
    assert.equal(winner([rule('older', path('exact', '/a')), rule('newer', path('exact', '/a'))], request('GET /a')), 'older')
  })

  it('goes back to a shorter prefix if the fields of the longer one do not fit', () => {
    const rules = [rule('root', path('prefix', '/')), rule('deep', path('prefix', '/a/b', { headers: [exact('x', '1')] }))]
    assert.equal(winner(rules, request('GET /a/b/c')), 'root')
    assert.equal(winner(rules, request('GET /a/b/c', 'x', '1')), 'deep')
  })

  it('gives the prefix that matched, for ReplacePrefixMatch', () => {
    const table = compileHttpTable([rule('p', path('prefix', '/v2/')), rule('root', path('prefix', '/')), rule('e', path('exact', '/e'))])
    assert.equal(table.find(request('GET /v2/x'))?.prefix, '/v2')
    assert.equal(table.find(request('GET /x'))?.prefix, '/')
    assert.equal(table.find(request('GET /e'))?.prefix, undefined)
  })

  it('gives nothing if nothing fits, and nothing from an empty table', () => {
    assert.equal(winner([rule('a', path('exact', '/a'))], request('GET /b')), undefined)
    assert.equal(winner([], request('GET /')), undefined)
  })

  it('allocates nothing per match: the same object comes back', () => {
    const table = compileHttpTable([rule('a', path('prefix', '/a'))])
    assert.equal(table.find(request('GET /a/1')), table.find(request('GET /a/2')))
  })

  it('explains every candidate in order of precedence', () => {
    const table = compileHttpTable([
      rule('all', path('prefix', '/')),
      rule('v2', path('prefix', '/v2')),
      rule('user', path('prefix', '/v2', { headers: [exact('x-user', 'jason')] })),
      rule('post', path('exact', '/v2/x', { method: 'POST' })),
      rule('late', path('prefix', '/v2')),
    ])
    const answer = table.explain(request('GET /v2/x', 'x-user', 'eve')).map(({ id, ...rest }) => ({ name: id.name, ...rest }))
    assert.deepEqual(answer, [
      { name: 'post', match: 'path = /v2/x, method POST', verdict: 'no match', why: 'wants method POST, the request has method GET' },
      {
        name: 'user',
        match: 'path prefix /v2, header x-user = "jason"',
        verdict: 'no match',
        why: 'wants header x-user = "jason", the request has header x-user = "eve"',
      },
      { name: 'v2', match: 'path prefix /v2', verdict: 'won', why: 'the first in order of precedence that fits' },
      {
        name: 'late',
        match: 'path prefix /v2',
        verdict: 'matches, but ranks lower',
        why: 'equal in everything else, the oldest route goes first, then namespace/name, then the rule in the route',
      },
      { name: 'all', match: 'path prefix /', verdict: 'matches, but ranks lower', why: 'the longer path prefix goes first' },
    ])
  })

  it('explains what is wrong with a pattern and what is absent', () => {
    const [broken, absent] = compileHttpTable([
      rule('broken', path('regex', '(')),
      rule('absent', path('prefix', '/', { query: [exact('q', '1')] })),
    ]).explain(request('GET /'))
    assert.match(broken?.why ?? '', /wants path ~ \(, the request has nothing that can fit: .*missing closing/)
    assert.equal(absent?.why, 'wants query q = "1", the request has no query q')
  })
})
