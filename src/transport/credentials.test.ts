import assert from 'node:assert/strict'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import type { Ca } from '../../ca/server.ts'
import { createCa } from '../../ca/server.ts'
import { memoryStore } from '../../ca/store.ts'
import type { FakeClock } from '../kit/testing/fake-clock.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import type { Credentials, Issued } from '../model/credentials.ts'
import type { Identity } from '../model/identity.ts'
import type { CredentialKeeper, KeepOptions } from './credentials.ts'
import { keepCredentials } from './credentials.ts'

const trustDomain = 'cluster.local'
const identity: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'cart' }
const startMs = Date.UTC(2026, 2, 3, 4, 5, 6)
const minute = 60_000

/** A CA whose answers a test may change or hold back. */
interface Bench {
  readonly clock: FakeClock
  readonly ca: Ca
  readonly errors: Error[]
  /** How often the CA was asked. */
  asked: number
  answer: (publicKeyPem: string) => Promise<Issued>
  readonly keep: (options?: Partial<KeepOptions>) => Promise<CredentialKeeper>
}

async function bench(): Promise<Bench> {
  const clock = fakeClock(startMs)
  const ca = await createCa({ store: memoryStore(), trustDomain, clock })
  const made: Bench = {
    clock,
    ca,
    errors: [],
    asked: 0,
    answer: (publicKeyPem) => ca.issue(identity, publicKeyPem),
    keep: (options) =>
      keepCredentials({
        identity,
        clock,
        random: () => 0.5,
        onError: (error) => made.errors.push(error),
        fetch: (publicKeyPem) => {
          made.asked++
          return made.answer(publicKeyPem)
        },
        ...options,
      }),
  }
  return made
}

const fails = (): Promise<Issued> => Promise.reject(new Error('the CA is away'))

/** An answer that comes when the test says so. */
function held(): { readonly answer: Promise<Issued>; readonly give: (issued: Issued) => void } {
  const { promise, resolve } = Promise.withResolvers<Issued>()
  return { answer: promise, give: resolve }
}

