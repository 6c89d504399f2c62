import assert from 'node:assert/strict'
import { ECDH, X509Certificate, createPublicKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { fakeClock } from '../src/kit/testing/fake-clock.ts'
import type { Identity } from '../src/model/identity.ts'
import { formatSpiffeId } from '../src/model/identity.ts'
import type { SvidVerdict } from '../src/transport/svid.ts'
import { certificatesInPem, checkSvid, parseTrustBundle } from '../src/transport/svid.ts'
import type { CaErrorCode } from './errors.ts'
import { CaError } from './errors.ts'
import { makeRoot } from './root.ts'
import type { Ca } from './server.ts'
import { createCa } from './server.ts'
import type { CaStore } from './store.ts'
import { memoryStore } from './store.ts'

const trustDomain = 'cluster.local'
const identity: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'cart' }
const startMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const hour = 3_600_000

const newKey = (namedCurve = 'prime256v1'): string => generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
const refused = (code: CaErrorCode, message = /./) => (error: unknown): boolean => {
  assert.ok(error instanceof CaError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  assert.ok(error.advice.length > 20)
  return true
}

/** The same P-256 public key with its point in 33 bytes. */
function compressed(der: Buffer): Buffer {
  const point = ECDH.convertKey(der.subarray(-65), 'prime256v1', undefined, undefined, 'compressed') as Buffer
  return Buffer.concat([Buffer.from([0x30, 0x39]), der.subarray(2, 23), Buffer.from([0x03, 0x22, 0x00]), point])
}

describe('createCa', () => {
  const clock = fakeClock(startMs)
  let ca: Ca
  const judge = (chainPem: string, roots: readonly string[], nowMs: number, usage: 'client' | 'server' = 'client'): SvidVerdict =>
    checkSvid(certificatesInPem(chainPem), parseTrustBundle(roots), { trustDomain, nowMs, usage })

  before(async () => {
    ca = await createCa({ store: memoryStore(), trustDomain, clock })
  })

  describe('the shared secret', () => {
    it('is the same for every process of an identity, whichever controller of the CA it asks, and another one for other identities', async () => {
      const store = memoryStore()
      const [one, two] = [await createCa({ store, trustDomain, clock }), await createCa({ store, trustDomain, clock })]
      const of = async (from: Ca, who: Identity): Promise<string | undefined> => (await from.issue(who, newKey())).sharedSecret
      const first = await of(one, identity)
      assert.equal(Buffer.from(first ?? '', 'base64').length, 32)
      assert.equal(await of(one, identity), first)
      assert.equal(await of(two, identity), first)
      assert.notEqual(await of(one, { ...identity, serviceAccount: 'till' }), first)
      assert.notEqual(await of(one, { ...identity, namespace: 'shops' }), first)
    })

    it('is another one once another root signs', async () => {
      const own = await createCa({ store: memoryStore(), trustDomain, clock })
      const before = (await own.issue(identity, newKey())).sharedSecret
      await own.rotate('introduce')
      assert.equal((await own.issue(identity, newKey())).sharedSecret, before)
      await own.rotate('sign', { force: true })
      assert.notEqual((await own.issue(identity, newKey())).sharedSecret, before)
    })
  })

  describe('issue', () => {
    const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/)

    it('gives every identity an SVID that the mesh accepts on both sides for one hour', async () => {
      const key = newKey()
      await fc.assert(
        fc.asyncProperty(name, name, fc.integer({ min: 0, max: hour - 1000 }), async (namespace, serviceAccount, laterMs) => {
          const wanted = { trustDomain, namespace, serviceAccount }
          const issued = await ca.issue(wanted, key)
          for (const usage of ['client', 'server'] as const) {
            const verdict = judge(issued.certificateChainPem, issued.trustBundlePem, startMs + laterMs, usage)
            assert.deepEqual(verdict, { ok: true, identity: wanted, notAfterMs: issued.notAfterMs })
          }
        }),
        { numRuns: 50 },
      )
    })

    it('makes certificates that OpenSSL reads as they are meant', async () => {
      const key = newKey()
      const issued = await ca.issue(identity, key)
      const [certificate, root] = [new X509Certificate(issued.certificateChainPem), new X509Certificate(issued.trustBundlePem[0] ?? '')]
      assert.equal(certificate.subjectAltName, `URI:${formatSpiffeId(identity)}`)
      // Empty, for which Node says undefined against its own types.
      assert.ok(!certificate.subject)
      assert.equal(certificate.ca, false)
      assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
      assert.ok(certificate.checkIssued(root) && certificate.verify(root.publicKey))
      assert.equal(certificate.serialNumber.length, 32)
      assert.equal(certificate.publicKey.export({ type: 'spki', format: 'pem' }), key)
      assert.deepEqual([certificate.validFromDate.getTime(), certificate.validToDate.getTime()], [issued.notBeforeMs, issued.notAfterMs])
      assert.ok(root.ca && root.checkIssued(root) && root.verify(root.publicKey))
    })

    it('back-dates by minutes, for clocks that are behind, and never announces more than the certificate says', async () => {
      const issued = await ca.issue(identity, newKey())
      assert.deepEqual([issued.notBeforeMs, issued.notAfterMs], [Date.UTC(2026, 0, 2, 2, 59, 5), Date.UTC(2026, 0, 2, 4, 4, 5)])
    })

    it('gives each certificate a serial number of its own', async () => {
      const key = newKey()
      const serials = new Set<string>()
      for (let count = 0; count < 20; count++) serials.add(new X509Certificate((await ca.issue(identity, key)).certificateChainPem).serialNumber)
      assert.equal(serials.size, 20)
    })

    it('signs nothing but P-256 public keys', async () => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      const der = publicKey.export({ type: 'spki', format: 'der' })
      const pem = (bytes: Buffer): string => `-----BEGIN PUBLIC KEY-----\n${bytes.toString('base64')}\n-----END PUBLIC KEY-----\n`
      // A point of the right length that is not on the curve.
      const offCurve = Buffer.concat([der.subarray(0, -1), Buffer.from([(der.at(-1) ?? 0) ^ 1])])
      const wrong: Record<string, string> = {
        'P-384': newKey('secp384r1'),
        'secp256k1': newKey('secp256k1'),
        // As long as one of P-256.
        'SM2': newKey('SM2'),
        'Ed25519': generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString(),
        'a private key': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        'a certificate': (await ca.issue(identity, newKey())).certificateChainPem,
        'two keys': newKey() + newKey(),
        'off the curve': pem(offCurve),
        'a compressed point': pem(compressed(der)),
        'trailing bytes': pem(Buffer.concat([der, Buffer.from([0])])),
        'no key': 'x',
      }
      for (const each of [der, compressed(der)]) assert.equal(createPublicKey(pem(each)).asymmetricKeyDetails?.namedCurve, 'prime256v1')
      for (const [what, key] of Object.entries(wrong)) await assert.rejects(ca.issue(identity, key), refused('bad-public-key'), what)
    })

    it('signs no identity of another trust domain and none that is not a SPIFFE id', async () => {
      const key = newKey()
      for (const wrong of [{ ...identity, trustDomain: 'other' }, { ...identity, namespace: 'a/sa/b' }, { ...identity, serviceAccount: '' }, { ...identity, namespace: 'A' }]) {
        await assert.rejects(ca.issue(wrong, key), refused('bad-identity'), JSON.stringify(wrong))
      }
    })

    it('never outlives its root, and stops when the root has expired', async () => {
      const own = fakeClock(startMs)
      const short = await createCa({ store: memoryStore(), trustDomain, clock: own, newRoot: () => makeRoot(trustDomain, { nowMs: startMs, lifetimeMs: hour / 2 }) })
      assert.equal((await short.issue(identity, newKey())).notAfterMs, Math.floor((startMs + hour / 2) / 1000) * 1000)
      own.advance(hour)
      await assert.rejects(short.issue(identity, newKey()), refused('authority-expired'))
    })
  })

  describe('rotate', () => {
    const hours = (count: number): number => startMs + count * hour

    it('keeps every living SVID valid through introduce, sign and retire, and ends trust in the former root', async () => {
      const own = fakeClock(startMs)
      const key = newKey()
      const rotating = await createCa({ store: memoryStore(), trustDomain, clock: own })
      const seen: number[] = []
      rotating.onBundleChange((pems) => seen.push(pems.length))
      const first = rotating.bundle()
      const issuedBy = async (roots: readonly string[]): Promise<boolean> =>
        judge((await rotating.issue(identity, key)).certificateChainPem, roots, own.now()).ok

      await rotating.rotate('introduce')
      const both = rotating.bundle()
      assert.equal(both.length, 2)
      assert.ok(await issuedBy(first), 'the former root signs until everybody trusts the new one')

      own.advance(hour)
      const before = await rotating.issue(identity, key)
      await rotating.rotate('sign')
      assert.deepEqual(rotating.bundle(), both)
      assert.equal(await issuedBy(first), false, 'the new root signs now')
      assert.ok(await issuedBy(both))
      assert.ok(judge(before.certificateChainPem, rotating.bundle(), hours(2) - 2000).ok, 'what the former root signed is good to its end')

      own.advance(hour)
      await rotating.rotate('retire')
      const second = rotating.bundle()
      assert.deepEqual(second, both.slice(1))
      assert.ok(await issuedBy(second))
      assert.equal(judge(before.certificateChainPem, second, hours(2) - 2000).ok, false, 'nothing of the former root is accepted any more')
      assert.deepEqual(seen, [2, 1])
    })

    it('tells everybody of a new bundle, also if one of them fails', async () => {
      const rotating = await createCa({ store: memoryStore(), trustDomain, clock: fakeClock(startMs) })
      const seen: number[] = []
      rotating.onBundleChange(() => {
        throw new Error('a listener that fails')
      })
      rotating.onBundleChange((pems) => seen.push(pems.length))
      await assert.rejects(rotating.rotate('introduce'), /a listener that fails/)
      assert.deepEqual(seen, [2])
      assert.equal((await rotating.rotate('introduce')).phase, 'introduced')
    })

    it('may be run again at any step', async () => {
      const own = fakeClock(startMs)
      const rotating = await createCa({ store: memoryStore(), trustDomain, clock: own })
      for (const step of ['introduce', 'sign', 'retire'] as const) {
        const once = await rotating.rotate(step, { force: true })
        const bundle = rotating.bundle()
        if (step === 'introduce') assert.deepEqual(await rotating.rotate(step), once)
        else assert.deepEqual(await rotating.rotate(step, { force: true }), once)
        assert.deepEqual(rotating.bundle(), bundle)
      }
    })

    it('runs steps one after the other, however they arrive', async () => {
      const rotating = await createCa({ store: memoryStore(), trustDomain, clock: fakeClock(startMs) })
      const [one, two] = await Promise.all([rotating.rotate('introduce'), rotating.rotate('introduce')])
      assert.deepEqual(one, two)
      assert.equal(rotating.bundle().length, 2)
    })

    it('changes nothing if the store fails, and goes on when it works again', async () => {
      const memory = memoryStore()
      let broken = true
      const store: CaStore = { ...memory, save: (state) => (broken ? Promise.reject(new Error('disk full')) : memory.save(state)) }
      const rotating = await createCa({ store, trustDomain, clock: fakeClock(startMs) })
      const before = rotating.bundle()
      await assert.rejects(rotating.rotate('introduce'), /disk full/)
      assert.deepEqual(rotating.bundle(), before)
      broken = false
      assert.equal((await rotating.rotate('introduce')).phase, 'introduced')
    })

    it('goes on after a restart where it stood', async () => {
      const store = memoryStore()
      const clock = fakeClock(startMs)
      const before = await createCa({ store, trustDomain, clock })
      await before.rotate('introduce')
      const after = await createCa({ store, trustDomain, clock })
      assert.deepEqual([after.rotation(), after.bundle()], [before.rotation(), before.bundle()])
    })
  })

  it('refuses a store of another trust domain', async () => {
    const store = memoryStore()
    await createCa({ store, trustDomain, clock })
    await assert.rejects(createCa({ store, trustDomain: 'other', clock }), refused('store-mismatch', /cluster\.local/))
  })
})
