import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../kit/clock.ts'
import { fakeClock, type FakeClock } from '../../kit/testing/fake-clock.ts'
import { HboneError } from '../../transport/errors.ts'
import { createHboneClient, type HboneClient } from '../../transport/hbone-client.ts'
import type { TestSource } from '../../transport/testing/mesh.ts'
import { unawareMs } from './unaware.ts'
import { readAll, startWorld, until, type World, type WorldPod } from '../testing/world.ts'

const echo = (socket: Socket): void => void socket.pipe(socket)

describe('what reaches a captured pod by HBONE', () => {
  let world: World
  let books: WorldPod
  let port: number
  const clients: HboneClient[] = []

  beforeEach(async () => {
    world = startWorld()
    books = await world.pod('books')
    port = await books.listen(echo)
    world.publish()
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await world.close()
  })

  /** Asks the pod's listener for a tunnel as `source`. @param from the address that it comes from */
  const ask = (source: TestSource, authority: string, headers: Record<string, string> = {}, from?: WorldPod): Promise<Duplex> => {
    const client = createHboneClient({ credentials: source, clock: systemClock, ...(from === undefined ? {} : { dial: (target) => from.network.dial(target) }) })
    clients.push(client)
    return client.connect({ host: books.address, port: 15008, authority, peer: { kind: 'identity', id: books.id }, headers })
  }
  const refusalOf = async (asked: Promise<Duplex>): Promise<string> => {
    const error = await asked.then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof HboneError, 'it was let in')
    return `${error.status ?? error.code} ${error.reason ?? ''}`
  }
  const last = () => world.records.at(-1)!
  const waypoint = (namespace: string): TestSource => world.waypoint(namespace)
  const says = async (stream: Duplex): Promise<string> => {
    stream.end('hello')
    return readAll(stream)
  }

  it('is delivered to the application, and the answer says who serves', async () => {
    assert.equal(await says(await ask(world.mesh.source('till'), `${books.address}:${port}`)), 'hello')
    await until('told', () => world.records.length === 1)
    assert.deepEqual([last().outcome, last().source.workload, last().source.namespace, last().destination.pod], ['allowed', 'till', 'shop', 'books'])
  })

  for (const [what, authority] of [
    ['another pod', '10.1.2.3:80'], ['loopback', '127.0.0.1:80'], ['the mesh itself', ':15008'], ['what the mesh sends', ':15001'],
    ['what the mesh takes in plain', ':15006'], ['a name, from whoever is not the waypoint', 'books.shop.svc.cluster.local:80'],
  ] as const) {
    it(`is answered with 400 if it is for ${what}`, async () => {
      world.service('books', [books.endpoint(port)])
      world.publish()
      const asked = authority.startsWith(':') ? `${books.address}${authority}` : authority
      assert.equal(await refusalOf(ask(world.mesh.source('till'), asked)), '400 wrong-workload')
      assert.deepEqual([books.dials.length, last().outcome], [0, 'refused'])
    })
  }

  it('may name a Service of the pod if the waypoint of its namespace asks, not that of another one', async () => {
    world.service('books', [books.endpoint(port)])
    const [own, foreign] = [waypoint('shop'), waypoint('other')]
    world.publish()
    assert.equal(await says(await ask(own, 'books.shop.svc.cluster.local:80')), 'hello')
    assert.equal(await refusalOf(ask(own, 'nobody.shop.svc.cluster.local:80')), '400 wrong-workload')
    assert.equal(await refusalOf(ask(foreign, 'books.shop.svc.cluster.local:80')), '400 wrong-workload')
  })

  it('is answered with 503 if the application refuses, or while there is no configuration', async () => {
    assert.equal(await refusalOf(ask(world.mesh.source('till'), `${books.address}:9`)), '503 connect-failure')
    assert.deepEqual([last().outcome, last().reason], ['failed', 'connect-failure'])
    const early = await world.pod('early')
    const client = createHboneClient({ credentials: world.mesh.source('till'), clock: systemClock })
    clients.push(client)
    const asked = client.connect({ host: early.address, port: 15008, authority: `${early.address}:80`, peer: { kind: 'identity', id: early.id } })
    assert.equal(await refusalOf(asked), '503 no-configuration')
  })

  it('is answered with 401 if a policy denies it, before a byte reaches the application, and is told of', async () => {
    world.put({ kind: 'policy', namespace: 'shop', name: 'only-till', action: 'allow', rules: [{ from: [{ serviceAccounts: ['shop/till'] }] }] })
    books.workload = { ...books.workload, policies: ['policy/shop/only-till'] }
    world.publish()
    assert.equal(await refusalOf(ask(world.mesh.source('stranger'), `${books.address}:${port}`)), '401 denied')
    assert.deepEqual([last().outcome, last().reason, last().source.id, books.dials.length], ['denied', 'denied', world.mesh.id('stranger'), 0])
    assert.equal(await says(await ask(world.mesh.source('till'), `${books.address}:${port}`)), 'hello')
  })

  it('is denied if a policy is named that is not there', async () => {
    books.workload = { ...books.workload, policies: ['policy/shop/gone'] }
    world.publish()
    assert.equal(await refusalOf(ask(world.mesh.source('till'), `${books.address}:${port}`)), '401 denied')
  })

  it('is only told of by an Audit policy', async () => {
    world.put({ kind: 'policy', namespace: 'shop', name: 'watch', action: 'audit', rules: [{ from: [{ namespaces: ['shop'] }] }] })
    books.workload = { ...books.workload, policies: ['policy/shop/watch'] }
    world.publish()
    assert.equal(await says(await ask(world.mesh.source('till'), `${books.address}:${port}`)), 'hello')
    await until('told', () => world.records.length === 1)
    assert.deepEqual(last().audit, ['shop/watch'])
  })

  it('must come from the waypoint where that judges requests, whatever else policies say', async () => {
    const own = waypoint('shop')
    books.workload = { ...books.workload, ports: [{ port, servicePorts: [80], policies: [], onlyVia: [world.mesh.id('waypoint')] }] }
    world.publish()
    assert.equal(await refusalOf(ask(world.mesh.source('till'), `${books.address}:${port}`)), '401 waypoint-required')
    assert.equal(await refusalOf(ask(waypoint('other'), `${books.address}:${port}`)), '401 waypoint-required')
    assert.equal(await says(await ask(own, `${books.address}:${port}`)), 'hello')
  })

  describe('from a waypoint that does not say for whom it comes', () => {
    let clock: FakeClock
    beforeEach(async () => {
      await world.close()
      // Of now and not of when this file was read: certificates are valid from a minute before they are made.
      clock = fakeClock(Date.now())
      world = startWorld({ clock })
      books = await world.pod('books')
      port = await books.listen(echo)
      world.put({ kind: 'policy', namespace: 'shop', name: 'only-till', action: 'allow', rules: [{ from: [{ serviceAccounts: ['shop/till'] }] }] })
    })
    const onlyTill = { policies: ['policy/shop/only-till'] }

    for (const [what, guard] of [
      ['all of the pod', () => onlyTill], ['its port', () => ({ ports: [{ port, servicePorts: [80], policies: onlyTill.policies }] })],
      ['it by the waypoint alone', () => ({ ports: [{ port, servicePorts: [80], policies: onlyTill.policies, onlyVia: [world.mesh.id('waypoint')] }] })],
    ] as const) {
      it(`is let in for a second after the first policy guards ${what}, and what is open is cut then`, async () => {
        const own = waypoint('shop')
        world.publish()
        const open = await ask(own, `${books.address}:${port}`)
        const cut = new Promise((resolve) => open.on('error', () => {}).once('close', resolve))
        books.workload = { ...books.workload, ...guard() }
        world.publish()
        open.write('a')
        await new Promise((resolve) => open.once('data', resolve))
        assert.equal(await says(await ask(own, `${books.address}:${port}`)), 'hello')
        // Whoever else comes is judged at once, and so is who is named.
        assert.match(await refusalOf(ask(world.mesh.source('stranger'), `${books.address}:${port}`)), /^401 /)
        assert.match(await refusalOf(ask(own, `${books.address}:${port}`, { 'x-waypoint-client': world.mesh.id('stranger') })), /^401 denied/)
        clock.advance(unawareMs)
        await cut
        assert.equal(await refusalOf(ask(own, `${books.address}:${port}`)), '401 denied')
        assert.equal(await says(await ask(own, `${books.address}:${port}`, { 'x-waypoint-client': world.mesh.id('till') })), 'hello')
      })
    }

    it('is not let in after a further policy, nor longer because others follow', async () => {
      const own = waypoint('shop')
      world.put({ kind: 'policy', namespace: 'shop', name: 'nobody', action: 'allow', rules: [] })
      world.publish()
      const guardedBy = (policies: readonly string[]): void => {
        books.workload = { ...books.workload, policies }
        world.publish()
      }
      guardedBy(['policy/shop/nobody'])
      clock.advance(unawareMs - 1)
      guardedBy(['policy/shop/nobody', 'policy/shop/only-till'])
      assert.equal(await says(await ask(own, `${books.address}:${port}`)), 'hello')
      clock.advance(1)
      assert.equal(await refusalOf(ask(own, `${books.address}:${port}`)), '401 denied')
      guardedBy(['policy/shop/only-till'])
      assert.equal(await refusalOf(ask(own, `${books.address}:${port}`)), '401 denied')
    })
  })

  describe('shows the application the address', () => {
    const shown = async (source: TestSource, headers: Record<string, string>, from: WorldPod): Promise<string | undefined> => {
      await says(await ask(source, `${books.address}:${port}`, headers, from))
      return books.dials.at(-1)?.split(' > ')[0]
    }

    it('of the session, whatever a workload claims', async () => {
      const till = await world.pod('till')
      world.publish()
      assert.equal(await shown(till.source, { forwarded: 'for="127.0.0.77"' }, till), till.address)
    })

    it('that the waypoint of its namespace names, with the client for whom it speaks', async () => {
      const [own, gate] = [waypoint('shop'), await world.pod('gate')]
      world.publish()
      assert.equal(await shown(own, { 'x-waypoint-client': world.mesh.id('till'), 'forwarded': 'for="127.0.0.77"' }, gate), '127.0.0.77')
      await until('told', () => world.records.length === 1)
      assert.equal(last().source.id, world.mesh.id('till'))
    })

    it('that another waypoint names only if it is one of its own workloads', async () => {
      const [foreign, gate, client] = [waypoint('other'), await world.pod('gate', { namespace: 'other' }), await world.pod('client', { namespace: 'other' })]
      const till = await world.pod('till')
      world.publish()
      const speaking = { 'x-waypoint-client': world.mesh.id('client', 'other') }
      assert.equal(await shown(foreign, { ...speaking, forwarded: `for="${client.address}"` }, gate), client.address)
      assert.equal(await shown(foreign, { ...speaking, forwarded: `for="${till.address}"` }, gate), gate.address)
    })
  })

  it('is refused if it claims to speak for somebody else and is no waypoint', async () => {
    assert.equal(await refusalOf(ask(world.mesh.source('till'), `${books.address}:${port}`, { 'x-waypoint-client': world.mesh.id('owner') })), '400 malformed-request')
  })

  it('gets no word of HTTP/2 without a certificate of this mesh, and that is told of', async () => {
    const { testMesh } = await import('../../transport/testing/mesh.ts')
    const stranger = testMesh('cluster.local')
    const asked = ask(stranger.source('till'), `${books.address}:${port}`)
    assert.match(await refusalOf(asked), /^(?:unreachable|peer-identity)/)
    await until('told', () => world.records.length > 0)
    assert.deepEqual([last().outcome, last().reason, last().direction], ['refused', 'peer-identity', 'inbound'])
  })

  it('is cut as soon as policies no longer allow it, and what they still allow goes on', async () => {
    const [till, owner] = [await ask(world.mesh.source('till'), `${books.address}:${port}`), await ask(world.mesh.source('owner'), `${books.address}:${port}`)]
    for (const stream of [till, owner]) {
      stream.write('a')
      await new Promise((resolve) => stream.once('data', resolve))
      stream.on('error', () => {})
    }
    const cut = new Promise((resolve) => till.once('close', resolve))
    world.put({ kind: 'policy', namespace: 'shop', name: 'only-owner', action: 'allow', rules: [{ from: [{ serviceAccounts: ['shop/owner'] }] }] })
    books.workload = { ...books.workload, policies: ['policy/shop/only-owner'] }
    world.publish()
    await cut
    await until('told', () => world.records.some(({ reason }) => reason === 'denied'))
    assert.equal(await says(owner), 'hello')
  })

  it('gives the delivery up if the client goes meanwhile', async () => {
    // Takes no connection of its backlog of one, so that a further one waits.
    const till = createHboneClient({ credentials: world.mesh.source('till'), clock: systemClock })
    clients.push(till)
    const signal = new AbortController()
    books.network.dial({ host: books.address, port: 9 }).on('error', () => {})
    const asked = till.connect({ host: books.address, port: 15008, authority: `${books.address}:${port}`, peer: { kind: 'identity', id: books.id }, signal: signal.signal })
    signal.abort(new Error('gone'))
    await assert.rejects(asked)
    await until('nothing is left', () => books.captured.stats().connections === 0)
  })
})
