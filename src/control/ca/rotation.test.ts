import assert from 'node:assert/strict'
import { install } from '../../model/install.ts'
import type { Issued } from '../../model/credentials.ts'
import { caNames } from './names.ts'
import { accepted, hour, issueTo, namespace, startCluster, until, type Controller, type TestCluster } from './testing/cluster.ts'

const secret = { kind: 'Secret', namespace, name: install.caSecret }

describe('rotation in a cluster', () => {
  let cluster: TestCluster
  let one: Controller
  let two: Controller
  const both = (): readonly Controller[] => [one, two]
  const phases = (): readonly string[] => both().map(({ ca }) => `${ca.rotation().generation} ${ca.rotation().phase}`)
  const writes = (): number => cluster.server.writes().filter(({ resource, verb }) => resource === 'secrets' && verb === 'update').length

  beforeEach(async () => {
    cluster = await startCluster()
    one = await cluster.open()
    two = await cluster.open()
    one.ca.setActive(true)
    await Promise.all(both().map(({ ca }) => ca.idle()))
    await until(() => cluster.server.watches.count() === 2, 'watches')
  })
  afterEach(() => cluster.close())

  /** Turns time until both controllers stand there. */
  const reach = async (where: string): Promise<void> => {
    await cluster.turnUntil(120_000, () => phases().every((each) => each === where))
    for (const { ca } of both()) await ca.idle()
  }

  it('goes through all steps, an SVID lifetime apart, with every living SVID accepted by everybody at every moment', async () => {
    const [first] = one.ca.bundle()
    const alive: Issued[] = []
    const check = async (): Promise<void> => {
      for (const { ca } of both()) alive.push(await issueTo(ca))
      for (const issued of alive.filter(({ notAfterMs }) => notAfterMs >= cluster.clock.now())) {
        for (const { ca } of both()) assert.ok(accepted(issued, ca.bundle(), cluster.clock.now()))
        for (const other of alive.filter(({ notAfterMs }) => notAfterMs >= cluster.clock.now())) assert.ok(accepted(issued, other.trustBundlePem, cluster.clock.now()))
      }
    }
    await check()
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    const times: number[] = []
    for (const where of ['0 introduced', '0 signing', '1 steady']) {
      await reach(where)
      // Not when it was noticed, which may be turns later on a busy machine.
      times.push(one.ca.rotation().sinceMs)
      await check()
      assert.equal(one.ca.info().next?.step, { '0 introduced': 'sign', '0 signing': 'retire', '1 steady': undefined }[where])
    }
    const [introducedMs = 0, signingMs = 0, retiredMs = 0] = times
    assert.ok(signingMs - introducedMs >= hour && retiredMs - signingMs >= hour)
    assert.deepEqual(two.ca.bundle(), one.ca.bundle())
    assert.equal(one.ca.bundle().length, 1)
    assert.notEqual(one.ca.bundle()[0], first)
    assert.equal(writes(), 3)
    assert.deepEqual(one.events.map(({ reason }) => reason), ['RootIntroduced', 'RootSigns', 'RootRetired'])
    assert.deepEqual(two.events, [])
  })

  it('is not begun again by the same request, nor by a controller that starts', async () => {
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await reach('1 steady')
    await cluster.annotate({ [caNames.rotateTo]: '1', other: 'x' })
    const third = await cluster.open()
    third.ca.setActive(true)
    await third.ca.idle()
    await one.ca.idle()
    assert.equal(third.ca.rotation().generation, 1)
    assert.equal(third.ca.rotation().phase, 'steady')
  })

  it('goes on under another leader wherever the former one stopped, without a step more', async () => {
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    const leaders = [one, two]
    for (const where of ['0 introduced', '0 signing', '1 steady']) {
      const [leader, next] = leaders as [Controller, Controller]
      leader.ca.setActive(false)
      next.ca.setActive(true)
      leaders.reverse()
      await reach(where)
    }
    assert.equal(writes(), 3)
  })

  it('goes on after both controllers ended in the middle of it', async () => {
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    for (const where of ['0 introduced', '0 signing', '1 steady']) {
      await reach(where)
      for (const { ca } of both()) ca.close()
      one = await cluster.open()
      two = await cluster.open()
      two.ca.setActive(true)
    }
    assert.equal(writes(), 3)
  })

  it('takes no step twice where two believe that they lead', async () => {
    two.ca.setActive(true)
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await reach('1 steady')
    assert.deepEqual(two.ca.bundle(), one.ca.bundle())
    assert.equal([...one.events, ...two.events].length, 3)
  })

  it('goes on where the answer to a step got lost', async () => {
    let lost = 0
    const client = cluster.server.client()
    const third = await cluster.open({
      client: {
        ...client,
        replace: async (...args) => {
          const done = await client.replace(...args)
          if (lost++ === 0) throw new Error('the answer was lost')
          return done
        },
      },
    })
    one.ca.setActive(false)
    third.ca.setActive(true)
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await cluster.turnUntil(120_000, () => third.ca.rotation().generation === 1)
    assert.equal(lost, 3)
    assert.deepEqual(third.ca.problems(), [])
  })

  it('goes on where annotations change under a step', async () => {
    let count = 0
    const client = cluster.server.client()
    const third = await cluster.open({
      client: {
        ...client,
        replace: async (...args) => {
          await cluster.annotate({ count: String(count++) })
          return client.replace(...args)
        },
      },
    })
    one.ca.setActive(false)
    third.ca.setActive(true)
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    // Each write is overtaken until the tries are used up; the step is not lost by that.
    await cluster.turnUntil(120_000, () => third.lines.some((line) => line.includes('tried again')))
    third.ca.close()
    one.ca.setActive(true)
    await reach('1 steady')
  })

  it('skips the waits where it is forced, and waits again the next time', async () => {
    await cluster.annotate({ [caNames.rotateTo]: '1', [caNames.rotateForce]: '1' })
    await until(() => phases().every((each) => each === '1 steady'), 'the rotation')
    assert.deepEqual(two.ca.bundle(), one.ca.bundle())
    await cluster.annotate({ [caNames.rotateTo]: '2' })
    await until(() => phases().every((each) => each === '1 introduced'), 'the next one')
    await one.ca.idle()
    assert.equal(one.ca.rotation().phase, 'introduced')
  })

  it('is not begun by a request for a generation that is far, or is none, and says so', async () => {
    for (const wrong of ['2', '-1', '1.5', 'yes', '1'.repeat(50)]) {
      await cluster.annotate({ [caNames.rotateTo]: wrong })
      await until(() => one.ca.problems().length === 1 && one.ca.problems()[0]?.includes(JSON.stringify(wrong.slice(0, 40))) === true, 'the problem')
      assert.equal(one.ca.rotation().phase, 'steady')
    }
    await cluster.annotate({ [caNames.rotateTo]: '0' })
    await until(() => one.ca.problems().length === 0, 'the end of the problem')
  })

  it('comes to its end where its beginning was put into the future', async () => {
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await reach('0 introduced')
    cluster.edit((state) => ({ ...state, rotation: { ...state.rotation, sinceMs: state.rotation.sinceMs + 1000 * hour } }))
    const beganMs = cluster.clock.now()
    await reach('0 signing')
    assert.ok(cluster.clock.now() - beganMs <= 2 * hour)
  })

  it('does not go back where the Secret is put back to an earlier step', async () => {
    const earlier = cluster.server.get(secret)!
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await reach('0 introduced')
    const bundle = one.ca.bundle()
    cluster.server.put({ ...cluster.server.get(secret)!, data: earlier['data'] })
    await until(() => both().every(({ ca }) => ca.problems().length > 0), 'the problem')
    assert.deepEqual(both().map(({ ca }) => ca.bundle()), [bundle, bundle])
    // The advice: what the leader remembers comes back.
    cluster.server.delete(secret)
    await until(() => both().every(({ ca }) => ca.problems().length === 0), 'the end of the problem')
    assert.equal(cluster.kept().rotation.phase, 'introduced')
    await reach('1 steady')
  })

  it('takes no step for a controller that does not lead', async () => {
    one.ca.setActive(false)
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    for (let turns = 0; turns < 5; turns++) {
      cluster.clock.advance(hour)
      for (const { ca } of both()) await ca.idle()
    }
    assert.equal(writes(), 0)
    assert.deepEqual(phases(), ['0 steady', '0 steady'])
  })

  it('warns when a root comes near its end, with the command', () => {
    assert.deepEqual(one.ca.problems(), [])
    cluster.clock.advance(8.1 * 365 * 24 * hour)
    assert.match(one.ca.problems().join(), /ends at 2035-12-31.*waymark ca rotate/)
    cluster.clock.advance(2 * 365 * 24 * hour)
    assert.match(one.ca.problems().join(), /ended at/)
  })

  it('goes on where a listener fails, and tells the others', async () => {
    let told = 0
    one.ca.onChange(() => {
      throw new Error('no room')
    })
    one.ca.onChange(() => told++)
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    await reach('1 steady')
    assert.ok(told >= 3)
    assert.ok(one.lines.some((line) => line.includes('a defect in what follows from a change: no room')))
  })

  it('tells listeners of every step, and of nothing else', async () => {
    const seen: string[] = []
    const stop = two.ca.onChange(() => seen.push(`${two.ca.info().phase} ${two.ca.bundle().length}`))
    const bundles: number[] = []
    two.ca.onBundleChange((bundle) => bundles.push(bundle.length))
    await cluster.annotate({ [caNames.rotateTo]: '1' })
    for (const where of ['0 introduced', '0 signing', '1 steady']) await reach(where)
    stop()
    assert.deepEqual(seen, ['introduced 2', 'signing 2', 'steady 1'])
    assert.deepEqual(bundles, [2, 1])
  })
})
