import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { startEntry } from '../connect/entry.ts'
import { systemClock } from '../kit/clock.ts'
import { createControllerClient } from '../publish/client.ts'
import { keepCredentials } from '../transport/credentials.ts'
import { ListenError } from './listening.ts'
import { run } from './run.ts'
import { ask, routeManifest, serviceManifest, startBackend, startWorld, until, waypointManifest, type World } from './testing/world.ts'

const reviews = { namespace: 'books', name: 'reviews' }

describe('the mesh of a folder', () => {
  let v1: Server
  let v2: Server
  let world: World
  const services = (): string => serviceManifest('books', 'reviews', [v1]) + serviceManifest('books', 'v1', [v1]) + serviceManifest('books', 'v2', [v2])
  const start = async (files: Record<string, string> = {}, changes: Parameters<typeof startWorld>[2] = {}): Promise<void> => {
    world = await startWorld(
      { 'services.yaml': services(), 'books.yaml': waypointManifest('books'), 'route.yaml': routeManifest('books', reviews, { v1: 1 }), ...files },
      ['books', 'shop'], changes,
    )
  }

  before(async () => {
    v1 = await startBackend('v1')
    v2 = await startBackend('v2')
  })
  after(() => {
    for (const each of [v1, v2]) {
      each.close()
      each.closeAllConnections()
    }
  })
  afterEach(() => world.close())

  it('takes a changed route over under load without a lost request', async () => {
    await start()
    let done = false
    const seen = new Set<string>()
    const statuses = new Set<number>()
    const load = Promise.all(Array.from({ length: 4 }, async () => {
      while (!done) {
        const answer = await world.ask('shop', 'http://reviews.books/')
        statuses.add(answer.status)
        seen.add(answer.body)
      }
    }))
    for (const name of ['v2', 'v1', 'v2', 'v1', 'v2']) {
      await world.write('route.yaml', routeManifest('books', reviews, { [name]: 1 }))
      await until(`${name} answers`, async () => (await world.ask('shop', 'http://reviews.books/')).body === name)
    }
    done = true
    await load
    assert.deepEqual([...statuses], [200])
    assert.deepEqual([...seen].sort(), ['v1', 'v2'])
  })

  it('keeps the last good version of an object whose change is broken, says so, and says when it is mended', async () => {
    await start()
    await world.write('route.yaml', routeManifest('books', reviews, { v2: 1 }).replace('weight: 1', 'weight: many'))
    await until('the trouble is told', () => world.log.some((line) => line.includes('route.yaml:') && line.includes('weight')))
    assert.equal((await world.ask('shop', 'http://reviews.books/')).body, 'v1')
    await world.write('route.yaml', routeManifest('books', reviews, { v2: 1 }))
    await until('the mended route is in force', async () => (await world.ask('shop', 'http://reviews.books/')).body === 'v2')
    assert.ok(world.log.some((line) => line.startsWith('resolved: ')))
  })

  it('starts a waypoint when its Gateway comes, for consumer routes too, and retires it when it goes', async () => {
    await start({ 'consumer.yaml': routeManifest('shop', reviews, { v2: 1 }) })
    assert.equal((await world.ask('shop', 'http://reviews.books/')).body, 'v1')
    await world.write('shop.yaml', waypointManifest('shop'))
    await until("shop's own route is in force", async () => (await world.ask('shop', 'http://reviews.books/')).body === 'v2')
    assert.equal((await world.ask('books', 'http://reviews.books/')).body, 'v1')
    assert.deepEqual(world.mesh.waypoints().map(({ key }) => key).sort(), ['books/waypoint', 'shop/waypoint'])
    await world.write('shop.yaml', '')
    await until('the producer decides again', async () => (await world.ask('shop', 'http://reviews.books/')).body === 'v1')
    assert.deepEqual(world.mesh.waypoints().map(({ key }) => key), ['books/waypoint'])
  })

  it('tells the backend who called', async () => {
    await start()
    const headers = JSON.parse((await world.ask('shop', 'http://reviews.books/headers', { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/bank/sa/boss' })).body) as Record<string, string>
    assert.match(headers['x-forwarded-client-cert'] ?? '', /URI="?spiffe:\/\/cluster\.local\/ns\/shop\/sa\/app/)
    assert.ok(!headers['x-forwarded-client-cert']?.includes('boss'))
  })

  it('replaces its root in three steps under traffic without a lost request', async () => {
    await start()
    const { ca } = world.mesh
    const statuses = new Set<number>()
    let done = false
    const stopped = (): boolean => done
    const load = (async () => {
      while (!stopped()) statuses.add((await world.ask('shop', 'http://reviews.books/')).status)
    })()
    const before = ca.bundle()
    for (const step of ['introduce', 'sign', 'retire'] as const) {
      await ca.rotate(step, { force: true })
      for (let time = 0; time < 20; time++) await world.ask('shop', 'http://reviews.books/')
    }
    done = true
    await load
    assert.deepEqual([...statuses], [200])
    assert.equal(ca.bundle().length, 1)
    assert.notDeepEqual(ca.bundle(), before)
    assert.equal((await world.ask('books', 'http://reviews.books/')).status, 200)
  })

  it('refuses strangers at the waypoint: no certificate, and a certificate of another root', async () => {
    await start()
    const address = world.mesh.waypoints()[0]?.address
    assert.ok(address)
    const code = await new Promise<string>((resolve, reject) => {
      const socket = connectTls({ host: address.host, port: address.port, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      socket.on('data', () => reject(new Error('the waypoint spoke to a stranger')))
      socket.on('end', () => resolve('ended'))
    })
    assert.match(code, /ERR_SSL|ECONNRESET|ended/)
  })

  it('serves readiness, metrics and what it runs, each on a port of its own', async () => {
    await start({}, { readyPort: 0, metricsPort: 0, adminPort: 0 })
    await world.ask('shop', 'http://reviews.books/')
    const url = (name: string): string => world.mesh.summary().find((line) => line.startsWith(name))?.split(' on ')[1] ?? ''
    assert.equal(await (await fetch(`${url('readiness')}/readyz`)).text(), 'ready\n')
    assert.match(await (await fetch(`${url('metrics')}/metrics`)).text(), /waymark_requests_total\{[^}]*service="reviews"[^}]*code="200"[^}]*\} 1/)
    const snapshot = await (await fetch(`${url('admin')}/snapshot`)).json() as Record<string, unknown>
    assert.ok('waypoint/books/waypoint' in snapshot)
  })

  it('writes an access log line for each request', async () => {
    const lines: string[] = []
    await start({}, { accessLog: (line) => lines.push(line) > 0 })
    await world.ask('shop', 'http://reviews.books/a')
    await until('the line is written', () => lines.length === 1)
    const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
    assert.equal(line['route'], 'HTTPRoute books/reviews')
    assert.equal(line['source'], 'spiffe://cluster.local/ns/shop/sa/app')
  })

  it('lets an entry of another process in through the control socket, and that one goes on when the controller is gone', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'waymark-control-'))
    const path = join(directory, 'control.sock')
    await start({}, { controlSocket: path })
    const identity = { trustDomain: 'cluster.local', namespace: 'club', serviceAccount: 'member' }
    let configure: Parameters<typeof createControllerClient>[0]['onSnapshot'] = () => {}
    const client = createControllerClient({
      dial: () => Promise.resolve(connect(path)), subscriber: { kind: 'entry', namespace: 'club' }, identity, clock: systemClock,
      onSnapshot: (snapshot) => configure(snapshot), onBundle: () => {}, onTrouble: () => {},
    })
    await until('the stream is up', () => client.connected())
    const credentials = await keepCredentials({ identity, fetch: client.sign, clock: systemClock, onError: () => {} })
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    const entry = await startEntry({ credentials, host: '127.0.0.1', port: 0, clock: systemClock })
    configure = entry.configure
    await world.write('route.yaml', routeManifest('books', reviews, { v2: 1 }) + '\n# touched')
    await world.write('more.yaml', serviceManifest('books', 'more', [v1]))
    await until('it is configured', async () => (await ask(entry.address, 'http://reviews.books/')).body === 'v2')
    client.close()
    assert.equal((await ask(entry.address, 'http://reviews.books/')).body, 'v2')
    await entry.close()
    credentials.close()
    await rm(directory, { recursive: true })
  })
})

describe('run', () => {
  it('names the port that is in use and the option that changes it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const directory = await mkdtemp(join(tmpdir(), 'waymark-run-'))
    const options = { directory, watch: false, host: '127.0.0.1', trustDomain: 'cluster.local', log: () => {} }
    await assert.rejects(run({ ...options, entries: [], metricsPort: port }), (error) => error instanceof ListenError && error.message.includes(`port ${port}`) && error.message.includes('--metrics-port'))
    await assert.rejects(run({ ...options, entries: [{ namespace: 'a', serviceAccount: 'b', port }] }), (error) => error instanceof ListenError && error.message.includes('--as a/b@'))
    taken.close()
    await rm(directory, { recursive: true })
  })

  it('stops at the start if the folder can not be read', async () => {
    await assert.rejects(run({ directory: '/nowhere/at/all', watch: false, host: '127.0.0.1', trustDomain: 'cluster.local', log: () => {}, entries: [] }), /nowhere\/at\/all/)
  })
})

describe('the kept CA', () => {
  it('is said to be new or kept, and a broken one is refused without quoting its keys', async () => {
    const state = await mkdtemp(join(tmpdir(), 'waymark-state-'))
    const first = await startWorld({}, [], { stateDirectory: state })
    const root = first.mesh.ca.bundle()
    await first.close()
    assert.match(first.log.join(), /CA: a new root, kept in /)
    const second = await startWorld({}, [], { stateDirectory: state })
    assert.deepEqual(second.mesh.ca.bundle(), root)
    await second.close()
    assert.match(second.log.join(), /CA: the root that is kept in /)
    const kept = await readFile(join(state, 'ca.json'), 'utf8')
    await writeFile(join(state, 'ca.json'), kept.replace('PRIVATE', '"PRIVATE'))
    await assert.rejects(startWorld({}, [], { stateDirectory: state }), (error: Error) => error.message.endsWith('it is not JSON'))
    await rm(state, { recursive: true })
  })
})
