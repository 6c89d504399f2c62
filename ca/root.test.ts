import assert from 'node:assert/strict'
import { X509Certificate, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { fakeClock } from '../src/kit/testing/fake-clock.ts'
import { certificatesInPem, checkSvid, parseTrustBundle } from '../src/transport/svid.ts'
import { authorityConstraints, endEntityConstraints, keyUsage, subjectKeyIdentifier } from './certificate.ts'
import { time, toPem } from './der.ts'
import { CaError } from './errors.ts'
import type { Authority } from './root.ts'
import { loadAuthority, makeRoot, randomSerial } from './root.ts'
import { createCa } from './server.ts'
import { memoryStore } from './store.ts'
import type { Party } from './testing/craft.ts'
import { craftAuthority, craftFixture, newKey } from './testing/craft.ts'

const trustDomain = 'cluster.local'
const nowMs = Date.UTC(2026, 4, 5, 6, 7, 8)
const fixture = craftFixture({ trustDomain, nowMs })

const pkcs8 = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const pem = (...list: readonly Party[]): string => list.map(({ der }) => toPem('CERTIFICATE', der)).join('')
const load = (signing: Party, ...intermediates: readonly Party[]): Authority =>
  loadAuthority({ rootPem: fixture.rootPem, intermediatesPem: pem(...intermediates), privateKeyPem: pkcs8(signing.key) })

/** Issues an SVID by `authority`; whether its own mesh accepts it. */
async function works(authority: Authority): Promise<boolean> {
  const ca = await createCa({ store: memoryStore(), trustDomain, clock: fakeClock(nowMs), newRoot: () => authority })
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const issued = await ca.issue({ trustDomain, namespace: 'shop', serviceAccount: 'cart' }, key)
  return checkSvid(certificatesInPem(issued.certificateChainPem), parseTrustBundle(issued.trustBundlePem), { trustDomain, nowMs, usage: 'server' }).ok
}

describe('makeRoot', () => {
  it('makes a P-256 root that signs itself and allows no CA below', () => {
    const root = makeRoot(trustDomain, { nowMs })
    const certificate = new X509Certificate(root.rootPem)
    assert.ok(certificate.ca && certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey))
    assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
    assert.equal(parseTrustBundle([root.rootPem]).roots[0]?.pathLength, 0)
    assert.equal(root.notAfterMs, nowMs + 10 * 365 * 86_400_000)
  })

  it('names each root differently', () => {
    const names = [1, 2].map(() => new X509Certificate(makeRoot(trustDomain, { nowMs }).rootPem).subject)
    assert.notEqual(names[0], names[1])
  })

  it('takes trust domains of any length, and times after 2050', async () => {
    const root = makeRoot('d'.repeat(255), { nowMs, lifetimeMs: 50 * 365 * 86_400_000 })
    assert.equal(new Date(root.notAfterMs).getUTCFullYear(), 2076)
    assert.ok(await works(root))
  })
})

describe('loadAuthority', () => {
  const upper = craftAuthority(fixture, 'upper', { issuer: fixture.root })
  const lower = craftAuthority(fixture, 'lower', { issuer: upper, extensions: { constraints: authorityConstraints(0) } })

  it('loads a root, or an intermediate with its chain, whose SVIDs the mesh accepts', async () => {
    const bigKey = craftAuthority(fixture, 'RSA', { issuer: fixture.root, key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey })
    const other = craftAuthority(fixture, 'P-384', { issuer: fixture.root, key: newKey('secp384r1') })
    const unnamed = craftAuthority(fixture, 'no key identifier', { issuer: fixture.root, extensions: { subjectKeyIdentifier: undefined } })
    const elsewhere = craftAuthority(fixture, 'key identifier of another kind', { issuer: fixture.root, extensions: { subjectKeyIdentifier: subjectKeyIdentifier(Buffer.from('an id of its own')) } })
    for (const chain of [[], [upper], [lower, upper], [bigKey], [other], [unnamed], [elsewhere]]) assert.ok(await works(load(chain[0] ?? fixture.root, ...chain)))
  })

  it('is as valid as the shortest-lived of its certificates', () => {
    const brief = craftAuthority(fixture, 'brief', { issuer: fixture.root, notAfter: time(nowMs + 60_000) })
    assert.deepEqual([load(lower, lower, upper).notAfterMs, load(brief, brief).notAfterMs], [nowMs + 3_600_000, nowMs + 60_000])
  })

  const weak = craftAuthority(fixture, 'weak', { issuer: fixture.root, key: newKey('secp256k1') })
  const noCa = craftAuthority(fixture, 'no CA', { issuer: fixture.root, extensions: { constraints: endEntityConstraints() } })
  const noSigner = craftAuthority(fixture, 'no keyCertSign', { issuer: fixture.root, extensions: { keyUsage: keyUsage('digitalSignature') } })
  const refusals: Record<string, readonly [() => Authority, RegExp]> = {
    'a key of another certificate': [() => load(upper), /does not belong/],
    'a chain with a gap': [() => load(lower, lower), /was not issued by/],
    'a chain in the wrong order': [() => load(upper, upper, lower), /was not issued by/],
    'an intermediate that is not a CA': [() => load(noCa, noCa), /not a CA/],
    'an intermediate that may not sign': [() => load(noSigner, noSigner), /may sign others/],
    'a curve that peers refuse': [() => load(weak, weak), /neither P-256/],
    'a root that another one issued': [() => loadAuthority({ rootPem: pem(upper), intermediatesPem: '', privateKeyPem: pkcs8(upper.key) }), /was not issued by/],
    'no root': [() => loadAuthority({ rootPem: '', intermediatesPem: '', privateKeyPem: pkcs8(upper.key) }), /not one PEM/],
    'no key': [() => loadAuthority({ rootPem: fixture.rootPem, intermediatesPem: '', privateKeyPem: '' }), /can not be read/],
  }
  for (const [name, [wrong, message]] of Object.entries(refusals)) {
    it(`refuses ${name}`, () => assert.throws(wrong, (error: unknown) => error instanceof CaError && error.code === 'bad-authority' && message.test(error.message)))
  }
})

describe('randomSerial', () => {
  it('is a positive number of 16 bytes', () => {
    for (let count = 0; count < 100; count++) {
      const serial = randomSerial()
      assert.equal(serial.length, 16)
      const first = serial.readUInt8(0)
      assert.ok(first >= 0x40 && first < 0x80)
    }
  })
})
