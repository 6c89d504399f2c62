import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import type { Identity } from '../model/identity.ts'
import type { Entry } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { service, snapshotOf, startControlPlane, trustDomain, until, type ControlPlane, type TestController } from './testing/control.ts'

const agent: Identity = { trustDomain, namespace: 'waymark-system', serviceAccount: 'waymark-agent' }
const { publicKey: publicKeyPem } = generateKeyPairSync('ec', {
  namedCurve: 'prime256v1', publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})
const till = `spiffe://${trustDomain}/ns/shop/sa/till`
const routes = (level: 'producer' | 'consumer'): Entry => ({
  kind: 'routes', level, namespace: 'shop', service: { namespace: 'books', name: 'reviews' }, port: 80, routes: { kind: 'tcp', rules: [] },
}) as unknown as Entry

describe("a node's agent", () => {
  let plane: ControlPlane
  let started: TestController
  beforeEach(async () => {
    plane = await startControlPlane()
    started = await plane.start({ mayActFor: (owner, identity) => (owner.identity.serviceAccount === agent.serviceAccount && identity.namespace === 'shop') || 'no such pod here' })
    started.publisher.publish(snapshotOf(service('shop', 'cart'), service('books', 'reviews'), routes('producer'), routes('consumer')))
  })
  afterEach(() => plane.close())

  const join = (changes: object = {}) => plane.join({ identity: agent, subscriber: { kind: 'agent', namespace: agent.namespace }, pod: 'agent-1', ...changes })

  it('sees every destination, and of the routes those that callers have of their own', async () => {
    let seen: Snapshot = new Map()
    await join({ onSnapshot: (snapshot: Snapshot) => void (seen = snapshot) })
    assert.deepEqual([...seen.keys()].sort(), ['routes/consumer/shop/books/reviews/80', 'service/books/reviews', 'service/shop/cart'])
  })

  it('gets certificates in the name of pods, several at a time, and no others', async () => {
    const member = await join()
    const issued = await Promise.all([member.signFor(till, publicKeyPem), member.signFor(till, publicKeyPem)])
    for (const { certificateChainPem } of issued) assert.equal(new X509Certificate(certificateChainPem).subjectAltName, `URI:${till}`)
    await assert.rejects(member.signFor(`spiffe://${trustDomain}/ns/bank/sa/boss`, publicKeyPem), /no such pod here/)
    await assert.rejects(member.signFor('spiffe://x', publicKeyPem))
  })

  it('asks for four certificates of its pods at a time, while the API server thinks', async () => {
    const waiting: (() => void)[] = []
    let asked = 0
    await plane.start({
      publisher: started.publisher, mayActFor: () => true,
      reviewToken: async () => {
        // The first one is for its own certificate.
        if (++asked > 1) await new Promise<void>((resolve) => waiting.push(resolve))
        return { identity: agent }
      },
    })
    await started.server.close(50)
    const member = await join()
    const all = Promise.all(Array.from({ length: 10 }, () => member.signFor(till, publicKeyPem)))
    await until('four are being judged', () => waiting.length === 4)
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(asked, 5)
    const release = setInterval(() => waiting.splice(0).forEach((go) => go()), 5)
    assert.equal((await all).length, 10)
    clearInterval(release)
    assert.equal(asked, 11)
  })

  it('is the only one who may ask in the name of others', async () => {
    const other = await plane.join()
    await assert.rejects(other.signFor(till, publicKeyPem), /no such pod here/)
  })

  it('says which pods are captured, to each controller that it comes to', async () => {
    const member = await join()
    member.report({ 'uid-1': '', 'uid-2': 'port 15008 is taken' })
    const said = (server: TestController): unknown => server.server.acknowledgements().find(({ kind }) => kind === 'agent')?.captures
    await until('it is heard', () => said(started) !== undefined)
    assert.deepEqual(said(started), { 'uid-1': '', 'uid-2': 'port 15008 is taken' })
    const second = await plane.start({ publisher: started.publisher })
    await started.server.close(50)
    await until('the other one hears it', () => said(second) !== undefined)
  })

  it('proves in which pod it runs when it says so, once a stream, also if that can not be known at first', async () => {
    let asked = 0
    const away = await plane.start({
      publisher: started.publisher,
      reviewToken: () => {
        asked++
        if (asked === 2) return Promise.reject(new Error('the API server is away'))
        return Promise.resolve({ identity: agent, pod: { name: 'agent-7', uid: 'uid-7' } })
      },
    })
    await started.server.close(50)
    const member = await join()
    member.report({ 'uid-1': '' })
    const heard = (): unknown => away.server.acknowledgements().find(({ captures }) => captures !== undefined)
    await until('it is heard', () => heard() !== undefined)
    // For its certificate, in vain, and again.
    assert.equal(asked, 3)
    member.report({ 'uid-1': 'x'.repeat(300) })
    const why = (): string | undefined => (heard() as { readonly captures: Record<string, string> }).captures['uid-1']
    await until('the next word is heard', () => why() !== '')
    assert.match(why() ?? '', /^x{150,198}…$/)
    assert.deepEqual([asked, (heard() as { readonly bound: unknown }).bound], [3, { name: 'agent-7', uid: 'uid-7' }])
  })

  it('is the only one who may say that', async () => {
    const other = await plane.join()
    other.report({ 'uid-1': '' })
    await until('it is told off', () => plane.troubles.some((line) => /only a node's agent captures pods/.test(line)))
  })
})
