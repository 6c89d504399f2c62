import assert from 'node:assert/strict'
import { SocketAddress } from 'node:net'
import fc from 'fast-check'
import { addressBytes, addressText } from './address.ts'

describe('addresses', () => {
  const cases: readonly (readonly [text: string, hex: string, back?: string])[] = [
    ['0.0.0.0', '00000000'],
    ['169.254.7.127', 'a9fe077f'],
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['1::', `0001${'00'.repeat(14)}`],
    ['fd16:9254:7127:1337:ffff:ffff:ffff:ffff', 'fd16925471271337ffffffffffffffff'],
    ['2001:db8:0:1:0:0:0:1', '20010db8000000010000000000000001', '2001:db8:0:1::1'],
    ['1:0:2:3:4:5:6:7', '00010000000200030004000500060007'],
    ['0:0:1:0:0:1:0:0', '00000000000100000000000100000000', '::1:0:0:1:0:0'],
    ['FD00::A', `fd00${'00'.repeat(13)}0a`, 'fd00::a'],
    ['::ffff:10.0.0.1', `${'00'.repeat(10)}ffff0a000001`, '10.0.0.1'],
    ['64:ff9b::1.2.3.4', `0064ff9b${'00'.repeat(8)}01020304`, '64:ff9b::102:304'],
  ]
  for (const [text, hex, back = text] of cases) {
    it(`${text} there and back`, () => {
      assert.equal(addressBytes(text).toString('hex'), hex)
      assert.equal(addressText(addressBytes(text)), back)
    })
  }

  it('are written as Node writes them', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const node = new SocketAddress({ address: text, family: 'ipv6' }).address
        const ours = addressText(addressBytes(text))
        // Old forms of embedded IPv4 are Node's alone.
        assert.ok(ours === node.replace('::ffff:', '') || node.includes('.'), `${ours}, ${node}`)
        assert.deepEqual(addressBytes(node), addressBytes(text))
      }),
    )
  })

  it('are nothing else', () => {
    for (const text of ['', 'localhost', '10.0.0', '10.0.0.256', 'fe80::1%eth0', '[::1]', '1::2::3', '10.0.0.1/8']) assert.throws(() => addressBytes(text), TypeError)
  })
})
