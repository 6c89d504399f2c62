import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { exchange, failureOf, startWorld, until, type World, type WorldPod } from '../testing/world.ts'

describe('what reaches a captured pod in plain', () => {
  let world: World
  let books: WorldPod
  let port: number

  beforeEach(async () => {
    world = startWorld()
    books = await world.pod('books')
    port = await books.listen((socket) => socket.pipe(socket))
    world.publish()
  })
  afterEach(() => world.close())

  const last = () => world.records.at(-1)!
  const from = '127.0.0.9'
  const call = (source = from) => books.connectFrom(source, 15006, port)
  const guard = (more: Partial<WorldPod['workload']>): void => {
    books.workload = { ...books.workload, ...more }
    world.publish()
  }

  it('is let in by default, with the client address kept, and counted as plain', async () => {
    assert.equal(await exchange(call(), 'hello'), 'hello')
    await until('told', () => world.records.length === 1)
    assert.deepEqual(books.dials, [`${from} > ${books.address}:${port}`])
    const { direction, transport, outcome, source, bytesIn, bytesOut, ended } = last()
    assert.deepEqual([direction, transport, outcome, source.id, bytesIn, bytesOut, ended], ['plaintext', 'plain', 'allowed', '', 5, 5, 'clean'])
  })

  it('names the pod that it came from, without believing its identity', async () => {
    const other = await world.pod('other', { captured: false })
    world.publish()
    await exchange(call(other.address), 'x')
    await until('told', () => world.records.length === 1)
    assert.deepEqual([last().source.pod, last().source.id], ['other', ''])
  })

  it('is reset where the pod is strict, before the application hears of it', async () => {
    guard({ mtls: 'strict' })
    assert.equal(await failureOf(call()), 'ECONNRESET')
    assert.deepEqual([last().outcome, last().reason, books.dials.length], ['refused', 'plaintext-refused', 0])
  })

  it('is reset if it comes straight to the listener, or while there is no configuration', async () => {
    assert.equal(await failureOf(connect(15006, books.address).on('error', () => {})), 'ECONNRESET')
    assert.equal(last().reason, 'direct-hit')
    const early = await world.pod('early')
    assert.equal(await failureOf(early.connectFrom(from, 15006, 80)), 'ECONNRESET')
    assert.equal(last().reason, 'no-configuration')
  })

  it('is judged without an identity', async () => {
    world.put({ kind: 'policy', namespace: 'shop', name: 'shop', action: 'allow', rules: [{ from: [{ namespaces: ['shop'] }] }] })
    guard({ policies: ['policy/shop/shop'] })
    assert.equal(await failureOf(call()), 'ECONNRESET')
    assert.deepEqual([last().outcome, last().reason], ['denied', 'denied'])
    world.put({ kind: 'policy', namespace: 'shop', name: 'range', action: 'allow', rules: [{ from: [{ cidrs: ['127.0.0.8/31'] }] }] })
    guard({ policies: ['policy/shop/range'] })
    assert.equal(await exchange(call(), 'x'), 'x')
    assert.equal(await failureOf(call('127.0.0.10')), 'ECONNRESET')
  })

  it('never reaches a port that only a waypoint may reach', async () => {
    guard({ ports: [{ port, servicePorts: [80], policies: [], onlyVia: [world.mesh.id('waypoint')] }] })
    assert.equal(await failureOf(call()), 'ECONNRESET')
    assert.equal(last().reason, 'waypoint-required')
  })

  it('never reaches a port of the mesh', async () => {
    for (const own of [15001, 15006, 15008]) assert.equal(await failureOf(books.connectFrom(from, 15006, own)), 'ECONNRESET')
    assert.equal(books.dials.length, 0)
  })

  it('is reset if the application refuses', async () => {
    assert.equal(await failureOf(books.connectFrom(from, 15006, 9)), 'ECONNRESET')
    assert.deepEqual([last().outcome, last().reason], ['failed', 'connect-failure'])
  })

  it('is cut as soon as the pod becomes strict', async () => {
    const socket = call()
    socket.write('a')
    await new Promise((resolve) => socket.once('data', resolve))
    const failed = failureOf(socket)
    guard({ mtls: 'strict' })
    assert.equal(await failed, 'ECONNRESET')
    await until('told', () => last().reason === 'plaintext-refused')
  })
})
