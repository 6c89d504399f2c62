import assert from 'node:assert/strict'
import { formatForwarded, plainAddress } from './addresses.ts'

describe('plainAddress', () => {
  for (const [address, expected] of [['::ffff:10.0.0.1', '10.0.0.1'], ['10.0.0.1', '10.0.0.1'], ['fd00::1', 'fd00::1'], ['::ffff:a00:1', '::ffff:a00:1'], ['', '']] as const) {
    it(`reads ${JSON.stringify(address)} as ${JSON.stringify(expected)}`, () => assert.equal(plainAddress(address), expected))
  }
})

describe('formatForwarded', () => {
  it('quotes the client, brackets IPv6, and names the Service if there is one', () => {
    assert.equal(formatForwarded('10.0.0.1', 4711), 'for="10.0.0.1:4711"')
    assert.equal(formatForwarded('fd00::1', 1, 'a.b.svc.cluster.local'), 'for="[fd00::1]:1";host=a.b.svc.cluster.local')
  })
})
