import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatAuthority, parseAuthority } from './authority.ts'

describe('parseAuthority', () => {
  const good: readonly (readonly [text: string, host: string, port: number])[] = [
    ['10.96.0.10:80', '10.96.0.10', 80],
    ['[fd00::1]:8080', 'fd00::1', 8080],
    ['[FD00:0:0::0001]:1', 'fd00::1', 1],
    ['reviews.shop.svc.cluster.local:65535', 'reviews.shop.svc.cluster.local', 65535],
    ['Reviews.:443', 'reviews', 443],
    ['1a.example:80', '1a.example', 80],
  ]
  for (const [text, host, port] of good) it(`reads ${text}`, () => assert.deepEqual(parseAuthority(text), { host, port }))

  const bad = [
    '', ':80', 'host', 'host:', 'host:0', 'host:080', 'host:65536', 'host:+80', 'host:80 ', ' host:80', 'user@host:80', 'http://host:80', 'host:80/path',
    '256.1.1.1:80', '10.0.1:80', '1:80', '0x7f.1:80', '010.0.0.1:80', 'host.0x1:80', '::1:80', 'fd00::1:80', '[::1]', '[::1%eth0]:80', '[10.0.0.1]:80',
    'a..b:80', '.a:80', '-a:80', 'a-:80', 'a%2e:80', 'a\u0000b:80', 'ä:80', `${'a'.repeat(64)}:80`, `${'a.'.repeat(127)}ab:80`, 'host:80,host:81', 'host:\u0661',
  ]
  for (const text of bad) it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(parseAuthority(text), undefined))

  it('reads back what formatAuthority writes', () => {
    fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65535 }), (host, port) => {
      const once = parseAuthority(formatAuthority(host, port))
      assert.ok(once !== undefined)
      assert.deepEqual(parseAuthority(formatAuthority(once.host, once.port)), once)
    }))
  })
})
