import assert from 'node:assert/strict'
import { compilePattern, PatternError, patternProblem } from './regex.ts'

describe('compilePattern', () => {
  const cases: readonly (readonly [pattern: string, value: string, matches: boolean])[] = [
    ['abc', 'abc', true],
    ['abc', 'xabc', false],
    ['abc', 'abcx', false],
    ['a|b', 'a', true],
    ['a|b', 'ab', false],
    ['a|ab', 'ab', true],
    ['^abc$', 'abc', true],
    ['/v[0-9]+/.*', '/v2/users', true],
    ['/v[0-9]+', '/v2/users', false],
    ['(?i)abc', 'ABC', true],
    ['.*', '', true],
    ['a', 'a\n', false],
    ['(?m)a$', 'a\nb', false],
    ['\\Qa.c\\E', 'abc', false],
    ['\\p{Greek}+', 'λόγος', true],
  ]
  for (const [pattern, value, matches] of cases) {
    it(`${pattern} ${matches ? 'matches' : 'does not match'} the whole of ${JSON.stringify(value)}`, () => {
      assert.equal(compilePattern(pattern).test(value), matches)
    })
  }

  it('compiles a source once', () => {
    assert.equal(compilePattern('once+'), compilePattern('once+'))
  })

  it('takes linear time where a backtracking engine takes exponential time', () => {
    const value = `${'a'.repeat(5_000)}b`
    for (const evil of ['(a+)+$', '(a|aa)+', '(.*)*x', '(a*)*c']) {
      const startMs = performance.now()
      for (let run = 0; run < 10; run++) assert.equal(compilePattern(evil).test(value), false)
      assert.ok(performance.now() - startMs < 2_000, evil)
    }
  })

  for (const bad of ['a(?=b)', '(a)\\1', '[', '(', 'a)|(b', '\\', '(?<!x)y', 'a**', '\\Qa']) {
    it(`refuses ${bad} with advice`, () => {
      assert.throws(
        () => compilePattern(bad),
        (error: unknown) => error instanceof PatternError && error.source === bad && error.advice.includes('RE2'),
      )
      assert.equal(typeof patternProblem(bad), 'string')
    })
  }

  it('has nothing to say about a good pattern', () => {
    assert.equal(patternProblem('a+'), undefined)
  })
})
