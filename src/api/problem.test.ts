import assert from 'node:assert/strict'
import { formatPath, show } from './field.ts'
import { formatProblem, type Problem } from './problem.ts'
import { suggest } from './suggest.ts'

const problem: Problem = { severity: 'error', file: 'a/b.yaml', line: 3, column: 5, field: 'spec.x', message: 'is wrong', advice: 'mend it' }

describe('a problem in one line', () => {
  it('names place, object, field, what was expected and what to do', () => {
    const ref = { group: '', kind: 'Service', namespace: 'shop', name: 'web' }
    assert.equal(
      formatProblem({ ...problem, ref, expected: 'an integer' }),
      'a/b.yaml:3:5: error: Service shop/web spec.x: is wrong; expected an integer; mend it',
    )
  })

  it('leaves out what it does not know, and never has a second line', () => {
    assert.equal(formatProblem({ ...problem, line: 0, column: 0, field: '', message: 'two\n  lines' }), 'a/b.yaml: error: two lines; mend it')
  })

  it('writes paths as kubectl does, and keys that are no words in brackets', () => {
    assert.equal(formatPath(['spec', 'rules', 0, 'matches']), 'spec.rules[0].matches')
    assert.equal(formatPath(['metadata', 'labels', 'app.kubernetes.io/name']), 'metadata.labels[app.kubernetes.io/name]')
  })

  it('shows long values short', () => assert.equal(show('x'.repeat(500)).length, 78))
})

describe('suggestions', () => {
  it('mend case and up to two edits, and nothing further away', () => {
    assert.equal(suggest('wieght', ['weight', 'name']), 'weight')
    assert.equal(suggest('BACKENDREFS', ['backendRefs']), 'backendRefs')
    assert.equal(suggest('port', ['name', 'kind']), undefined)
    assert.equal(suggest('x'.repeat(10_000), ['name']), undefined)
  })
})
