import assert from 'node:assert/strict'
import fc from 'fast-check'
import { startApiServer } from '../../test/simulated/api-server.ts'
import { fakeClock } from '../kit/testing/fake-clock.ts'
import { startLeaderElection, type LeaderElection } from './leader.ts'
import { leaseWorld, stepMs, type Member, type Way } from './testing/leases.ts'
import { KubeError } from '../kube/errors.ts'

const leaders = (members: readonly Member[]): number => members.filter(({ election, paused }) => !paused && election.leading()).length

describe('leader election', function () {
  this.timeout(20_000)

  it('makes one of two the leader, and says who to both', async () => {
    const world = leaseWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    await world.pass(5_000)
    assert.deepEqual([a.election.leading(), b.election.leading()], [true, false])
    assert.deepEqual([a.changes, b.changes], [[true], []])
    assert.deepEqual([a.election.holder(), b.election.holder()], ['a', 'a'])
  })

  it('writes times with exactly six fractional digits, and a version with every change', async () => {
    const world = leaseWorld()
    world.join('a')
    await world.pass(10_000)
    assert.ok(world.written.length >= 4)
    for (const spec of world.written as Record<string, unknown>[]) {
      for (const field of ['acquireTime', 'renewTime']) assert.match(String(spec[field]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
      assert.deepEqual([spec['holderIdentity'], spec['leaseDurationSeconds'], spec['leaseTransitions']], ['a', 15, 0])
    }
    assert.equal(new Set((world.written as Record<string, unknown>[]).map((spec) => spec['acquireTime'])).size, 1)
  })

  it('lets another take over within lease and retry after the leader has died, whatever the clocks say', async () => {
    for (const skewMs of [-3_600_000, 0, 3_600_000]) {
      const world = leaseWorld()
      const [a, b] = [world.join('a'), world.join('b', skewMs)]
      await world.pass(5_000)
      a.paused = true
      await world.pass(12_000)
      assert.equal(b.election.leading(), false, 'as long as the dead one might lead')
      await world.pass(8_000)
      assert.equal(b.election.leading(), true)
      assert.equal((world.lease()?.['spec'] as { leaseTransitions: number }).leaseTransitions, 1)
    }
  })

  it('gives the lease up when it is closed, so that another leads at its next try', async () => {
    const world = leaseWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    await world.pass(5_000)
    const closing = a.election.close()
    assert.deepEqual(a.changes, [true, false], 'before the lease is given up')
    await closing
    assert.equal((world.lease()?.['spec'] as { holderIdentity: string }).holderIdentity, '')
    await world.pass(2_500)
    assert.equal(b.election.leading(), true)
    assert.equal(a.election.leading(), false)
  })

  it('gives nothing up that is not its own', async () => {
    const world = leaseWorld()
    const [, b] = [world.join('a'), world.join('b')]
    await world.pass(5_000)
    await b.election.close()
    assert.equal((world.lease()?.['spec'] as { holderIdentity: string }).holderIdentity, 'a')
    assert.deepEqual(b.changes, [])
  })

  it('gives up a lease that it was just about to get when it was closed', async () => {
    const world = leaseWorld(() => ({ thereMs: 500, backMs: 500, fate: 'arrives' }))
    const a = world.join('a')
    await world.pass(1_800)
    const closing = a.election.close()
    await world.pass(4_000)
    await closing
    assert.equal((world.lease()?.['spec'] as { holderIdentity: string }).holderIdentity, '')
    assert.deepEqual(a.changes, [])
  })

  it('stops leading when no renewal gets through, before the lease can be taken', async () => {
    let cut = false
    const world = leaseWorld(() => ({ thereMs: 0, backMs: 0, fate: cut ? 'lost' : 'arrives' }))
    const a = world.join('a')
    await world.pass(5_000)
    cut = true
    await world.pass(7_000)
    assert.equal(a.election.leading(), true)
    await world.pass(3_100)
    assert.deepEqual(a.changes, [true, false])
    assert.ok(a.log.some((line) => line.includes('could not be renewed for 10 s')), a.log.join('\n'))
    cut = false
    await world.pass(3_000)
    assert.deepEqual(a.changes, [true, false, true])
  })

  it('tries again when an answer does not come', async () => {
    let hang = false
    const world = leaseWorld(() => ({ thereMs: hang ? 3_600_000 : 0, backMs: 0, fate: 'arrives' }))
    const a = world.join('a')
    await world.pass(5_000)
    hang = true
    await world.pass(4_000)
    hang = false
    await world.pass(20_000)
    assert.deepEqual(a.changes, [true])
  })

  it('does not lead by an answer that took longer than it would lead', async () => {
    const world = leaseWorld(() => ({ thereMs: 0, backMs: 1_000, fate: 'arrives' }))
    const a = world.join('a')
    await world.pass(1_500)
    a.skewMs += 11_000
    await world.pass(1_500)
    assert.equal(world.written.length, 1)
    assert.deepEqual(a.changes, [])
    await world.pass(4_000)
    assert.deepEqual(a.changes, [true])
  })

  it('stops at once when another has taken the lease', async () => {
    const world = leaseWorld()
    const a = world.join('a')
    await world.pass(5_000)
    const lease = world.lease()!
    world.set({ ...lease, spec: { ...(lease['spec'] as object), holderIdentity: 'b' } })
    await world.pass(2_500)
    assert.deepEqual(a.changes, [true, false])
    assert.equal(a.election.holder(), 'b')
  })

  it('keeps a lease that somebody else has only labelled', async () => {
    const world = leaseWorld()
    const a = world.join('a')
    await world.pass(5_000)
    const lease = world.lease()!
    world.set({ ...lease, metadata: { ...lease.metadata, labels: { a: 'b' } } })
    await world.pass(5_000)
    assert.deepEqual(a.changes, [true])
    assert.deepEqual(world.lease()?.metadata.labels, { a: 'b' })
  })

  it('waits for the holder that it saw also if the lease is deleted', async () => {
    const world = leaseWorld()
    const [a, b] = [world.join('a'), world.join('b')]
    await world.pass(5_000)
    a.paused = true
    world.set(undefined)
    await world.pass(10_000)
    assert.equal(b.election.leading(), false)
    await world.pass(8_000)
    assert.equal(b.election.leading(), true)
  })

  it('tells what permission is missing, once', async () => {
    const world = leaseWorld()
    const forbidden = (): Promise<never> => Promise.reject(new KubeError(403, 'Forbidden', 'leases is forbidden'))
    const a = world.join('a', 0, { client: { read: forbidden, create: forbidden, replace: forbidden, refresh: () => {} } })
    await world.pass(10_000)
    assert.equal(a.log.length, 1)
    assert.match(a.log[0]!, /forbidden; the service account must get, create and update leases in namespace system/)
  })

  it('reads its token anew when it is no longer taken', async () => {
    const world = leaseWorld()
    let refreshed = 0
    const stale = (): Promise<never> => Promise.reject(new KubeError(401, 'Unauthorized', 'Unauthorized'))
    world.join('a', 0, { client: { read: stale, create: stale, replace: stale, refresh: () => refreshed++ } })
    await world.pass(3_000)
    assert.ok(refreshed >= 1)
  })

  it('speaks to an API server', async () => {
    const server = await startApiServer()
    const client = server.client()
    const clock = fakeClock(Date.parse('2026-05-01T10:00:00Z'))
    const changes: string[] = []
    const elect = (identity: string): LeaderElection => startLeaderElection({
      client, clock, namespace: 'system', name: 'controller', identity, log: () => {},
      onChange: (leading) => void changes.push(`${identity} ${leading}`),
    })
    const until = async (count: number): Promise<void> => {
      while (changes.length < count) {
        clock.advance(50)
        await new Promise((resolve) => void setImmediate(resolve))
      }
    }
    const a = elect('a')
    await until(1)
    const b = elect('b')
    clock.advance(5_000)
    await a.close()
    await until(3)
    assert.deepEqual(changes, ['a true', 'a false', 'b true'])
    const spec = server.get({ kind: 'Lease', namespace: 'system', name: 'controller' })?.['spec'] as Record<string, unknown>
    assert.deepEqual([spec['holderIdentity'], spec['leaseTransitions']], ['b', 1])
    await b.close()
    client.close()
    await server.close()
  })

  it('refuses durations that would let two lead', () => {
    const world = leaseWorld()
    assert.throws(() => world.join('a', 0, { leaseDurationMs: 10_000 }), /renewDeadlineMs < leaseDurationMs/)
    assert.throws(() => world.join('a', 0, { retryMs: 9_000 }), /retryMs/)
  })

  it('never has two leaders, whatever the network, the clocks and the machines do', async function () {
    this.timeout(60_000)
    const way = fc.record<Way>({
      thereMs: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.integer({ min: 1, max: 8 }).map((n) => n * 500) }, { weight: 1, arbitrary: fc.integer({ min: 5, max: 40 }).map((n) => n * 1_000) }),
      backMs: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.integer({ min: 1, max: 12 }).map((n) => n * 1_000) }),
      fate: fc.oneof({ weight: 12, arbitrary: fc.constant<Way['fate']>('arrives') }, { weight: 1, arbitrary: fc.constantFrom<Way['fate']>('lost', 'unanswered') }),
    })
    const deed = fc.record({
      afterMs: fc.integer({ min: 1, max: 160 }).map((n) => n * 100),
      who: fc.integer({ min: 0, max: 1 }),
      what: fc.constantFrom('pause', 'resume', 'clock', 'close', 'cut', 'join'),
      skewMs: fc.integer({ min: -60_000, max: 60_000 }),
    })
    const ever = { led: 0, changed: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(way, { minLength: 40, maxLength: 80 }), fc.array(deed, { minLength: 4, maxLength: 24 }), fc.boolean(), async (ways, deeds, sleepy) => {
        let at = 0
        const cut = new Set<string>()
        const world = leaseWorld((identity) => {
          const given = ways[at++ % ways.length]!
          return cut.has(identity) ? { ...given, fate: 'lost' } : given
        })
        const names = ['a', 'b']
        const members = [world.join('a', -1_000_000), world.join('b', 1_000_000)]
        let count = 0
        for (const { afterMs, who, what, skewMs } of [...deeds, { afterMs: 20_000, who: 0, what: 'join', skewMs: 0 }]) {
          for (let passed = 0; passed < afterMs; passed += stepMs) {
            await world.pass(stepMs)
            count = Math.max(count, leaders(members))
            assert.ok(leaders(members) <= 1, 'two leaders at once')
          }
          const member = members[who]!
          // A machine that sleeps and whose clock is set back by as much meanwhile can tell by nothing that time has passed.
          if (what === 'pause') member.paused = sleepy
          else if (what === 'resume') member.paused = false
          else if (what === 'clock') member.skewMs += sleepy ? Math.abs(skewMs) : skewMs
          else if (what === 'cut') cut.add(names[who]!)
          else if (what === 'join') cut.clear()
          else if (!member.paused) {
            void member.election.close()
            const name = `${names[who]!}+`
            names[who] = name
            members[who] = world.join(name, skewMs)
          }
        }
        ever.led += count
        ever.changed += members.reduce((sum, { changes }) => sum + changes.length, 0)
      }),
      { numRuns: 150 },
    )
    assert.ok(ever.led > 20 && ever.changed > 2 * ever.led, 'there were leaders to be told apart')
  })
})
