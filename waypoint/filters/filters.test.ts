import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Filter, HeaderEdits, PathModifier } from '../../src/model/route.ts'
import type { RequestHead } from '../compiled.ts'
import { normaliseTarget } from '../route/path.ts'
import { compileFilters } from './compile.ts'

type Parts = Partial<Pick<RequestHead, 'method' | 'scheme' | 'authority' | 'path' | 'query' | 'headers' | 'destinationPort'>>

const head = (parts: Parts = {}): RequestHead => ({
  version: 'http1', method: 'GET', scheme: 'http', authority: 'cart.shop:8080', path: '/', query: '', headers: [],
  caller: undefined, destinationPort: 8080, ...parts,
})
const edits = (kind: 'request-headers' | 'response-headers', some: Partial<HeaderEdits>): Filter => ({
  kind, set: [], add: [], remove: [], ...some,
})

/** The request's headers after the filters. */
const sent = (filters: readonly Filter[], headers: readonly string[]): string[] => {
  const request = head({ headers: [...headers] })
  assert.equal(compileFilters(filters).onRequest(request, '/'), undefined)
  return request.headers
}
/** The answer's headers after the filters. */
const answered = (filters: readonly Filter[], headers: readonly string[]): string[] => {
  const response = [...headers]
  compileFilters(filters).onResponse(response, [])
  return response
}

describe('header filters', () => {
  for (const [kind, run] of [['request-headers', sent], ['response-headers', answered]] as const) {
    it(`${kind}: set replaces, add appends, remove deletes; names ignore case`, () => {
      const filter = edits(kind, { set: [['X-Set', 'new']], add: [['X-Add', 'b'], ['x-more', 'c']], remove: ['X-Remove'] })
      assert.deepEqual(run([filter], ['x-set', '1', 'x-add', 'a', 'x-set', '2', 'x-remove', 'x', 'x-keep', 'k']), [
        'x-set', 'new', 'x-add', 'a,b', 'x-keep', 'k', 'x-more', 'c',
      ])
    })

    it(`${kind}: leaves framing, hop-by-hop, pseudo and broken headers alone`, () => {
      const names = [
        'connection', 'content-length', 'Transfer-Encoding', 'te', 'trailer', 'upgrade', 'keep-alive', 'proxy-connection',
        ':path', ':authority', 'a b', '', 'x\r\ny',
      ]
      const pairs = names.map((name) => [name, '1'] as const)
      const broken = [['x-ok', 'a\r\nb'], ['x-ok', 'a\0'], ['x-ok', '€']] as const
      assert.deepEqual(run([edits(kind, { set: pairs, add: [...pairs, ...broken] })], ['a', '1']), ['a', '1'])
      assert.deepEqual(run([edits(kind, { remove: names })], ['te', 'trailers']), ['te', 'trailers'])
    })
  }

  it('never touches the header that names the caller', () => {
    const name = 'X-Forwarded-Client-Cert'
    const filter = edits('request-headers', { set: [[name, 'URI=spiffe://evil']], add: [[name, 'x']], remove: [name] })
    assert.deepEqual(sent([filter], ['x-forwarded-client-cert', 'true']), ['x-forwarded-client-cert', 'true'])
  })

  it('set of host changes the authority; add, remove and what is no authority do nothing', () => {
    const authority = (some: Partial<HeaderEdits>): string => {
      const request = head()
      compileFilters([edits('request-headers', some)]).onRequest(request, '/')
      assert.deepEqual(request.headers, [])
      return request.authority
    }
    assert.equal(authority({ set: [['Host', 'Other.Example:81']] }), 'other.example:81')
    assert.equal(authority({ set: [['host', '[2001:db8::1]:80']] }), '[2001:db8::1]:80')
    for (const bad of ['a b', 'a/b', 'a@b', '', 'a\r\nb', 'a:b']) assert.equal(authority({ set: [['host', bad]] }), 'cart.shop:8080')
    assert.equal(authority({ add: [['host', 'x']], remove: ['host'] }), 'cart.shop:8080')
  })

  it('gives set-cookie a line of its own', () => {
    assert.deepEqual(
      answered([edits('response-headers', { add: [['set-cookie', 'b=2']] })], ['set-cookie', 'a=1']),
      ['set-cookie', 'a=1', 'set-cookie', 'b=2'],
    )
  })
})

const redirect = (some: Partial<Extract<Filter, { kind: 'redirect' }>>): Filter => ({ kind: 'redirect', status: 302, ...some })
const rewrite = (some: Partial<Extract<Filter, { kind: 'rewrite' }>>): Filter => ({ kind: 'rewrite', ...some })

