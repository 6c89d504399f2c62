import assert from 'node:assert/strict'
import fc from 'fast-check'
import { badCertificates, goodCertificates } from '../../ca/testing/bad-certs.ts'
import { craftAuthority, craftFixture, craftSvid } from '../../ca/testing/craft.ts'
import { time, toPem } from '../../ca/der.ts'
import type { SvidVerdict } from './svid.ts'
import { certificatesInPem, checkSvid, parseTrustBundle, svidRefusals } from './svid.ts'

const trustDomain = 'cluster.local'
const nowMs = Date.UTC(2026, 5, 7, 8, 9, 10)
const fixture = craftFixture({ trustDomain, nowMs })
const bundle = parseTrustBundle([fixture.rootPem])
const identity = { trustDomain, namespace: 'shop', serviceAccount: 'cart' }
const sides = ['client', 'server'] as const

const judge = (chain: readonly Uint8Array[], usage: 'client' | 'server' = 'client', now = nowMs): SvidVerdict =>
  checkSvid(chain, bundle, { trustDomain, nowMs: now, usage })
const codeOf = (verdict: SvidVerdict): string => (verdict.ok ? 'ok' : verdict.code)

describe('checkSvid', () => {
  describe('accepts an SVID', () => {
    for (const { name, chainPem } of goodCertificates(fixture)) {
      it(name, () => {
        for (const usage of sides) assert.deepEqual(judge(certificatesInPem(chainPem), usage), { ok: true, identity, notAfterMs: nowMs + 3_600_000 })
      })
    }

    it('from the first to the last second of its validity, and not a millisecond around it', () => {
      const chain = [craftSvid(fixture)]
      const [start, end] = [nowMs - 5 * 60_000, nowMs + 60 * 60_000]
      assert.deepEqual([start - 1, start, end, end + 1].map((now) => codeOf(judge(chain, 'client', now))), ['not-yet-valid', 'ok', 'ok', 'expired'])
    })

    it('until its intermediate expires, if that is sooner', () => {
      const brief = craftAuthority(fixture, 'brief', { issuer: fixture.root, notAfter: time(nowMs + 1000) })
      const verdict = judge([craftSvid(fixture, { issuer: brief }), brief.der])
      assert.equal(verdict.ok && verdict.notAfterMs, nowMs + 1000)
    })

    it('until its root expires, if that is sooner', () => {
      const brief = craftFixture({ trustDomain, nowMs: nowMs - 1_800_000 })
      const verdict = checkSvid([craftSvid({ ...brief, nowMs })], parseTrustBundle([brief.rootPem]), { trustDomain, nowMs, usage: 'client' })
      assert.equal(verdict.ok && verdict.notAfterMs, nowMs + 1_800_000)
    })
  })

  describe('refuses', () => {
    for (const bad of badCertificates(fixture)) {
      it(`${bad.name}: ${bad.refusedBy}`, () => {
        for (const usage of bad.usage === undefined ? sides : [bad.usage]) {
          const verdict = judge(certificatesInPem(bad.chainPem), usage)
          assert.equal(codeOf(verdict), bad.refusedBy, verdict.ok ? '' : verdict.message)
        }
      })
    }

    it('no certificate at all', () => {
      assert.equal(codeOf(judge([])), 'no-certificate')
    })

    it('an expired root', () => {
      const old = craftFixture({ trustDomain, nowMs: nowMs - 86_400_000 })
      const verdict = checkSvid([craftSvid({ ...old, nowMs })], parseTrustBundle([old.rootPem]), { trustDomain, nowMs, usage: 'client' })
      assert.equal(codeOf(verdict), 'invalid-issuer')
    })

    it('with advice for every code', () => {
      for (const bad of badCertificates(fixture)) {
        const verdict = judge(certificatesInPem(bad.chainPem), bad.usage)
        assert.ok(!verdict.ok && verdict.advice === svidRefusals[verdict.code] && verdict.message !== '')
      }
    })

    it('in every way that the table of codes names', () => {
      const seen = new Set(badCertificates(fixture).map(({ refusedBy }) => refusedBy))
      assert.deepEqual(Object.keys(svidRefusals).filter((code) => code !== 'no-certificate' && !seen.has(code as never)), [])
    })
  })

  it('looks at no certificate above the first one that a root issued', () => {
    assert.ok(judge([craftSvid(fixture), Buffer.from('nonsense')]).ok)
  })

  it('tells roots of the same name apart', () => {
    const twin = craftAuthority(fixture, 'crafted root')
    const both = parseTrustBundle([toPem('CERTIFICATE', twin.der), fixture.rootPem])
    for (const issuer of [twin, fixture.root]) assert.ok(checkSvid([craftSvid(fixture, { issuer })], both, { trustDomain, nowMs, usage: 'client' }).ok)
  })

  describe('on mutated certificates', () => {
    const good = craftSvid(fixture)

    it('never accepts one with other bytes, and never throws', () => {
      const edit = fc.record({ at: fc.nat(good.length - 1), mask: fc.integer({ min: 1, max: 255 }) })
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.constantFrom(...sides), (edits, usage) => {
          const copy = Buffer.from(good)
          for (const { at, mask } of edits) copy.writeUInt8((copy[at] ?? 0) ^ mask, at)
          fc.pre(!copy.equals(good))
          assert.equal(judge([copy], usage).ok, false)
        }),
        { numRuns: 500 },
      )
    })

    it('never accepts one with a single bit flipped, wherever it is', () => {
      for (let at = 0; at < good.length; at++) {
        const copy = Buffer.from(good)
        copy.writeUInt8((copy[at] ?? 0) ^ (1 << at % 8), at)
        assert.equal(judge([copy]).ok, false, `byte ${at}`)
      }
    })

    it('never accepts one with bytes cut out, put in or exchanged', () => {
      fc.assert(
        fc.property(fc.nat(good.length), fc.nat(40), fc.uint8Array({ maxLength: 40 }), (at, removed, added) => {
          const copy = Buffer.concat([good.subarray(0, at), added, good.subarray(at + removed)])
          fc.pre(!copy.equals(good))
          assert.equal(judge([copy]).ok, false)
        }),
        { numRuns: 500 },
      )
    })

    it('never throws on arbitrary bytes', () => {
      fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (chain) => !judge(chain).ok), { numRuns: 300 })
    })
  })
})

describe('parseTrustBundle', () => {
  it('reads several certificates of one PEM, each root once', () => {
    const other = toPem('CERTIFICATE', craftAuthority(fixture, 'other').der)
    assert.equal(parseTrustBundle([`# roots\n${fixture.rootPem}${other}`, fixture.rootPem]).roots.length, 2)
  })

  const notRoots: Record<string, readonly string[]> = {
    'an empty list': [],
    'an empty text': [''],
    'one root and one that is cut off': [fixture.rootPem, fixture.rootPem.slice(0, -30)],
    'one root and an empty text': [fixture.rootPem, ''],
    'a root and a private key in one text': [`${fixture.rootPem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`],
    'an SVID': [toPem('CERTIFICATE', craftSvid(fixture))],
    'bytes that are no certificate': [toPem('CERTIFICATE', Buffer.from('nonsense'))],
  }
  for (const [name, pems] of Object.entries(notRoots)) {
    it(`refuses ${name}: a bundle with a broken part must not look like a smaller one`, () => {
      assert.throws(() => parseTrustBundle(pems), /trust bundle|PEM/)
    })
  }
})
