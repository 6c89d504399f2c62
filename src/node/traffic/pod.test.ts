import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { fakeClock } from '../../kit/testing/fake-clock.ts'
import { NetworkError } from '../network.ts'
import { loopbackPod } from '../testing/sockets.ts'
import { exchange, failureOf, readAll, startWorld, until, type World, type WorldPod } from '../testing/world.ts'
import { createLoads } from './loads.ts'
import { createCapturedPod } from './pod.ts'

describe('a captured pod', () => {
  let world: World
  beforeEach(() => { world = startWorld() })
  afterEach(() => world.close())

  /** Opens a connection that answers each byte, and waits for the first. */
  const open = async (from: WorldPod, host: string, port: number): Promise<Socket> => {
    const socket = from.connect(host, port)
    socket.write('a')
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
    return socket
  }
  const still = async (socket: Socket): Promise<void> => {
    const answer = new Promise<Buffer>((resolve, reject) => socket.once('data', resolve).once('error', reject))
    socket.write('b')
    assert.equal((await answer).toString(), 'b')
  }

  it('takes all its ports or none, and says which one is missing', async () => {
    const { network, originalDestination, address } = loopbackPod()
    const clock = fakeClock()
    const bind = (port: number): number => {
      if (port === 15008) throw new NetworkError('EADDRINUSE', 'bind [::]:15008')
      return network.bind(port)
    }
    const pod = createCapturedPod({
      network: { ...network, bind }, originalDestination, clock, telemetry: { connectionDone: () => {} },
      loads: createLoads({ now: clock.now, random: Math.random }),
    })
    await assert.rejects(pod.start(), { code: 'EADDRINUSE', syscall: 'bind [::]:15008' })
    for (const port of [15001, 15006, 15008]) assert.equal(await failureOf(connect(port, address).on('error', () => {})), 'ECONNREFUSED')
  })

  it('lets nobody in by HBONE until it has a certificate', async () => {
    const books = await world.pod('books', { certified: false })
    world.publish()
    assert.equal(await failureOf(connect(15008, books.address).on('error', () => {})), 'ECONNREFUSED')
    assert.deepEqual([books.captured.stats().phase, books.captured.stats().certified], ['capturing', false])
    await books.captured.certify(books.source)
    const [till, port] = [await world.pod('till'), await books.listen((socket) => socket.pipe(socket))]
    world.publish()
    assert.equal(await exchange(till.connect(books.address, port), 'x'), 'x')
  })

  it('goes on through renewals of the certificate', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const socket = await open(till, books.address, port)
    till.source.set(world.mesh.issue('till'))
    books.source.set(world.mesh.issue('books'))
    assert.equal(await exchange(till.connect(books.address, port), 'x'), 'x')
    await still(socket)
  })

  it('drains: takes nothing new, lets what is there end for itself, and only then is done', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const [outbound, plain] = [await open(till, books.address, port), books.connectFrom('127.0.0.9', 15006, port)]
    plain.write('a')
    await new Promise((resolve) => plain.once('data', resolve))
    let drained = 0
    const draining = [till, books].map(({ captured }) => captured.drain(60_000).then(() => { drained++ }))
    // Nobody waits to be accepted, which it finds at once.
    for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve))
    for (const each of [15001, 15006, 15008]) assert.equal(await failureOf(connect(each, books.address).on('error', () => {})), 'ECONNREFUSED')
    await still(outbound)
    await still(plain)
    assert.equal(drained, 0)
    outbound.end()
    plain.end()
    await Promise.all([readAll(outbound), readAll(plain)])
    await Promise.all(draining)
    assert.ok(world.records.every(({ ended }) => ended === 'clean'))
    assert.deepEqual([till, books].map(({ captured }) => captured.stats().sessionsIn + captured.stats().sessionsOut), [0, 0])
  })

  it('loses no connection that was accepted before it drained', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const sockets = Array.from({ length: 20 }, () => till.connect(books.address, port))
    await until('all were accepted', () => till.captured.stats().connections === 20)
    const drained = till.captured.drain(60_000)
    assert.deepEqual(new Set(await Promise.all(sockets.map((socket) => exchange(socket, 'x')))), new Set(['x']))
    await drained
  })

  it('loses no connection that waited to be accepted when it drained', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const sockets = Array.from({ length: 20 }, () => till.connect(books.address, port))
    // The kernel connects them; nobody has looked yet.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    const drained = till.captured.drain(60_000)
    assert.deepEqual(new Set(await Promise.all(sockets.map((socket) => exchange(socket, 'x')))), new Set(['x']))
    await drained
  })

  it('cuts at the deadline what did not end', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const failed = failureOf(await open(till, books.address, port))
    await till.captured.drain(50)
    assert.equal(await failed, 'ECONNRESET')
    await until('told', () => world.records.some(({ direction, reason }) => direction === 'outbound' && reason === 'draining'))
  })

  it('cuts everything when it is closed, also what is only on its way', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const [there, late] = [await open(till, books.address, port), till.connect(books.address, port)]
    const failed = [failureOf(there), failureOf(late)]
    await until('both were accepted', () => till.captured.stats().connections === 2)
    await till.captured.close()
    assert.deepEqual(await Promise.all(failed), ['ECONNRESET', 'ECONNRESET'])
    await until('nothing is left', () => till.captured.stats().connections === 0 && till.dialled().length === 0)
  })

  it('lists its connections', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
    const socket = await open(till, books.address, port)
    assert.deepEqual(till.captured.connections().map(({ direction, destination }) => [direction, destination.pod]), [['outbound', 'books']])
    assert.deepEqual(books.captured.connections().map(({ direction, source }) => [direction, source.pod]), [['inbound', 'till']])
    socket.destroy()
  })
})