describe('redirect', () => {
  const path = (type: PathModifier['type'], value: string): PathModifier => ({ type, value })
  const cases: readonly (readonly [filter: Filter, request: Parts, location: string, prefix?: string])[] = [
    [redirect({}), { path: '/a', query: '?b=c' }, 'http://cart.shop:8080/a?b=c'],
    [redirect({}), { path: '/a', destinationPort: 80 }, 'http://cart.shop/a'],
    [redirect({}), { path: '/a', destinationPort: 443 }, 'http://cart.shop:443/a'],
    [redirect({}), { path: '/a', scheme: 'https', destinationPort: 443 }, 'https://cart.shop/a'],
    [redirect({}), { path: '/a', authority: 'cart.shop' }, 'http://cart.shop:8080/a'],
    [redirect({}), { path: '/a', authority: '[::1]:99' }, 'http://[::1]:8080/a'],
    [redirect({}), { path: '/a', authority: '[::1]' }, 'http://[::1]:8080/a'],
    [redirect({}), { path: '/a', authority: '' }, '/a'],
    [redirect({}), { path: '*', method: 'OPTIONS' }, 'http://cart.shop:8080/'],
    [redirect({ hostname: 'Example.com' }), { path: '/a' }, 'http://example.com:8080/a'],
    [redirect({ scheme: 'https' }), { path: '/a' }, 'https://cart.shop/a'],
    [redirect({ scheme: 'http' }), { path: '/a' }, 'http://cart.shop/a'],
    [redirect({ scheme: 'https', port: 8443 }), { path: '/a' }, 'https://cart.shop:8443/a'],
    [redirect({ scheme: 'https', port: 443 }), { path: '/a' }, 'https://cart.shop/a'],
    [redirect({ scheme: 'http', port: 443 }), { path: '/a' }, 'http://cart.shop:443/a'],
    [redirect({ port: 80 }), { path: '/a' }, 'http://cart.shop/a'],
    [redirect({ port: 80 }), { path: '/a', scheme: 'https' }, 'https://cart.shop:80/a'],
    [redirect({ port: 8083 }), { path: '/a' }, 'http://cart.shop:8083/a'],
    [
      redirect({ hostname: 'example.com', scheme: 'https', path: path('full', '/new') }),
      { path: '/a', query: '?q' },
      'https://example.com/new?q',
    ],
    [redirect({ path: path('full', '/new?x=1') }), { path: '/a', query: '?y=2' }, 'http://cart.shop:8080/new?x=1&y=2'],
    [redirect({ path: path('full', '/new?x=1') }), { path: '/a' }, 'http://cart.shop:8080/new?x=1'],
    [redirect({ path: path('full', 'new') }), { path: '/a' }, 'http://cart.shop:8080/new'],
    [redirect({ path: path('prefix', '/new') }), { path: '/old/x', query: '?q' }, 'http://cart.shop:8080/new/x?q', '/old'],
    [redirect({ path: path('prefix', '/') }), { path: '/old/x' }, 'http://cart.shop:8080/x', '/old'],
  ]
  for (const [filter, request, location, prefix] of cases) {
    it(`${JSON.stringify(filter)} of ${JSON.stringify(request)} goes to ${location}`, () => {
      assert.deepEqual(
        compileFilters([filter]).onRequest(head(request), prefix),
        { status: 302, headers: ['location', location], body: '' },
      )
    })
  }

  it('answers with the status it is given', () => {
    for (const status of [301, 302, 303, 307, 308] as const) assert.equal(
      compileFilters([redirect({ status })]).onRequest(head(), '/')?.status,
      status,
    )
  })
})

