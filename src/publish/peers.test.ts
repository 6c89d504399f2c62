import assert from 'node:assert/strict'
import { systemClock } from '../kit/clock.ts'
import { formatSpiffeId } from '../model/identity.ts'
import { createPeerAcks, type PeerAcks, type PeerAcksOptions } from './peers.ts'
import { controller, service, snapshotOf, startControlPlane, until, type ControlPlane, type TestController } from './testing/control.ts'

describe('what other controllers hear', () => {
  let plane: ControlPlane
  let here: TestController
  let there: TestController
  const made: PeerAcks[] = []
  const troubles: string[] = []
  const peers = (changes: Partial<PeerAcksOptions> = {}): PeerAcks => {
    const acks = createPeerAcks({
      credentials: here.credentials, controllerId: formatSpiffeId(controller), instance: here.server.instance, clock: systemClock,
      resolve: () => [here, there].map(({ server }) => server.address), onChange: () => {}, onTrouble: (message) => troubles.push(message), ...changes,
    })
    made.push(acks)
    return acks
  }

  beforeEach(async () => {
    troubles.length = 0
    plane = await startControlPlane()
    here = await plane.start()
    there = await plane.start()
    for (const { publisher } of [here, there]) publisher.publish(snapshotOf(service('shop', 'cart')))
  })
  afterEach(async () => {
    for (const each of made.splice(0)) each.close()
    await plane.close()
  })

  it('is told by each, and our own subscribers are not among it', async () => {
    await plane.join({ pod: 'at-there', resolve: () => Promise.resolve([there.server.address.host]) })
    await plane.join({ pod: 'at-here', resolve: () => Promise.resolve([here.server.address.host]) })
    const hash = there.publisher.hash({ kind: 'entry', namespace: 'shop' })
    let changes = 0
    const acks = peers({ onChange: () => changes++ })
    await until('it is told', () => acks.acknowledgements()[0]?.hash === hash)
    assert.deepEqual(acks.acknowledgements().map(({ pod }) => pod), ['at-there'])
    assert.ok(changes > 0)
    // Of ourselves: the stream is given up as soon as the instance is known.
    await until('only two subscribers are here', () => here.server.connections() === 1)
    assert.deepEqual(troubles, [])
  })

  it('has the same hash at both, so that either can judge what pods of the other run', () => {
    assert.equal(here.publisher.hash({ kind: 'waypoint', namespace: 'shop' }), there.publisher.hash({ kind: 'waypoint', namespace: 'shop' }))
  })

  it('counts on for a while when a controller goes, until its subscribers have gone elsewhere', async () => {
    const member = await plane.join({ pod: 'moves', resolve: () => Promise.resolve([there.server.address.host]) })
    const waits: (() => void)[] = []
    const acks = peers({ clock: { now: systemClock.now, after: (delayMs, task) => (delayMs === 20_000 ? (waits.push(task), () => {}) : systemClock.after(delayMs, task)) } })
    await until('it is told', () => acks.acknowledgements().length === 1)
    await member.close()
    await until('it is told', () => acks.acknowledgements().length === 0)
    await plane.join({ pod: 'stays', resolve: () => Promise.resolve([there.server.address.host]) })
    await until('it is told', () => acks.acknowledgements().length === 1)
    await there.server.close(0)
    await until('the stream is gone', () => waits.length === 1)
    assert.deepEqual(acks.acknowledgements().map(({ pod }) => pod), ['stays'])
    waits[0]?.()
    assert.deepEqual(acks.acknowledgements(), [])
  })

  it('follows controllers that come and go', async () => {
    let addresses = [here.server.address]
    const acks = peers({ resolve: () => addresses })
    await plane.join({ pod: 'at-there', resolve: () => Promise.resolve([there.server.address.host]) })
    assert.deepEqual(acks.acknowledgements(), [])
    addresses = [here.server.address, there.server.address]
    acks.refresh()
    await until('it is told', () => acks.acknowledgements().length === 1)
  })

  it('stays with those it knows, and says so once, while where they are can not be told', async () => {
    let broken = false
    const acks = peers({
      resolve: () => {
        if (broken) throw new TypeError('addresses is not iterable')
        return [there.server.address]
      },
    })
    await plane.join({ pod: 'at-there', resolve: () => Promise.resolve([there.server.address.host]) })
    broken = true
    acks.refresh()
    acks.refresh()
    assert.deepEqual(troubles, ['the other controllers are not known: addresses is not iterable'])
    await until('it is told', () => acks.acknowledgements().length === 1)
  })
})
