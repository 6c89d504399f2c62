import assert from 'node:assert/strict'
import type { Filter } from '../../src/model/route.ts'
import type { LocalAnswer, RequestHead } from '../compiled.ts'
import { compileFilters } from './compile.ts'

type Cors = Extract<Filter, { kind: 'cors' }>

const policy: Cors = {
  kind: 'cors',
  allowOrigins: ['https://www.foo.com', 'https://*.bar.com'],
  allowCredentials: true,
  allowMethods: ['GET', 'OPTIONS'],
  allowHeaders: ['x-header-1', 'x-header-2'],
  exposeHeaders: ['x-header-3', 'x-header-4'],
  maxAge: 3600,
}
const request = (method: string, headers: string[]): RequestHead => ({
  version: 'http1', method, scheme: 'http', authority: 'h', path: '/', query: '', headers, caller: undefined, destinationPort: 80,
})
const preflight = (cors: Partial<Cors>, origin: string, ...more: string[]): LocalAnswer => {
  const answer = compileFilters([{ ...policy, ...cors }]).onRequest(
    request('OPTIONS', ['origin', origin, 'access-control-request-method', 'PUT', ...more]),
    '/',
  )
  assert.ok(answer)
  return answer
}
const valuesOf = (headers: readonly string[]): Record<string, string> =>
  Object.fromEntries(headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? '']] : [])))
/** The answer's headers as the browser sees them. */
const answered = (cors: Partial<Cors>, requestHeaders: string[], ...backend: string[]): Record<string, string> => {
  compileFilters([{ ...policy, ...cors }]).onResponse(backend, requestHeaders)
  return valuesOf(backend)
}

describe('CORS preflight', () => {
  it('of an allowed origin is answered with everything that is allowed', () => {
    const answer = preflight({}, 'https://www.foo.com', 'access-control-request-headers', 'x-header-1, x-other')
    assert.equal(answer.status, 200)
    assert.deepEqual(valuesOf(answer.headers), {
      'vary': 'origin, access-control-request-method, access-control-request-headers',
      'access-control-allow-origin': 'https://www.foo.com',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x-header-3, x-header-4',
      'access-control-allow-methods': 'GET, OPTIONS',
      'access-control-allow-headers': 'x-header-1, x-header-2',
      'access-control-max-age': '3600',
    })
  })

  it('of another origin is answered without CORS headers', () => {
    const { status, headers } = preflight({}, 'https://foobar.com')
    assert.deepEqual([status, Object.keys(valuesOf(headers))], [200, ['vary']])
  })

  it('of wildcard methods and headers gets back what it asked for, never a *', () => {
    for (const allowCredentials of [true, false]) {
      const wild = { allowMethods: ['*'], allowHeaders: ['*'], allowCredentials }
      const got = valuesOf(preflight(wild, 'https://www.foo.com', 'access-control-request-headers', 'x-a, authorization').headers)
      assert.equal(got['access-control-allow-methods'], 'PUT')
      assert.equal(got['access-control-allow-headers'], 'x-a, authorization')
      assert.equal(valuesOf(preflight(wild, 'https://www.foo.com').headers)['access-control-allow-headers'], undefined)
    }
  })

  it('leaves out what the policy does not name', () => {
    const bare = { allowMethods: [], allowHeaders: [], exposeHeaders: [], allowCredentials: false }
    const got = valuesOf(preflight(bare, 'https://www.foo.com').headers)
    assert.deepEqual(Object.keys(got), ['vary', 'access-control-allow-origin', 'access-control-max-age'])
  })

  it('stays the same when the response side runs on it too', () => {
    const filters = compileFilters([policy])
    const head = request('OPTIONS', ['origin', 'https://www.foo.com', 'access-control-request-method', 'GET'])
    const answer = filters.onRequest(head, '/')
    const headers = [...(answer?.headers ?? [])]
    filters.onResponse(headers, head.headers)
    assert.deepEqual(valuesOf(headers), valuesOf(answer?.headers ?? []))
  })

  it('is only what has the method OPTIONS, an origin and a requested method', () => {
    const { onRequest } = compileFilters([policy])
    const origin = ['origin', 'https://www.foo.com']
    const asks = ['access-control-request-method', 'GET']
    assert.equal(onRequest(request('GET', [...origin, ...asks]), '/'), undefined)
    assert.equal(onRequest(request('OPTIONS', [...origin]), '/'), undefined)
    assert.equal(onRequest(request('OPTIONS', [...asks]), '/'), undefined)
    assert.ok(onRequest(request('OPTIONS', [...origin, ...asks]), '/'))
  })
})

