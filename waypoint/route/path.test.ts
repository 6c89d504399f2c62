import assert from 'node:assert/strict'
import fc from 'fast-check'
import { normaliseTarget } from './path.ts'

/** target on the wire → path and query as they are matched and forwarded */
const normal: readonly (readonly [target: string, path: string, query?: string])[] = [
  ['/', '/'],
  ['*', '*'],
  ['/a', '/a'],
  ['/a/', '/a/'],
  ['/a/b/c', '/a/b/c'],
  ['/a.b/c', '/a.b/c'],
  ['/a..b', '/a..b'],
  ['/...', '/...'],
  ['/.well-known/x', '/.well-known/x'],
  ['/..a', '/..a'],
  ["/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"],
  ['/a?', '/a', '?'],
  ['/a?b=c', '/a', '?b=c'],
  ['/a?b=c?d', '/a', '?b=c?d'],
  ['/?/../x', '/', '?/../x'],
  ['/a?b=%2F%00%zz', '/a', '?b=%2F%00%zz'],
  ['/a?b=\\|"<>', '/a', '?b=\\|"<>'],
  ['/.', '/'],
  ['/./', '/'],
  ['/./a', '/a'],
  ['/a/.', '/a/'],
  ['/a/./b', '/a/b'],
  ['/a/..', '/'],
  ['/a/../', '/'],
  ['/a/../b', '/b'],
  ['/a/b/../../c', '/c'],
  ['/a/b/..', '/a/'],
  ['/a/b/../', '/a/'],
  ['/a/%2e/b', '/a/b'],
  ['/a/%2E%2e/b', '/b'],
  ['/a/.%2e/b', '/b'],
  ['/a/%2e./b', '/b'],
  ['/a/%2e%2e?x=..', '/', '?x=..'],
  ['/%2ewell-known', '/.well-known'],
  ['//', '/'],
  ['//a', '/a'],
  ['///a//b///', '/a/b/'],
  ['/a//b', '/a/b'],
  ['/a//../b', '/b'],
  ['/a/%41%7a%30', '/a/Az0'],
  ['/%7euser', '/~user'],
  ['/%2d%5f', '/-_'],
  ['/a%3fb', '/a%3Fb'],
  ['/a%23b', '/a%23b'],
  ['/a%20b', '/a%20b'],
  ['/a%3bb', '/a%3Bb'],
  ['/%25', '/%25'],
  ['/%252e%252e/a', '/%252e%252e/a'],
  ['/%252F', '/%252F'],
  ['/caf%c3%a9', '/caf%C3%A9'],
  ['/%e2%82%ac', '/%E2%82%AC'],
  ['/%f0%9f%98%80', '/%F0%9F%98%80'],
  ['/%c3%a9%41', '/%C3%A9A'],
  ['/a|b', '/a%7Cb'],
  ['/a"b<c>d', '/a%22b%3Cc%3Ed'],
  ['/{id}', '/%7Bid%7D'],
  ['/[x]^`', '/%5Bx%5D%5E%60'],
  ['/a;v=1/b', '/a;v=1/b'],
  ['/...;x', '/...;x'],
]

