import assert from 'node:assert/strict'
import { formatSpiffeId, parseSpiffeId } from './identity.ts'

describe('parseSpiffeId', () => {
  it('reads what formatSpiffeId writes', () => {
    const identity = { trustDomain: 'prod.example', namespace: 'books', serviceAccount: 'reviews.v2' }
    assert.deepEqual(parseSpiffeId(formatSpiffeId(identity)), identity)
  })
  for (const uri of [
    '', 'spiffe://', 'spiffe://td', 'spiffe://td/', 'http://td/ns/a/sa/b', 'SPIFFE://td/ns/a/sa/b', 'spiffe://TD/ns/a/sa/b', 'spiffe:///ns/a/sa/b',
    'spiffe://td/ns/a/sa/b/', 'spiffe://td/ns/a/sa/b/c', 'spiffe://td//ns/a/sa/b', 'spiffe://td/ns/../sa/b', 'spiffe://td/ns/./sa/b', 'spiffe://td/ns/a/sa/',
    'spiffe://td/ns//sa/b', 'spiffe://td/ns/a/sa/b?x=1', 'spiffe://td/ns/a/sa/b#f', 'spiffe://td:80/ns/a/sa/b', 'spiffe://u@td/ns/a/sa/b',
    'spiffe://td/ns/a%20/sa/b', 'spiffe://td/ns/A/sa/b', 'spiffe://td/NS/a/sa/b', 'spiffe://td/ns/a/sa/ü', `spiffe://td/ns/a/sa/${'b'.repeat(254)}`, 'spiffe://td/ns/a/sa/b\0',
  ]) {
    it(`refuses ${JSON.stringify(uri.slice(0, 40))}`, () => assert.equal(parseSpiffeId(uri), undefined))
  }
})