describe('CORS origins', () => {
  const cases: readonly (readonly [allowed: string, origin: string, isAllowed: boolean])[] = [
    ['https://www.foo.com', 'https://www.foo.com', true],
    ['https://www.foo.com', 'https://www.foo.com:443', true],
    ['https://www.foo.com:443', 'https://www.foo.com', true],
    ['http://www.foo.com:80', 'http://www.foo.com', true],
    ['https://WWW.foo.com', 'https://www.FOO.com', true],
    ['https://www.foo.com', 'http://www.foo.com', false],
    ['https://www.foo.com', 'https://www.foo.com:8443', false],
    ['https://www.foo.com', 'https://foo.com', false],
    ['https://www.foo.com', 'https://www.foo.com.evil.net', false],
    ['https://www.foo.com', 'https://www.foo.com,https://evil.net', false],
    ['https://www.foo.com', 'https://www.foo.com/', false],
    ['https://www.foo.com', 'null', false],
    ['https://*.bar.com', 'https://www.bar.com', true],
    ['https://*.bar.com', 'https://xpto.www.bar.com', true],
    ['https://*.bar.com', 'https://bar.com', false],
    ['https://*.bar.com', 'https://.bar.com', false],
    ['https://*.bar.com', 'https://evilbar.com', false],
    ['https://*.bar.com', 'http://www.bar.com', false],
    ['https://*.bar.com', 'https://www.bar.com:8443', false],
    ['https://*.bar.com:8443', 'https://www.bar.com:8443', true],
    ['https://*.bar.com', 'https://evil.net/.bar.com', false],
    ['https://*.bar.com', 'https://evil.net#.bar.com', false],
    ['https://*.bar.com', 'https://a@evil.net:1.bar.com', false],
    ['https://*.bar.com', 'https://*.bar.com', false],
    ['https://*', 'https://any.thing', true],
    ['https://*', 'http://any.thing', false],
    ['*', 'https://foobar.com:12345', true],
    ['*', 'capacitor://localhost', true],
    ['*', 'null', true],
    ['*', 'https://a, https://b', false],
    ['*', '', false],
  ]
  for (const [allowed, origin, isAllowed] of cases) {
    it(`${allowed} ${isAllowed ? 'allows' : 'does not allow'} ${JSON.stringify(origin)}`, () => {
      const got = answered({ allowOrigins: [allowed] }, ['origin', origin])
      assert.equal(got['access-control-allow-origin'], isAllowed ? origin : undefined)
      assert.equal(got['access-control-allow-credentials'], isAllowed ? 'true' : undefined)
    })
  }

  it('allows nobody if the policy names no origin', () => {
    assert.deepEqual(answered({ allowOrigins: [] }, ['origin', 'https://www.foo.com']), { vary: 'origin' })
  })
})

describe('CORS answers of a backend', () => {
  it('get the policy in place of what the backend said', () => {
    const backend = [
      'access-control-allow-origin',
      '*',
      'access-control-allow-credentials',
      'false',
      'access-control-expose-headers',
      'x',
      'x-app',
      '1',
    ]
    assert.deepEqual(answered({}, ['origin', 'https://www.foo.com'], ...backend), {
      'x-app': '1',
      'vary': 'origin',
      'access-control-allow-origin': 'https://www.foo.com',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x-header-3, x-header-4',
    })
    assert.deepEqual(answered({}, ['origin', 'https://evil.net'], ...backend), { 'x-app': '1', 'vary': 'origin' })
    assert.deepEqual(answered({}, [], ...backend), { 'x-app': '1', 'vary': 'origin' })
  })

  it('have no credentials header unless the policy allows them', () => {
    assert.equal(answered({ allowCredentials: false }, ['origin', 'https://www.foo.com'])['access-control-allow-credentials'], undefined)
  })

  it('name a wildcard of exposed headers only without credentials', () => {
    const exposed = (allowCredentials: boolean): string | undefined =>
      answered({ exposeHeaders: ['*'], allowCredentials }, ['origin', 'https://www.foo.com'])['access-control-expose-headers']
    assert.deepEqual([exposed(false), exposed(true)], ['*', undefined])
  })

  it('vary by origin, once', () => {
    const cases = [['accept', 'accept, origin'], ['Origin', 'Origin'], ['accept, ORIGIN', 'accept, ORIGIN'], ['*', '*']] as const
    for (const [before, after] of cases) {
      assert.equal(answered({}, [], 'vary', before)['vary'], after)
    }
  })
})