/** targets that are answered 400, and why */
const refused: readonly (readonly [target: string, why: RegExp])[] = [
  ['', /start with \//],
  ['a', /start with \//],
  ['?a', /start with \//],
  ['http://h/a', /start with \//],
  ['**', /start with \//],
  ['\\a', /start with \//],
  ['/..', /root/],
  ['/../a', /root/],
  ['/a/../..', /root/],
  ['/%2e%2e/a', /root/],
  ['/a/.//../../b', /root/],
  ['/a\\b', /backslash/],
  ['/a\\..\\b', /backslash/],
  ['/a%2fb', /encoded slash/],
  ['/a%2Fb', /encoded slash/],
  ['/a%5cb', /encoded slash or backslash/],
  ['/a/..%2fb', /encoded slash/],
  ['/a\0b', /control/],
  ['/a\x01', /control/],
  ['/a\tb', /control/],
  ['/a\x7f', /control/],
  ['/a b', /space/],
  ['/a\r\nb', /control/],
  ['/a%00', /encoded control/],
  ['/a%0a', /encoded control/],
  ['/a%0D%0Ab', /encoded control/],
  ['/a%1f', /encoded control/],
  ['/a%7F', /encoded control/],
  ['/a\x80', /above 0x7e/],
  ['/caf\xe9', /above 0x7e/],
  ['/λ', /above 0x7e/],
  ['/a%', /two hexadecimal/],
  ['/a%4', /two hexadecimal/],
  ['/a%zz', /two hexadecimal/],
  ['/a%4/b', /two hexadecimal/],
  ['/%u002e', /two hexadecimal/],
  ['/%c0%ae', /UTF-8/],
  ['/%c0%af', /UTF-8/],
  ['/%c1%9c', /UTF-8/],
  ['/%e0%80%af', /UTF-8/],
  ['/%f0%80%80%af', /UTF-8/],
  ['/%f8%80%80%80%af', /UTF-8/],
  ['/%ed%a0%80', /UTF-8/],
  ['/%ff', /UTF-8/],
  ['/%80', /UTF-8/],
  ['/%c3', /UTF-8/],
  ['/%c3/%a9', /UTF-8/],
  ['/%c3a%a9', /UTF-8/],
  ['/a#b', /fragment/],
  ['/a?b#c', /fragment/],
  ['/a/..;/b', /parameters/],
  ['/a/..;x=1/b', /parameters/],
  ['/a/.;/b', /parameters/],
  ['/a/%2e%2e;/b', /parameters/],
  ['/a?b c', /query/],
  ['/a?b\0', /query/],
  ['/a?b\x7f', /query/],
  ['/a?b=\xe9', /query/],
]

const wildTarget = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('/', '/', '.', '..', '%2e', '%2E', ';', 'a', 'b', 'admin', '%41', '%c3%a9', '//', '?') },
      { weight: 1, arbitrary: fc.constantFrom('%2f', '%5c', '\\', '%', '%00', '#', '|', '%c0%ae', ' ', '%25') },
    ),
    { maxLength: 14 },
  )
  .map((parts) => `/${parts.join('')}`)

describe('normaliseTarget', () => {
  for (const [target, path, query = ''] of normal) {
    it(`${target} is matched and forwarded as ${path}${query}`, () => assert.deepEqual(normaliseTarget(target), { path, query }))
  }

  for (const [target, why] of refused) {
    it(`${JSON.stringify(target)} is refused: ${why.source}`, () => {
      const answer = normaliseTarget(target)
      assert.ok('refused' in answer, JSON.stringify(answer))
      assert.match(answer.refused, why)
    })
  }

  it('gives a fixed point: normalising again changes nothing', () => {
    fc.assert(
      fc.property(wildTarget, (target) => {
        const once = normaliseTarget(target)
        if ('refused' in once) return
        assert.deepEqual(normaliseTarget(once.path + once.query), once)
      }),
      { numRuns: 3_000 },
    )
  })

  it('leaves no dot segment, empty segment, backslash, control or encoded slash in any path', () => {
    fc.assert(
      fc.property(fc.oneof(wildTarget, fc.string({ unit: 'binary-ascii' }).map((text) => `/${text}`)), (target) => {
        const answer = normaliseTarget(target)
        if ('refused' in answer || answer.path === '*') return
        assert.ok(answer.path.startsWith('/'))
        assert.doesNotMatch(answer.path, /\/\.{1,2}(;|\/|$)|\/\/|\\|[^\x21-\x7e]|[?#]/)
        assert.doesNotMatch(answer.path, /%(?:2f|5c|2e|[01][0-9a-f]|7f)/i)
      }),
      { numRuns: 3_000 },
    )
  })

  it('agrees with the URL standard about dot segments inside the root', () => {
    const segment = fc.constantFrom('.', '..', '%2e', '%2E%2e', 'a', 'b', 'c')
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 10 }), (segments) => {
        const answer = normaliseTarget(`/${segments.join('/')}`)
        if ('refused' in answer) return
        assert.equal(answer.path, new URL(`http://h/${segments.join('/')}`).pathname)
      }),
    )
  })

  it('never touches a query that it accepts', () => {
    fc.assert(
      fc.property(wildTarget, fc.string({ unit: 'grapheme-ascii' }), (target, query) => {
        const answer = normaliseTarget(`${target.replaceAll('?', '')}?${query}`)
        if ('path' in answer) assert.equal(answer.query, `?${query}`)
      }),
    )
  })
})
