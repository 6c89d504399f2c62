import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { relay } from '../../transport/testing/relay.ts'
import { exchange, failureOf, startWorld, until, type World, type WorldPod } from '../testing/world.ts'

describe('many connections between captured pods', () => {
  let world: World
  let till: WorldPod
  let books: WorldPod
  let behaviour: (socket: Socket) => void
  let ip: string

  beforeEach(async () => {
    world = startWorld()
    ;[till, books] = [await world.pod('till'), await world.pod('books')]
    behaviour = (socket) => void socket.pipe(socket)
    ip = world.service('books', [books.endpoint(await books.listen((socket) => behaviour(socket)))])
    world.publish()
  })
  afterEach(() => world.close())

  const open = async (): Promise<Socket> => {
    const socket = till.connect(ip, 80)
    socket.write('a')
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
    return socket
  }

  it('carry 1,000 at a time over a few sessions', async () => {
    const sockets: Socket[] = []
    for (let batch = 0; batch < 20; batch++) sockets.push(...(await Promise.all(Array.from({ length: 50 }, open))))
    const { connections, sessionsOut } = till.captured.stats()
    assert.equal(connections, 1_000)
    assert.ok(sessionsOut >= 4 && sessionsOut <= 20, `${sessionsOut} sessions`)
    const answers = await Promise.all(sockets.map((socket) => exchange(socket, 'hello')))
    assert.ok(answers.every((answer) => answer === 'hello'))
    await until('all have ended', () => till.captured.stats().connections === 0 && books.captured.stats().connections === 0)
    assert.equal(world.loads.size(), 0)
    assert.ok(world.records.every(({ outcome, ended }) => outcome === 'allowed' && ended === 'clean'))
  })

  it('leave nothing behind, however they end', async () => {
    const endings = [
      async (): Promise<void> => { assert.equal(await exchange(till.connect(ip, 80), 'x'), 'x') },
      async (): Promise<void> => void (await open()).resetAndDestroy(),
      async (): Promise<void> => void (await open()).destroy(),
      async (): Promise<void> => { await failureOf(till.connect('10.96.255.1', 81)) },
      (): Promise<void> => Promise.resolve(void till.connect(ip, 80).destroy()),
    ]
    const rounds = 60
    for (let round = 0; round < rounds; round++) await Promise.all(endings.map((end) => end()))
    await until('all have ended', () => till.captured.stats().connections === 0 && books.captured.stats().connections === 0)
    await until('no application is held', () => books.dialled().length === 0)
    // Only the sessions are left.
    assert.equal(till.dialled().length, till.captured.stats().sessionsOut)
    assert.ok(till.captured.stats().sessionsOut <= 2)
    assert.equal(world.loads.size(), 0)
  })

  it('keep small ones away from the session of a bulk one', async () => {
    behaviour = (socket) => {
      socket.once('data', (chunk: Buffer) => {
        if (chunk.toString() === 'bulk') {
          const more = (): void => { while (socket.writable && socket.write(Buffer.alloc(65_536))) ; }
          socket.on('drain', more)
          more()
        } else {
          socket.write(chunk)
          socket.pipe(socket)
        }
      })
    }
    const bulk = till.connect(ip, 80)
    let bytes = 0
    bulk.write('bulk')
    bulk.on('data', (chunk: Buffer) => { bytes += chunk.length })
    await until('it counts as bulk', () => bytes > 8_000_000)
    assert.equal(till.captured.stats().sessionsOut, 1)
    const small = await open()
    assert.equal(till.captured.stats().sessionsOut, 2)
    await open()
    assert.equal(till.captured.stats().sessionsOut, 2)
    bulk.resetAndDestroy()
    await until('it is gone', () => till.captured.stats().connections === 2)
    small.destroy()
    await open()
    assert.equal(till.captured.stats().sessionsOut, 2)
  })

  it('hold little for readers that stall, and serve others beside them', async () => {
    const megabytes = 20
    behaviour = (socket) => {
      socket.once('data', (chunk: Buffer) => {
        if (chunk.toString() === 'bulk') socket.end(Buffer.alloc(megabytes * 1_000_000))
        else socket.end(chunk)
      })
    }
    const stalled = Array.from({ length: 20 }, () => {
      const socket = till.connect(ip, 80)
      socket.pause()
      socket.write('bulk')
      return socket
    })
    await until('they were all accepted', () => books.captured.stats().connections === 20)
    for (let call = 0; call < 100; call++) assert.equal(await exchange(till.connect(ip, 80), 'x'), 'x')
    // What the two ends hold for each of them: windows, and what the kernel takes.
    const carried = stalled.map((socket) => socket.bytesRead)
    assert.ok(carried.every((count) => count < 12_000_000))
    for (const socket of stalled) socket.destroy()
    await until('all have ended', () => till.captured.stats().connections === 0)
  })

  it('end when their peer falls silent, and new ones go elsewhere', async function () {
    this.timeout(60_000)
    const frozen = await relay(15008, books.address)
    const port = await books.listen((socket) => socket.pipe(socket))
    const first = books.endpoint(port, { transport: { kind: 'hbone', port: frozen.port, identity: books.id } })
    const far = { ...first, address: '127.0.0.1' }
    books.workload = { ...books.workload, addresses: [books.address, '127.0.0.1'] }
    await world.application('127.0.0.1', (socket) => socket.pipe(socket), port)
    const service = world.service('far', [far])
    world.publish()
    const socket = till.connect(service, 80)
    socket.write('a')
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
    frozen.freeze()
    world.service('far', [far, books.endpoint(port)])
    world.publish()
    const failed = failureOf(socket)
    assert.equal(await exchange(till.connect(service, 80), 'x'), 'x')
    assert.equal(await failed, 'ECONNRESET')
    frozen.close()
  })
})
