import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { systemClock } from '../../kit/clock.ts'
import { listenHbone } from '../../transport/hbone-server.ts'
import { exchange, failureOf, readAll, startWorld, until, type World } from '../testing/world.ts'

/** Says `name`, then what it was sent. */
const echo = (name: string) => (socket: Socket): void => {
  socket.write(`${name}:`)
  socket.pipe(socket)
}

describe('what a captured pod sends', () => {
  let world: World
  beforeEach(() => { world = startWorld() })
  afterEach(() => world.close())

  const last = () => world.records.filter(({ direction }) => direction === 'outbound').at(-1)!

  it('to a Service goes to an endpoint by HBONE, which keeps the client address and knows who it is', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen(echo('books'))
    const ip = world.service('books', [books.endpoint(port)])
    world.publish()
    assert.equal(await exchange(till.connect(ip, 80), 'hello'), 'books:hello')
    await until('both agents told', () => world.records.length === 2)
    const [inbound] = world.records.filter(({ direction }) => direction === 'inbound')
    assert.deepEqual(books.dials, [`${till.address} > ${books.address}:${port}`])
    assert.deepEqual(
      [inbound?.source.id, inbound?.source.pod, inbound?.destination.pod, inbound?.transport, inbound?.bytesIn, inbound?.bytesOut, inbound?.ended],
      [till.id, 'till', 'books', 'mtls', 5, 11, 'clean'],
    )
    const { service, via, transport, outcome, peer, tries, bytesIn, bytesOut, source } = last()
    assert.deepEqual(
      { service, via, transport, outcome, peer, tries, bytesIn, bytesOut, source: source.pod },
      { service: 'shop/books', via: 'endpoint', transport: 'mtls', outcome: 'allowed', peer: `${books.address}:${port}`, tries: 1, bytesIn: 5, bytesOut: 11, source: 'till' },
    )
  })

  it('to a pod address goes straight to the pod, by HBONE if it is captured, in plain if it is not', async () => {
    const [till, books, other] = [await world.pod('till'), await world.pod('books'), await world.pod('other', { captured: false })]
    const ports = [await books.listen(echo('books')), await other.listen(echo('other'))] as const
    world.publish()
    assert.equal(await exchange(till.connect(books.address, ports[0]), 'x'), 'books:x')
    assert.equal(last().transport, 'mtls')
    assert.equal(await exchange(till.connect(other.address, ports[1]), 'x'), 'other:x')
    await until('told', () => last().transport === 'plain')
    assert.deepEqual(till.dials, [`${books.address}:15008`, `${other.address}:${ports[1]}`])
  })

  it('to an address that the mesh does not know passes, and is counted as such', async () => {
    const till = await world.pod('till')
    const port = await world.application('127.0.0.1', echo('outside'))
    world.publish()
    assert.equal(await exchange(till.connect('127.0.0.1', port), 'x'), 'outside:x')
    await until('told', () => world.records.length === 1)
    assert.deepEqual([last().via, last().transport, last().outcome], ['outside', 'plain', 'allowed'])
  })

  it('to an address that the mesh does not know is reset where the mesh refuses that', async () => {
    await world.close()
    world = startWorld({ unknown: 'refuse' })
    const till = await world.pod('till')
    const port = await world.application('127.0.0.1', echo('outside'))
    world.publish()
    assert.equal(await failureOf(till.connect('127.0.0.1', port)), 'ECONNRESET')
    assert.deepEqual([last().outcome, last().reason], ['refused', 'unknown-destination'])
  })

  describe('is reset, and never goes out in plain,', () => {
    const dialledNothing = async (connect: () => Socket, reason: string, till: { readonly dials: readonly string[] }): Promise<void> => {
      const before = till.dials.length
      assert.equal(await failureOf(connect()), 'ECONNRESET')
      assert.equal(last().reason, reason)
      assert.equal(till.dials.length, before)
    }

    it('if it came straight to the listener', async () => {
      const till = await world.pod('till')
      world.publish()
      await dialledNothing(() => connect(15001, till.address).on('error', () => {}), 'direct-hit', till)
    })

    it('while there is no configuration', async () => {
      const till = await world.pod('till')
      await dialledNothing(() => till.connect('10.96.0.1', 80), 'no-configuration', till)
    })

    it('while there is no certificate, though outside destinations are reached', async () => {
      const [till, books] = [await world.pod('till', { certified: false }), await world.pod('books')]
      const ip = world.service('books', [books.endpoint(await books.listen(echo('books')))])
      const port = await world.application('127.0.0.1', echo('outside'))
      world.publish()
      await dialledNothing(() => till.connect(ip, 80), 'no-certificate', till)
      assert.equal(await exchange(till.connect('127.0.0.1', port), 'x'), 'outside:x')
      await till.captured.certify(till.source)
      assert.equal(await exchange(till.connect(ip, 80), 'x'), 'books:x')
    })

    it('once the certificate has ended', async () => {
      const [till, books] = [await world.pod('till'), await world.pod('books')]
      const ip = world.service('books', [books.endpoint(await books.listen(echo('books')))])
      till.source.set(world.mesh.issue('till', { notAfterMs: Date.now() - 1000 }))
      world.publish()
      await dialledNothing(() => till.connect(ip, 80), 'no-certificate', till)
    })

    it('to a Service without endpoints, or with none of its own node where it wants only those', async () => {
      const [till, far] = [await world.pod('till'), await world.pod('far', { node: 'n2' })]
      const port = await far.listen(echo('far'))
      const [empty, local] = [world.service('empty', []), world.service('local', [far.endpoint(port)], { internalTrafficPolicy: 'Local' })]
      world.publish()
      await dialledNothing(() => till.connect(empty, 80), 'no-endpoint', till)
      await dialledNothing(() => till.connect(local, 80), 'no-endpoint', till)
    })

    it('to a port that a Service lacks', async () => {
      const till = await world.pod('till')
      const ip = world.service('books', [])
      world.publish()
      await dialledNothing(() => till.connect(ip, 81), 'unknown-destination', till)
    })

    it('if the waypoint that must judge it is missing or has no address', async () => {
      const [till, books] = [await world.pod('till'), await world.pod('books')]
      const ip = world.service('books', [books.endpoint(await books.listen(echo('books')))], { waypoint: 'waypoint/shop/waypoint' })
      world.publish()
      await dialledNothing(() => till.connect(ip, 80), 'no-waypoint', till)
      world.put({ kind: 'waypoint', namespace: 'shop', name: 'waypoint', identity: world.mesh.id('waypoint'), addresses: [] })
      world.publish()
      await dialledNothing(() => till.connect(ip, 80), 'no-waypoint', till)
    })
  })

  it('resets what the endpoint refuses, with the reason that the endpoint gave', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books', { entry: { policies: ['policy/shop/no'] } })]
    world.put({ kind: 'policy', namespace: 'shop', name: 'no', action: 'deny', rules: [{ from: [{ serviceAccounts: ['shop/till'] }] }] })
    const ip = world.service('books', [books.endpoint(await books.listen(echo('books')))])
    world.publish()
    assert.equal(await failureOf(till.connect(ip, 80)), 'ECONNRESET')
    assert.deepEqual([last().outcome, last().reason], ['failed', 'denied'])
    const inbound = world.records.find(({ direction }) => direction === 'inbound')!
    assert.deepEqual([inbound.outcome, inbound.reason, inbound.policy, books.dials.length], ['denied', 'denied', 'shop/no', 0])
  })

  it('trusts no endpoint with another identity than configuration names', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen(echo('books'))
    const ip = world.service('books', [books.endpoint(port, { transport: { kind: 'hbone', port: 15008, identity: world.mesh.id('ledger') } })])
    world.publish()
    assert.equal(await failureOf(till.connect(ip, 80)), 'ECONNRESET')
    assert.equal(last().reason, 'peer-identity')
    assert.equal(books.dials.length, 0)
  })

  it('tries another endpoint if one can not be reached or its application does not answer', async () => {
    const [till, books, dead] = [await world.pod('till'), await world.pod('books'), await world.pod('dead', { captured: false })]
    const port = await books.listen(echo('books'))
    const gone: Parameters<typeof dead.endpoint>[1] = { transport: { kind: 'hbone', port: 15008, identity: dead.id } }
    const ip = world.service('books', [dead.endpoint(1, gone), books.endpoint(port), books.endpoint(9)])
    world.publish()
    for (let call = 0; call < 20; call++) assert.equal(await exchange(till.connect(ip, 80), 'x'), 'books:x')
    await until('told', () => world.records.filter(({ direction, outcome }) => direction === 'outbound' && outcome === 'allowed').length === 20)
  })

  it('takes a Service with a waypoint to that, by the original destination, and tells who the client is', async () => {
    const till = await world.pod('till-7c9d5b5f4d-x2x4z', { entry: { identity: world.mesh.id('till-7c9d5b5f4d-x2x4z') } })
    const seen: { authority: string; forwarded: string | undefined; baggage: string | string[] | undefined }[] = []
    const waypoint = await listenHbone({
      credentials: world.mesh.source('waypoint'), host: '127.0.0.1', port: 0, clock: systemClock,
      onTunnel: (tunnel) => {
        seen.push({ authority: tunnel.authority, forwarded: tunnel.headers.forwarded, baggage: tunnel.headers['baggage'] })
        const stream = tunnel.accept()
        stream.pipe(stream)
      },
    })
    const ip = world.service('books', [], { waypoint: 'waypoint/shop/waypoint' })
    world.put({ kind: 'waypoint', namespace: 'shop', name: 'waypoint', identity: world.mesh.id('waypoint'), addresses: [waypoint.address] })
    world.publish()
    const socket = till.connect(ip, 80)
    assert.equal(await exchange(socket, 'x'), 'x')
    assert.equal(seen[0]?.authority, `${ip}:80`)
    const [client, host] = (seen[0].forwarded ?? '').split(';')
    assert.ok(client?.startsWith(`for="${till.address}:`))
    assert.equal(host, 'host=books.shop.svc.cluster.local')
    assert.equal(seen[0].baggage, 'k8s.namespace.name=shop,k8s.pod.name=till-7c9d5b5f4d-x2x4z,k8s.deployment.name=till,service.name=till')
    await until('told', () => last().via === 'waypoint')
    await waypoint.close()
  })

  it('keeps a client at its endpoint where the Service wants that, and spreads it otherwise', async () => {
    const till = await world.pod('till')
    const pods = await Promise.all(['a', 'b', 'c', 'd'].map((name) => world.pod(name)))
    const endpoints = await Promise.all(pods.map(async (pod) => pod.endpoint(await pod.listen((socket) => socket.end(pod.name)))))
    const [sticky, spread] = [world.service('sticky', endpoints, { affinitySeconds: 60 }), world.service('spread', endpoints)]
    world.publish()
    const answers = async (ip: string): Promise<Set<string>> => {
      const found = new Set<string>()
      for (let call = 0; call < 40; call++) found.add(await exchange(till.connect(ip, 80), ''))
      return found
    }
    assert.equal((await answers(sticky)).size, 1)
    assert.equal((await answers(spread)).size, 4)
  })

  it('lets the server speak first, and each side end for itself', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    const port = await books.listen((socket) => {
      socket.write('220 ready\r\n')
      let got = 0
      socket.on('data', (chunk: Buffer) => { got += chunk.length })
      socket.on('end', () => socket.end(`got ${got}`))
    })
    const ip = world.service('books', [books.endpoint(port)])
    world.publish()
    const socket = till.connect(ip, 80)
    const greeting = await new Promise<string>((resolve) => { socket.once('data', (chunk: Buffer) => resolve(chunk.toString())) })
    assert.equal(greeting, '220 ready\r\n')
    socket.end(Buffer.alloc(5_000_000))
    assert.equal(await readAll(socket), 'got 5000000')
  })

  it('passes resets on as resets, in both directions', async () => {
    const [till, books] = [await world.pod('till'), await world.pod('books')]
    let behaviour: (socket: Socket) => void = (socket) => {
      socket.write('half of an ans', () => setTimeout(() => socket.resetAndDestroy(), 20))
    }
    const port = await books.listen((socket) => behaviour(socket))
    const ip = world.service('books', [books.endpoint(port)])
    world.publish()
    assert.equal(await failureOf(till.connect(ip, 80)), 'ECONNRESET')
    const told = new Promise<string>((resolve) => {
      behaviour = (socket) => {
        socket.write('go')
        socket.resume().on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
      }
    })
    const socket = till.connect(ip, 80)
    socket.once('data', () => socket.resetAndDestroy())
    assert.equal(await told, 'ECONNRESET')
    await until('told', () => world.records.length === 4 && world.records.every(({ ended }) => ended === 'reset'))
  })
})
