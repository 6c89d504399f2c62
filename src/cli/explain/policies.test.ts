import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resourceSetOf } from '../../api/resources.ts'
import { readInput } from '../../translate/testing/golden.ts'
import { translate } from '../../translate/translate.ts'
import { explainProbe } from './explain.ts'
import { formatExplanation } from './format.ts'
import type { Explanation } from './explanation.ts'
import { parseProbe } from './probe.ts'

const explain = (name: string, namespace: string, ...request: readonly string[]): Explanation => {
  const { objects, options } = readInput(readFileSync(`src/translate/testdata/policies/${name}.in.yaml`, 'utf8'))
  return explainProbe(translate(resourceSetOf(objects), options).snapshot, { trustDomain: 'cluster.local', namespace, serviceAccount: 'app' }, parseProbe(request, []))
}
const told = ({ policies = [] }: Explanation): readonly string[] => policies.map(({ policy, says, by, decides }) => `${policy} ${says}, ${by}${decides ? ', decides' : ''}`)

describe('explain with policies', () => {
  it('tells which policies judge a request, and what they say', () => {
    const allowed = explain('by-waypoint', 'shop', 'http://reviews.books/public')
    assert.deepEqual(told(allowed), ['books/readers allows it, the waypoint of books, decides'])
    assert.equal(allowed.answer, undefined)
    const denied = explain('by-waypoint', 'shop', 'PUT', 'http://reviews.books/public')
    assert.deepEqual(told(denied), ['books/readers does not match, the waypoint of books'])
    assert.deepEqual([denied.answer?.status, denied.answer?.reason], [403, 'denied'])
    assert.match(formatExplanation(denied, (_style, text) => text), /policies {3}allow books\/readers: does not match \(the waypoint of books\)\n[\s\S]*answer {5}403 denied/)
  })

  it('tells what the waypoint of another namespace says behind consumer routes', () => {
    const denied = explain('consumer-routes', 'shop', 'PUT', 'http://reviews.books/')
    assert.deepEqual(told(denied), ['books/readers does not match, the waypoint of books'])
    assert.equal(denied.backends[0]?.answer?.reason, 'denied')
    assert.deepEqual(told(explain('consumer-routes', 'shop', 'http://reviews.books/')), ['books/readers allows it, the waypoint of books, decides'])
  })

  it('tells what agents say of connections that come straight to pods', () => {
    assert.equal(explain('by-agents', 'shop', 'http://reviews.books/').answer, undefined)
    const denied = explain('by-agents', 'evil', 'http://reviews.books/')
    assert.deepEqual(told(denied), ['books/shop does not match, the agent before pod books/reviews1'])
    assert.equal(denied.answer?.reason, 'denied')
    assert.match(explain('by-waypoint', 'shop', 'http://10.1.0.1:8080/public').answer?.message ?? '', /takes connections from spiffe:\/\/cluster\.local\/ns\/books\/sa\/waypoint only/)
  })

  it('tells what is closed because nobody enforces policies', () => {
    const closed = explain('not-in-mesh', 'shop', 'http://reviews.books/')
    assert.deepEqual([closed.answer?.reason, closed.backends.length], ['denied', 0])
  })
})
