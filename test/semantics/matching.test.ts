import assert from 'node:assert/strict'
import { backend, type Backend } from './testing/backend.ts'
import type { Call } from './testing/client.ts'
import { l7Namespace, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

type Matches = readonly Manifest[]

/** A rule that tells its name to the backend. */
const rule = (name: string, matches: Matches): Manifest => ({
  matches, backendRefs: [to('books/app')],
  filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-rule', value: name }] } }],
})
const path = (type: string, value: string, more: Manifest = {}): Manifest => ({ path: { type, value }, ...more })
const header = (name: string, value: string, type = 'Exact'): Manifest => ({ type, name, value })

describe('which rule an HTTP request meets (semantics 3: match and order)', () => {
  let app: Backend
  let mesh: Mesh
  /** Services of one route each, by name. */
  const tables: Readonly<Record<string, Readonly<Record<string, Matches>>>> = {
    paths: {
      v2: [path('PathPrefix', '/v2')], slashed: [path('PathPrefix', '/s/')], deep: [path('PathPrefix', '/v2/deep/er')],
      exact: [path('Exact', '/exact')], 'exact-slash': [path('Exact', '/dir/')], regex: [path('RegularExpression', '/r/[0-9]+')],
    },
    or: { either: [path('Exact', '/a'), path('Exact', '/b', { method: 'POST' })] },
    and: { all: [path('PathPrefix', '/', { method: 'GET', headers: [header('X-One', '1'), header('x-two', 't.o', 'RegularExpression')], queryParams: [header('q', 'v w')] })] },
    order: {
      'prefix-short': [path('PathPrefix', '/o')], 'prefix-long': [path('PathPrefix', '/o/long')], regex: [path('RegularExpression', '/o/(long|exact)/.*')],
      'two-headers': [path('PathPrefix', '/o', { headers: [header('a', '1'), header('b', '1')] })], method: [path('PathPrefix', '/o', { method: 'PUT' })],
      'one-header': [path('PathPrefix', '/o', { headers: [header('a', '1')] })],
      'one-query': [path('PathPrefix', '/o', { queryParams: [header('q', '1')] })], 'two-queries': [path('PathPrefix', '/o', { queryParams: [header('q', '1'), header('r', '1')] })],
      exact: [path('Exact', '/o/exact/x')], 'short-with-all': [path('PathPrefix', '/', { method: 'PUT', headers: [header('a', '1'), header('b', '1')] })],
    },
    ties: {},
    values: { named: [{ headers: [header('x-v', 'One')] }], query: [{ queryParams: [header('Q', '1')] }], plus: [{ queryParams: [header('p', 'a b')] }], whole: [{ headers: [header('x-r', 'ab+', 'RegularExpression')] }] },
    twice: { twice: [{ headers: [header('x-t', 'first'), header('X-T', 'second')] }] },
    none: {},
    hosts: { host: [path('PathPrefix', '/')] },
  }

  const ask = async (table: string, what: Call = {}): Promise<string> => {
    const reply = await mesh.call('books', `${table}.books:80`, what)
    return reply.status === 200 ? (reply.seen.headers['x-rule']?.[0] ?? 'none') : `${reply.status} ${reply.reason ?? ''}`
  }
  const missed = '404 no-route'

  before(async () => {
    app = await backend('app')
    mesh = await startMesh(
      ['books'], ...l7Namespace('books'), ...service('books/app', [app]),
      ...Object.entries(tables).flatMap(([name, rules]) => [
        ...service(`books/${name}`, [app]),
        ...(Object.keys(rules).length === 0 ? [] : [
          route('HTTPRoute', `books/${name}`, `books/${name}`, Object.entries(rules).map(([each, matches]) => rule(each, matches)), name === 'hosts' ? { hostnames: ['only.example'] } : {}),
        ]),
      ]),
      route('HTTPRoute', 'books/a-young', 'books/ties', [rule('young', [path('PathPrefix', '/')])], { created: '2026-02-01T00:00:00Z' }),
      route('HTTPRoute', 'books/z-old', 'books/ties', [rule('old', [path('PathPrefix', '/')])], { created: '2026-01-01T00:00:00Z' }),
      route('HTTPRoute', 'books/m-old', 'books/ties', [rule('old-m-first', [path('PathPrefix', '/same')]), rule('old-m-second', [path('PathPrefix', '/same')])], { created: '2026-01-01T00:00:00Z' }),
      route('HTTPRoute', 'books/n-old', 'books/ties', [rule('old-n', [path('PathPrefix', '/same')])], { created: '2026-01-01T00:00:00Z' }),
      route('HTTPRoute', 'books/none', 'books/none', [{ backendRefs: [to('books/app')] }]),
    )
  })
  after(async () => {
    await mesh.close()
    app.close()
  })

  it('PathPrefix goes by whole segments, minds case and ignores one trailing slash', async () => {
    for (const [target, expected] of Object.entries({
      '/v2': 'v2', '/v2/': 'v2', '/v2/x': 'v2', '/v2?q': 'v2', '/v2x': missed, '/V2': missed, '/': missed, '/x/v2': missed, '/s': 'slashed', '/s/': 'slashed', '/s/x': 'slashed', '/sx': missed,
      '/v2/deep/er/x': 'deep', '/v2/deep/erx': 'v2',
    })) assert.equal(await ask('paths', { path: target }), expected, target)
  })

  it('Exact is exact; a regular expression holds for the whole path and not for the query', async () => {
    for (const [target, expected] of Object.entries({
      '/exact': 'exact', '/exact?x=1': 'exact', '/exact/': missed, '/dir': missed, '/dir/': 'exact-slash', '/r/12': 'regex', '/r/12?x': 'regex', '/r/12x': missed, '/x/r/12': missed, '/r/': missed,
    })) assert.equal(await ask('paths', { path: target }), expected, target)
  })

  it('matches are OR-ed, the fields of one match AND-ed', async () => {
    assert.equal(await ask('or', { path: '/a' }), 'either')
    assert.equal(await ask('or', { path: '/b' }), missed)
    assert.equal(await ask('or', { path: '/b', method: 'POST' }), 'either')
    const all = { method: 'GET', path: '/x?q=v%20w', headers: { 'x-one': '1', 'X-TWO': 'two' } }
    assert.equal(await ask('and', all), 'all')
    for (const change of [{ method: 'POST' }, { path: '/x' }, { path: '/x?q=v' }, { headers: { 'x-one': '1' } }, { headers: { 'x-one': '2', 'x-two': 'two' } }, { headers: { 'x-one': '1', 'x-two': 'twoo' } }]) {
      assert.equal(await ask('and', { ...all, ...change }), missed, JSON.stringify(change))
    }
  })

  it('a rule without matches holds for every path', async () => {
    assert.equal(await ask('none', { path: '/any/thing', method: 'DELETE' }), 'none')
  })

  it('order: exact path, regular expression, longest prefix, method, most headers, most query parameters, whatever the order of the rules', async () => {
    const headers = { a: '1', b: '1' }
    for (const [expected, what] of [
      ['exact', { path: '/o/exact/x?q=1&r=1', method: 'PUT', headers }],
      ['regex', { path: '/o/long/x?q=1&r=1', method: 'PUT', headers }],
      ['prefix-long', { path: '/o/long?q=1&r=1', method: 'PUT', headers }],
      ['method', { path: '/o?q=1&r=1', method: 'PUT', headers }],
      ['two-headers', { path: '/o?q=1&r=1', headers }],
      ['one-header', { path: '/o?q=1&r=1', headers: { a: '1' } }],
      ['two-queries', { path: '/o?q=1&r=1' }],
      ['one-query', { path: '/o?q=1' }],
      ['prefix-short', { path: '/o' }],
      ['short-with-all', { path: '/', method: 'PUT', headers }],
    ] as const) assert.equal(await ask('order', what), expected, JSON.stringify(what))
  })

  it('ties: the oldest route, then namespace/name, then the first rule', async () => {
    assert.equal(await ask('ties', { path: '/x' }), 'old')
    assert.equal(await ask('ties', { path: '/same' }), 'old-m-first')
  })

  it('header names ignore case and values do not; regular expressions hold for the whole value', async () => {
    assert.equal(await ask('values', { headers: { 'X-V': 'One' } }), 'named')
    assert.equal(await ask('values', { headers: { 'x-v': 'one' } }), missed)
    assert.equal(await ask('values', { headers: { 'x-r': 'abb' } }), 'whole')
    for (const value of ['xabb', 'abbx', 'a']) assert.equal(await ask('values', { headers: { 'x-r': value } }), missed)
  })

  it('a header named twice in one match: the first counts', async () => {
    assert.equal(await ask('twice', { headers: { 'x-t': 'first' } }), 'twice')
    assert.equal(await ask('twice', { headers: { 'x-t': 'second' } }), missed)
  })

  it('query names are exact, a repeated parameter counts once, and values are percent-decoded', async () => {
    for (const [target, expected] of Object.entries({
      '/?Q=1': 'query', '/?q=1': missed, '/?Q=1&Q=2': 'query', '/?Q=2&Q=1': missed, '/?x&Q=1': 'query', '/?Q=%31': 'query', '/?%51=1': 'query', '/?p=a%20b': 'plus', '/?Q=1%': missed, '/?Q': missed,
    })) assert.equal(await ask('values', { path: target }), expected, target)
  })

  it('hostnames on a mesh route have no effect, and a warning says so', async () => {
    assert.equal(await ask('hosts', { headers: { host: 'other.example' } }), 'host')
    assert.ok(mesh.world.mesh.troubles().some((line) => line.includes('HTTPRoute books/hosts') && line.includes('hostnames')))
  })

  it('what was matched is what the backend gets: query and unusual but clear characters survive byte by byte', async () => {
    for (const target of ['/a;b=c/d@e:f', '/?q=%2F..%2f&r=a+b&&=', '/%E2%82%AC', '/a%20b', '/~x/-._']) {
      assert.equal((await mesh.call('books', 'none.books:80', { path: target })).seen.url, target)
    }
  })
})