describe('rewrite', () => {
  const after = (filter: Filter, request: Parts, prefix?: string): RequestHead => {
    const changed = head(request)
    assert.equal(compileFilters([filter]).onRequest(changed, prefix), undefined)
    return changed
  }
  /** path, prefix that matched, replacement → path. Source: the table of HTTPPathModifier, and the root as prefix. */
  const prefixes: readonly (readonly [path: string, prefix: string, value: string, result: string])[] = [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo/bar', '/foo', '/', '/bar'],
    ['/foo/bar', '/', '/xyz', '/xyz/foo/bar'],
    ['/', '/', '/xyz', '/xyz/'],
    ['/a', '/', '/', '/a'],
    ['/foo/bar', '/foo', '/x%7ey//z/', '/x~y/z/bar'],
    ['*', '/', '/xyz', '*'],
  ]
  for (const [path, prefix, value, result] of prefixes) {
    it(`${path} with ${prefix} → ${JSON.stringify(value)} becomes ${result}`, () => {
      const changed = after(rewrite({ path: { type: 'prefix', value } }), { path, query: '?q=1' }, prefix)
      assert.deepEqual([changed.path, changed.query], [result, '?q=1'])
    })
  }

  it('replaces the full path and keeps the query', () => {
    const changed = after(rewrite({ path: { type: 'full', value: '/one' } }), { path: '/a/b', query: '?q=1' }, '/a')
    assert.deepEqual([changed.path, changed.query], ['/one', '?q=1'])
  })

  it('replaces the host and nothing else', () => {
    const changed = after(rewrite({ hostname: 'One.Example' }), { path: '/a', query: '?q' })
    assert.deepEqual([changed.authority, changed.path, changed.query], ['one.example', '/a', '?q'])
  })

  it('answers 500 rather than leave out a change that can not be made', () => {
    const impossible: readonly Filter[] = [
      rewrite({ path: { type: 'prefix', value: '/x' } }),
      redirect({ path: { type: 'prefix', value: '/x' } }),
      rewrite({ path: { type: 'full', value: '/a%2Fb' } }),
      redirect({ path: { type: 'full', value: '/../a' } }),
    ]
    for (const filter of impossible) {
      const answer = compileFilters([filter]).onRequest(head({ path: '/a' }), undefined)
      assert.deepEqual([answer?.status, answer?.reason], [500, 'unresolved-filter'], JSON.stringify(filter))
    }
  })

  it('always gives a path in normal form', () => {
    const segments = fc.array(fc.constantFrom('a', 'b~', '%C3%A9', ';x', '...'), { maxLength: 4 })
    const wild = fc.array(fc.constantFrom('a', '%7e', '%c3%a9', '.', '..', '', '|'), { maxLength: 5 }).map((all) => `/${all.join('/')}`)
    fc.assert(
      fc.property(segments, segments, fc.boolean(), wild, fc.constantFrom('prefix', 'full'), (start, rest, open, value, type) => {
        const path = `/${[...start, ...rest].join('/')}${open && start.length + rest.length > 0 ? '/' : ''}`
        const request = head({ path, query: '?q' })
        const answer = compileFilters([rewrite({ path: { type, value } })]).onRequest(request, `/${start.join('/')}`)
        assert.equal(answer === undefined, !('refused' in normaliseTarget(value)))
        assert.deepEqual(normaliseTarget(request.path + request.query), { path: request.path, query: request.query })
      }),
      { numRuns: 500 },
    )
  })
})

describe('mirror', () => {
  const mirrorOf = (numerator: number, denominator: number): (() => boolean) => {
    const target = { kind: 'service', namespace: 'n', name: 'm', port: 80 } as const
    const { mirrors } = compileFilters([{ kind: 'mirror', target, numerator, denominator }])
    return mirrors[0]?.take ?? (() => assert.fail())
  }

  it('copies exactly its share of any run of requests', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(200), fc.nat(500), (denominator, some, start) => {
        const numerator = Math.min(some, denominator)
        const take = mirrorOf(numerator, denominator)
        for (let each = 0; each < start; each++) take()
        assert.equal(Array.from({ length: denominator }, take).filter(Boolean).length, numerator)
      }),
    )
  })

  it('copies everything at 100 %, nothing at 0 %', () => {
    assert.ok(Array.from({ length: 10 }, mirrorOf(100, 100)).every(Boolean))
    assert.ok(!Array.from({ length: 10 }, mirrorOf(0, 100)).some(Boolean))
  })

  it('counts each of several mirrors by itself', () => {
    const target = { kind: 'service', namespace: 'n', name: 'm', port: 80 } as const
    const { mirrors } = compileFilters([
      { kind: 'mirror', target, numerator: 1, denominator: 2 },
      { kind: 'mirror', target, numerator: 1, denominator: 1 },
    ])
    assert.deepEqual([1, 2, 3, 4].map(() => mirrors.map(({ take }) => take())), [[false, true], [true, true], [false, true], [true, true]])
  })
})

describe('compileFilters', () => {
  it('runs filters in the order listed and stops at the first that answers', () => {
    const set = (value: string): Filter => edits('request-headers', { set: [['x', value]] })
    const request = head({ path: '/a' })
    const answer = compileFilters([set('1'), rewrite({ path: { type: 'full', value: '/b' } }), redirect({}), set('2')]).onRequest(
      request,
      '/',
    )
    assert.deepEqual([answer?.headers, request.headers], [['location', 'http://cart.shop:8080/b'], ['x', '1']])
    assert.deepEqual(
      answered([edits('response-headers', { set: [['x', '1']] }), edits('response-headers', { add: [['x', '2']] })], []),
      ['x', '1,2'],
    )
  })

  it('answers 500 for a filter that does not resolve', () => {
    const answer = compileFilters([{ kind: 'unresolved', detail: 'no such filter' }]).onRequest(head(), '/')
    assert.deepEqual([answer?.status, answer?.reason], [500, 'unresolved-filter'])
  })

  it('says when there is nothing to run', () => {
    assert.equal(compileFilters([]).empty, true)
    assert.equal(compileFilters([redirect({})]).empty, false)
  })
})