describe('keepCredentials', () => {
  it('gives an SVID with its own key and the whole bundle', async () => {
    const { ca, keep } = await bench()
    const { certificateChainPem, privateKeyPem, sharedSecret, ...rest } = (await keep()).current()
    assert.match(sharedSecret ?? '', /^[A-Za-z0-9+/]{43}=$/)
    assert.ok(new X509Certificate(certificateChainPem).checkPrivateKey(createPrivateKey(privateKeyPem)))
    assert.deepEqual(rest, { identity, trustBundlePem: ca.bundle(), notBeforeMs: startMs - 5 * minute, notAfterMs: startMs + 60 * minute })
  })

  describe('renews', () => {
    for (const [random, minutes] of [[0, 27], [0.5, 30], [1, 33]] as const) {
      it(`at half life, spread by a tenth of the life: after ${minutes} of 60 minutes at ${random}`, async () => {
        const at = await bench()
        const keeper = await at.keep({ random: () => random })
        at.clock.advance(minutes * minute - 1)
        assert.equal(at.asked, 1)
        at.clock.advance(1)
        assert.equal(at.asked, 2)
        await keeper.refresh()
        assert.equal(keeper.current().notAfterMs, startMs + (60 + minutes) * minute)
      })
    }

    it('again and again, each time with a new key, and tells who listens', async () => {
      const at = await bench()
      const keeper = await at.keep()
      const keys = new Set([keeper.current().privateKeyPem])
      const stop = keeper.onChange((credentials) => keys.add(credentials.privateKeyPem))
      for (let count = 0; count < 3; count++) {
        at.clock.advance(30 * minute)
        await keeper.refresh()
        assert.ok(keys.has(keeper.current().privateKeyPem))
      }
      assert.deepEqual([at.asked, keys.size], [4, 4])
      stop()
      at.clock.advance(30 * minute)
      await keeper.refresh()
      assert.deepEqual([at.asked, keys.size], [5, 4])
    })

    it('once, however many ask at the same time', async () => {
      const at = await bench()
      const keeper = await at.keep()
      await Promise.all([keeper.refresh(), keeper.refresh(), keeper.refresh()])
      assert.equal(at.asked, 2)
    })

    it('counts from a renewal that was asked for, not from the one before', async () => {
      const at = await bench()
      const keeper = await at.keep()
      at.clock.advance(20 * minute)
      await keeper.refresh()
      at.clock.advance(29 * minute)
      assert.equal(at.asked, 2)
      at.clock.advance(minute)
      assert.equal(at.asked, 3)
    })

    it('not more than once a second, however short the SVID lives', async () => {
      const at = await bench()
      const brief = await createCa({ store: memoryStore(), trustDomain, clock: at.clock, svidLifetimeMs: 1000 })
      at.answer = (publicKeyPem) => brief.issue(identity, publicKeyPem)
      await at.keep()
      at.clock.advance(999)
      assert.equal(at.asked, 1)
    })

    it('at a time that a timer of Node can hold, however long the SVID lives', async () => {
      const at = await bench()
      const year = await createCa({ store: memoryStore(), trustDomain, clock: at.clock, svidLifetimeMs: 365 * 86_400_000 })
      at.answer = (publicKeyPem) => year.issue(identity, publicKeyPem)
      const delays: number[] = []
      await at.keep({ clock: { ...at.clock, after: (delayMs, task) => (delays.push(delayMs), at.clock.after(delayMs, task)) } })
      assert.ok(delays.every((each) => each < 2 ** 31), delays.join())
    })
  })

  describe('when the CA fails', () => {
    it('serves on with what it has, and tries again after growing pauses until it succeeds', async () => {
      const at = await bench()
      const keeper = await at.keep()
      const before = keeper.current()
      const good = at.answer
      at.answer = fails
      at.clock.advance(30 * minute)
      for (const pauseMs of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
        await turn()
        const asked = at.asked
        at.clock.advance(pauseMs - 1)
        assert.equal(at.asked, asked, `sooner than ${pauseMs} ms`)
        at.clock.advance(1)
        assert.equal(at.asked, asked + 1, `not after ${pauseMs} ms`)
      }
      await turn()
      assert.equal(keeper.current(), before)
      assert.equal(at.errors.length, 9)
      assert.match(String(at.errors[0]), /the CA is away/)

      at.answer = good
      await keeper.refresh()
      assert.notEqual(keeper.current(), before)
      at.answer = fails
      at.clock.advance(30 * minute)
      await turn()
      at.clock.advance(500)
      assert.equal(at.asked, 13, 'the pauses begin anew after a success')
    })

    it('waits for the first answer', async () => {
      const at = await bench()
      const good = at.answer
      at.answer = fails
      const keeping = at.keep()
      await turn()
      at.answer = good
      at.clock.advance(500)
      assert.equal((await keeping).current().identity, identity)
      assert.equal(at.errors.length, 1)
    })

    it('stops waiting for the first answer when told', async () => {
      const at = await bench()
      at.answer = fails
      const stop = new AbortController()
      const keeping = at.keep({ signal: stop.signal })
      await turn()
      stop.abort(new Error('shutting down'))
      await assert.rejects(keeping, /shutting down/)
      at.clock.advance(60 * minute)
      assert.equal(at.asked, 1)
      await assert.rejects(at.keep({ signal: AbortSignal.abort() }))
      assert.equal(at.asked, 1)
    })

    it('does not wait forever for one answer', async () => {
      const at = await bench()
      const keeper = await at.keep()
      at.answer = () => new Promise(() => {})
      const refreshing = keeper.refresh()
      at.clock.advance(10_000)
      await assert.rejects(refreshing, /did not answer within 10000 ms/)
    })
  })

  describe('refuses an answer', () => {
    const cases: Record<string, (at: Bench, publicKeyPem: string) => Promise<Partial<Issued>>> = {
      'for another identity': (at, key) => at.ca.issue({ ...identity, serviceAccount: 'admin' }, key),
      'for another key': async (at) => at.ca.issue(identity, new X509Certificate((await at.keep()).current().certificateChainPem).publicKey.export({ type: 'spki', format: 'pem' }).toString()),
      'that its own bundle does not cover': async (at) => ({ trustBundlePem: (await createCa({ store: memoryStore(), trustDomain, clock: at.clock })).bundle() }),
      'without a bundle': () => Promise.resolve({ trustBundlePem: [] }),
      'without a certificate': () => Promise.resolve({ certificateChainPem: '' }),
      'that lives shorter than it says': () => Promise.resolve({ notAfterMs: startMs + 120 * minute }),
    }
    for (const [name, change] of Object.entries(cases)) {
      it(name, async () => {
        const at = await bench()
        const keeper = await at.keep()
        const before = keeper.current()
        const good = at.answer
        at.answer = async (key) => {
          const issued = await good(key)
          at.answer = good
          return { ...issued, ...(await change(at, key)) }
        }
        await assert.rejects(keeper.refresh())
        assert.equal(keeper.current(), before)
        assert.equal(at.errors.length, 1)
      })
    }
  })

  describe('when the bundle changes', () => {
    it('takes over the new roots at once, without a new SVID', async () => {
      const at = await bench()
      const keeper = await at.keep()
      const before = keeper.current()
      const seen: Credentials[] = []
      keeper.onChange((credentials) => seen.push(credentials))
      at.ca.onBundleChange(keeper.updateBundle)
      await at.ca.rotate('introduce')
      assert.deepEqual(seen, [{ ...before, trustBundlePem: at.ca.bundle() }])
      assert.equal(keeper.current().trustBundlePem.length, 2)
      assert.equal(at.asked, 1)
      keeper.updateBundle(at.ca.bundle())
      assert.equal(seen.length, 1, 'the same bundle again is no change')
    })

    it('renews at once if the new roots no longer cover the SVID', async () => {
      const at = await bench()
      const keeper = await at.keep()
      at.ca.onBundleChange(keeper.updateBundle)
      for (const step of ['introduce', 'sign'] as const) await at.ca.rotate(step, { force: true })
      assert.equal(at.asked, 1)
      await at.ca.rotate('retire', { force: true })
      assert.equal(at.asked, 2)
      await keeper.refresh()
      const [root] = keeper.current().trustBundlePem
      assert.ok(new X509Certificate(keeper.current().certificateChainPem).verify(new X509Certificate(root ?? '').publicKey))
    })

    it('does not fall back to the roots of an answer that was under way', async () => {
      const at = await bench()
      const keeper = await at.keep()
      const slow = held()
      let early: Promise<Issued> | undefined
      at.answer = (key) => {
        early = at.ca.issue(identity, key)
        return slow.answer
      }
      const refreshing = keeper.refresh()
      const old = await early
      await at.ca.rotate('introduce')
      keeper.updateBundle(at.ca.bundle())
      assert.ok(old)
      slow.give(old)
      await refreshing
      assert.equal(keeper.current().certificateChainPem, old.certificateChainPem)
      assert.equal(keeper.current().trustBundlePem.length, 2)
    })

    it('takes the roots of a later answer, should a change have been missed', async () => {
      const at = await bench()
      const keeper = await at.keep()
      keeper.updateBundle(at.ca.bundle())
      await at.ca.rotate('introduce')
      await keeper.refresh()
      assert.deepEqual(keeper.current().trustBundlePem, at.ca.bundle())
    })

    it('keeps the present roots if the new ones can not be read', async () => {
      const at = await bench()
      const keeper = await at.keep()
      const before = keeper.current()
      assert.throws(() => keeper.updateBundle(['nonsense']), /PEM/)
      assert.throws(() => keeper.updateBundle([]), /no certificate/)
      assert.equal(keeper.current(), before)
    })
  })

  it('goes on when a listener throws', async () => {
    const at = await bench()
    const keeper = await at.keep()
    let heard = 0
    keeper.onChange(() => {
      throw new Error('broken listener')
    })
    keeper.onChange(() => heard++)
    await keeper.refresh()
    assert.equal(heard, 1)
    assert.match(String(at.errors[0]), /broken listener/)
  })

  it('does nothing any more once closed, not even with an answer that was under way', async () => {
    const at = await bench()
    const keeper = await at.keep()
    const before = keeper.current()
    const slow = held()
    const good = at.answer
    at.answer = async (key) => {
      const issued = await good(key)
      await slow.answer
      return issued
    }
    at.clock.advance(30 * minute)
    keeper.close()
    slow.give(await good(new X509Certificate(before.certificateChainPem).publicKey.export({ type: 'spki', format: 'pem' }).toString()))
    await turn()
    at.clock.advance(60 * minute)
    assert.equal(at.asked, 2)
    assert.equal(keeper.current(), before)
    await assert.rejects(keeper.refresh(), /closed/)
  })
})
