import assert from 'node:assert/strict'
import { CaError } from '../../../ca/errors.ts'
import { makeRoot } from '../../../ca/root.ts'
import { startRotation } from '../../../ca/rotate.ts'
import { formatState } from '../../../ca/store.ts'
import { install } from '../../model/install.ts'
import { caNames } from './names.ts'
import { markerAnnotations } from './secret-store.ts'
import { accepted, hour, issueTo, namespace, startCluster, startMs, trustDomain, until, type Controller, type TestCluster } from './testing/cluster.ts'

const secret = { kind: 'Secret', namespace, name: install.caSecret }
const refused = (code: string) => (error: unknown): boolean => error instanceof CaError && error.code === code && error.advice !== ''

describe('openClusterCa', () => {
  let cluster: TestCluster
  beforeEach(async () => {
    cluster = await startCluster()
  })
  afterEach(() => cluster.close())

  const writesOfSecret = (): number => cluster.server.writes().filter((each) => each.resource === 'secrets').length
  const remember = (): void => {
    const { rotation } = cluster.kept()
    cluster.server.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: install.bundleConfigMap, namespace, annotations: { ...markerAnnotations(rotation) } } })
  }

  it('makes a root once, and issues what the mesh accepts', async () => {
    const { ca } = await cluster.open()
    const issued = await issueTo(ca)
    assert.ok(accepted(issued, ca.bundle(), startMs))
    const { ca: second } = await cluster.open()
    assert.deepEqual(second.bundle(), ca.bundle())
    const kept = cluster.server.get(secret)
    assert.equal(kept?.['type'], 'Opaque')
    assert.equal(kept.metadata.labels?.['app.kubernetes.io/managed-by'], 'waymark')
  })

  it('gives ten controllers that start at once the same root', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => cluster.open()))
    assert.equal(new Set(all.map(({ ca }) => ca.bundle().join())).size, 1)
    assert.deepEqual(all[0]?.ca.bundle(), cluster.kept().authorities.map(({ rootPem }) => rootPem))
  })

  it('writes nothing while nothing happens', async () => {
    const { ca } = await cluster.open()
    ca.setActive(true)
    await ca.idle()
    cluster.server.resetCounts()
    cluster.clock.advance(hour)
    await ca.idle()
    assert.equal(cluster.server.writes().length, 0)
  })

  describe('never makes a second root', () => {
    it('where the Secret is gone and the bundle knows that there was one', async () => {
      const { ca } = await cluster.open()
      ca.close()
      remember()
      cluster.server.delete(secret)
      await assert.rejects(cluster.open(), refused('store-lost'))
      assert.equal(cluster.server.get(secret), undefined)
    })

    it('where the bundle knows of one and no more', async () => {
      cluster.server.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: install.bundleConfigMap, namespace, annotations: { [caNames.generation]: 'x' } } })
      await assert.rejects(cluster.open(), refused('store-lost'))
    })

    it('but makes one where a bundle is deleted on purpose too', async () => {
      const { ca } = await cluster.open()
      ca.close()
      remember()
      cluster.server.delete(secret)
      cluster.server.delete({ kind: 'ConfigMap', namespace, name: install.bundleConfigMap })
      const { ca: next } = await cluster.open()
      assert.notDeepEqual(next.bundle(), ca.bundle())
    })

    for (const [name, text] of Object.entries({ 'is cut off': '{"form', 'is empty': '', 'is JSON of something else': '[]' })) {
      it(`where what the Secret holds ${name}`, async () => {
        const { ca } = await cluster.open()
        ca.close()
        cluster.overwrite(text)
        const before = cluster.server.get(secret)
        await assert.rejects(cluster.open(), refused('store-corrupt'))
        assert.deepEqual(cluster.server.get(secret), before)
      })
    }

    it('where the Secret has no such key', async () => {
      cluster.server.put({ apiVersion: 'v1', kind: 'Secret', metadata: { name: install.caSecret, namespace }, data: {} })
      await assert.rejects(cluster.open(), refused('store-corrupt'))
    })

    it('where the Secret holds another CA than the bundle knows', async () => {
      await cluster.open()
      remember()
      const stranger = makeRoot(trustDomain, { nowMs: startMs })
      cluster.edit((state) => ({ ...state, rotation: startRotation(stranger.id, startMs), authorities: [stranger] }))
      await assert.rejects(cluster.open(), refused('store-changed'))
    })

    it('where the Secret belongs to another trust domain', async () => {
      await cluster.open()
      await assert.rejects(cluster.open({ trustDomain: 'elsewhere' }), refused('store-mismatch'))
    })
  })

  describe('whose Secret is deleted while controllers run', () => {
    let leader: Controller
    let follower: Controller
    beforeEach(async () => {
      leader = await cluster.open()
      follower = await cluster.open()
      leader.ca.setActive(true)
      await Promise.all([leader.ca.idle(), follower.ca.idle()])
      // Watches are open: what happens next is seen.
      await until(() => cluster.server.watches.count() === 2, 'watches')
    })

    it('puts the same root back, by the leader alone, and says so', async () => {
      const before = cluster.kept()
      const writes = writesOfSecret()
      cluster.server.delete(secret)
      await until(() => cluster.server.get(secret) !== undefined, 'the Secret')
      await until(() => leader.events.length > 0, 'the event')
      assert.deepEqual(cluster.kept().rotation, before.rotation)
      assert.equal(writesOfSecret(), writes + 1)
      assert.deepEqual(leader.events.map(({ type, reason }) => `${type} ${reason}`), ['Warning CaRestored'])
      await follower.ca.idle()
      await until(() => follower.ca.problems().length === 0, 'the end of the problem')
      assert.deepEqual(leader.ca.problems(), [])
    })

    it('goes on from memory where nobody leads, and says so', async () => {
      leader.ca.close()
      cluster.server.delete(secret)
      await until(() => follower.ca.problems().length > 0, 'the problem')
      assert.match(follower.ca.problems().join(), /is gone/)
      assert.ok(accepted(await issueTo(follower.ca), follower.ca.bundle(), startMs))
      assert.equal(cluster.server.get(secret), undefined)
      follower.ca.setActive(true)
      await until(() => cluster.server.get(secret) !== undefined, 'the Secret')
      await until(() => follower.ca.problems().length === 0, 'the end of the problem')
    })

    it('is not put back by a controller that was cut off while the root was replaced', async () => {
      const client = cluster.server.client()
      // It neither sees a change nor may read, until it leads.
      let cut = false
      const late = await cluster.open({ client: { ...client, stream: () => new Promise(() => {}), read: (ref) => (cut ? new Promise(() => {}) : client.read(ref)) } })
      await late.ca.idle()
      cut = true
      await cluster.annotate({ [caNames.rotateTo]: '1', [caNames.rotateForce]: '1' })
      await until(() => leader.ca.rotation().generation === 1, 'the next generation')
      remember()
      for (const { ca } of [leader, follower]) ca.close()
      cluster.server.delete(secret)
      cut = false
      late.ca.setActive(true)
      await late.ca.idle()
      assert.equal(cluster.server.get(secret), undefined)
      assert.match(late.ca.problems().join(), /is not put back: it is of generation 0, and this mesh has reached 1; restore the Secret from a backup/)
    })
  })

  describe('whose Secret is changed by hand while it runs', () => {
    const damages: Record<string, (cluster: TestCluster) => void> = {
      'to what is no CA': ({ overwrite }) => overwrite('x'),
      'to nothing': ({ server }) => void server.put({ apiVersion: 'v1', kind: 'Secret', metadata: { name: install.caSecret, namespace }, data: {} }),
      'to another root': ({ edit }) => edit((state) => {
        const stranger = makeRoot(trustDomain, { nowMs: startMs })
        return { ...state, rotation: { ...state.rotation, signing: stranger.id, trusted: [stranger.id] }, authorities: [stranger] }
      }),
      'to the CA of another trust domain': ({ edit }) => edit((state) => ({ ...state, trustDomain: 'elsewhere' })),
      'to a lower generation': ({ edit }) => edit((state) => ({ ...state, rotation: { ...state.rotation, generation: state.rotation.generation - 1 } })),
    }
    for (const [name, damage] of Object.entries(damages)) {
      it(`${name} goes on from memory, overwrites nothing, says so, and goes on when it is mended`, async () => {
        const { ca, events } = await cluster.open()
        ca.setActive(true)
        await ca.idle()
        await until(() => cluster.server.watches.count() === 1, 'the watch')
        const good = cluster.kept()
        const bundle = ca.bundle()
        damage(cluster)
        const damaged = cluster.server.get(secret)
        await until(() => ca.problems().length > 0, 'the problem')
        await cluster.annotate({ [caNames.rotateTo]: '1' })
        await ca.idle()
        cluster.clock.advance(hour)
        await ca.idle()
        assert.deepEqual(ca.bundle(), bundle)
        assert.ok(accepted(await issueTo(ca), bundle, cluster.clock.now()))
        assert.deepEqual(cluster.server.get(secret)?.['data'], damaged?.['data'])
        assert.deepEqual(events.map(({ type, reason }) => `${type} ${reason}`), ['Warning CaRefused'])
        await cluster.annotate({ [caNames.rotateTo]: '0' })
        cluster.overwrite(formatState(good))
        // The watch saw an hour of silence meanwhile, and opens again after a pause.
        await cluster.turnUntil(1000, () => ca.problems().length === 0)
      })
    }
  })
})
