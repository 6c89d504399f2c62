import assert from 'node:assert/strict'
import fc from 'fast-check'
import { compilePattern, patternProblem } from '../../src/kit/regex.ts'
import { firstSegmentLookup } from './first-segment.ts'

describe('firstSegmentLookup', () => {
  const cases: readonly (readonly [pattern: string, segment: string | undefined])[] = [
    ['/orders/v[0-9]+', '/orders/'],
    ['^/orders/.*$', '/orders/'],
    ['/orders/(v1|v2)/.*', '/orders/'],
    ['/orders/(a|(b|c))(d|e)', '/orders/'],
    ['/orders/', '/orders/'],
    ['/orders/v[0-9]+/[^/]*/(a|b)', '/orders/'],
    ['/orders', undefined],
    ['/orders.*', undefined],
    ['/orders/?x', undefined],
    ['/orders/*', undefined],
    ['/orders/{0}x', undefined],
    ['/order(s)/x', undefined],
    ['/a/b|/c/d', undefined],
    ['/a/(b)|/c/d', undefined],
    ['/a/\\(|/c/d', undefined],
    ['/a/[(]|/c/d', undefined],
    ['/a/[b]|/c/d', undefined],
    ['/a/[([b]|/c/d', undefined],
    ['/a/\\[(b]|c)', undefined],
    ['/a/\\Q(\\E|/c/d', undefined],
    ['(?i)/a/b', undefined],
    ['/a./b', undefined],
    ['.*', undefined],
    ['/a/(?i)?', undefined],
    ['/a/\\Q\\E?', undefined],
    ['', undefined],
  ]
  for (const [pattern, segment] of cases) {
    it(`${pattern} ${segment === undefined ? 'may begin with any segment' : `begins with ${segment}`}`, () =>
      assert.equal(firstSegmentLookup(pattern)?.value, segment))
  }

  it('never contradicts the pattern: what matches begins with the segment', () => {
    const parts = ['/', 'a', 'b', '/a/', '/b/', '(', ')', '|', '?', '*', '+', '[', ']', '[a]', '^', '.', '\\', '{0}', '(?i)', '\\Q', '\\E']
    const source = fc
      .tuple(fc.constantFrom('', '/a/'), fc.array(fc.constantFrom(...parts), { maxLength: 8 }))
      .map(([start, rest]) => start + rest.join(''))
      .filter((each) => patternProblem(each) === undefined)
    const path = fc.array(fc.constantFrom('/', 'a', 'b', 'A'), { maxLength: 6 }).map((parts) => `/${parts.join('')}`)
    fc.assert(
      fc.property(source, path, (pattern, each) => {
        const segment = firstSegmentLookup(pattern)?.value
        if (segment !== undefined && compilePattern(pattern).test(each)) assert.ok(each.startsWith(segment), `${pattern} matches ${each}`)
      }),
      { numRuns: 2_000 },
    )
  })
})
