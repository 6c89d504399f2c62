import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { systemClock } from '../../src/kit/clock.ts'
import { startEntry, type Entry } from '../../src/connect/entry.ts'
import type { Identity } from '../../src/model/identity.ts'
import { keepCredentials, type CredentialKeeper } from '../../src/transport/credentials.ts'
import { HboneError } from '../../src/transport/errors.ts'
import { createHboneClient } from '../../src/transport/hbone-client.ts'
import { listenHbone, type HboneServer } from '../../src/transport/hbone-server.ts'
import { splice } from '../../src/transport/tunnel.ts'
import { backend, type Backend } from './testing/backend.ts'
import { call, Refused } from './testing/client.ts'
import { l7Namespace, namespace, prefix, route, service, to, type Manifest } from './testing/manifests.ts'
import { startMesh, type Mesh } from './testing/mesh.ts'

/** Each case has an address of its own on loopback, for members are always reached on port 15008. */
const addresses = { right: '127.0.21.1', wrong: '127.0.21.2', plain: '127.0.21.3', absent: '127.0.21.4', foreign: '127.0.21.5', left: '127.0.21.6' }
const hbonePort = 15008

describe('closed by default (semantics 7, design 9)', () => {
  let mesh: Mesh
  let stranger: Mesh
  const apps: Backend[] = []
  const keepers: CredentialKeeper[] = []
  const servers: HboneServer[] = []
  const plainBytes: Buffer[] = []
  let trap: Server
  const traps: Socket[] = []

  const keep = async (of: Mesh, in_: string, serviceAccount: string): Promise<CredentialKeeper> => {
    const identity: Identity = { trustDomain: 'cluster.local', namespace: in_, serviceAccount }
    const keeper = await keepCredentials({ identity, clock: systemClock, fetch: (key) => of.world.mesh.ca.issue(identity, key), onError: () => {} })
    keepers.push(keeper)
    return keeper
  }
  /** A node's inbound side: takes tunnels as `credentials` and passes them on to the application. */
  const member = async (host: string, credentials: CredentialKeeper, peers: string[]): Promise<void> => {
    servers.push(await listenHbone({
      credentials, clock: systemClock, host, port: hbonePort,
      onTunnel: (tunnel) => {
        peers.push(tunnel.peerId)
        const local = connect({ host: tunnel.host, port: tunnel.port, allowHalfOpen: true })
        local.on('error', () => {})
        void splice(tunnel.accept(), local).done
      },
    }))
  }
  const peers: string[] = []

  before(async () => {
    stranger = await startMesh([])
    for (const [name, host] of Object.entries(addresses)) if (name !== 'absent') apps.push(await backend(name, undefined, host))
    const at = (name: string): Backend | { host: string; port: number } => apps.find((each) => each.name === name) ?? { host: addresses.absent, port: 9 }
    const pod = (name: string, labels: Readonly<Record<string, string>> = {}): Manifest => ({
      apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'members', labels },
      spec: { serviceAccountName: 'app', containers: [{ name: 'app' }] }, status: { phase: 'Running', podIP: addresses[name as keyof typeof addresses] },
    })
    const names = Object.keys(addresses)
    mesh = await startMesh(
      ['books', 'members'], ...l7Namespace('members', { 'waymark.dev/mesh': 'enabled' }), ...l7Namespace('books'), namespace('club'),
      ...names.flatMap((name) => [
        pod(name, name === 'left' ? { 'waymark.dev/mesh': 'disabled' } : {}),
        ...service(`members/${name}`, [{ at: at(name), targetRef: { kind: 'Pod', name } }]),
        ...service(`members/l4-${name}`, [{ at: at(name), targetRef: { kind: 'Pod', name } }]).map((object, index) =>
          index === 0 ? { ...object, metadata: { ...(object['metadata'] as Manifest), labels: { 'waymark.dev/waypoint': 'none' } } } : object),
      ]),
      ...service('books/front', []),
      route('HTTPRoute', 'books/front', 'books/front', names.map((name) => prefix(`/${name}`, { backendRefs: [to(`members/${name}`)] }))),
    )
    await member(addresses.right, await keep(mesh, 'members', 'app'), peers)
    await member(addresses.wrong, await keep(mesh, 'members', 'other'), peers)
    await member(addresses.foreign, await keep(stranger, 'members', 'app'), peers)
    trap = createServer((socket) => {
      traps.push(socket)
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        plainBytes.push(chunk)
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi')
      })
    })
    trap.listen(hbonePort, addresses.plain)
    await once(trap, 'listening')
  })
  after(async () => {
    await mesh.close()
    await stranger.close()
    for (const each of servers) await each.close()
    for (const each of keepers) each.close()
    for (const each of apps) each.close()
    for (const each of traps) each.destroy()
    trap.close()
  })

  it('an enrolled endpoint is reached by HBONE, where its pod\'s identity answers: from its waypoint, by a route, and at L4', async () => {
    peers.length = 0
    assert.equal((await mesh.call('members', 'right.members:80')).seen.backend, 'right')
    assert.equal((await mesh.call('books', 'front.books:80', { path: '/right' })).seen.backend, 'right')
    assert.equal((await mesh.call('books', 'l4-right.members:80')).seen.backend, 'right')
    assert.deepEqual(peers, ['spiffe://cluster.local/ns/members/sa/waypoint', 'spiffe://cluster.local/ns/books/sa/waypoint', 'spiffe://cluster.local/ns/books/sa/app'])
  })

  it('a pod\'s own address is reached by HBONE as well', async () => {
    const app = apps.find(({ name }) => name === 'right')
    peers.length = 0
    assert.equal((await mesh.call('books', `${addresses.right}:${app?.port ?? 0}`)).seen.backend, 'right')
    assert.deepEqual(peers, ['spiffe://cluster.local/ns/books/sa/app'])
  })

  for (const [name, reason, why] of [
    ['wrong', 'peer-identity', 'another identity of the mesh answers'], ['foreign', 'peer-identity', 'the identity comes from another root'],
    ['plain', 'connect-failure', 'somebody answers in plain'], ['absent', 'connect-failure', 'nobody listens'],
  ] as const) {
    it(`where ${why} the request is refused, and nothing is ever sent in plain`, async () => {
      const byRoute = await mesh.call('books', 'front.books:80', { path: `/${name}`, headers: { 'x-secret': 'words' } })
      assert.deepEqual([byRoute.status, byRoute.reason], [503, reason])
      const refused = await mesh.call('books', `l4-${name}.members:80`, { headers: { 'x-secret': 'words' } }).then(() => undefined, (error: unknown) => error)
      assert.ok(refused instanceof Refused && refused.status === 503, String(refused))
      assert.equal(refused.reason, reason)
      assert.deepEqual(apps.flatMap((each) => (each.name === name ? each.seen : [])), [])
      assert.ok(!Buffer.concat(plainBytes).includes('words') && !Buffer.concat(plainBytes).includes('HTTP/1.1'))
    })
  }

  it('a pod that its label leaves out is reached in plain', async () => {
    assert.equal((await mesh.call('members', 'left.members:80')).seen.backend, 'left')
  })

  it('a waypoint refuses callers that it does not serve, destinations that it does not know, and strangers', async () => {
    const [waypoint, id] = [mesh.world.mesh.waypoints().find(({ key }) => key === 'books/waypoint')?.address, 'spiffe://cluster.local/ns/books/sa/waypoint']
    assert.ok(waypoint)
    const open = async (of: Mesh, in_: string, authority: string): Promise<unknown> => {
      const client = createHboneClient({ credentials: await keep(of, in_, 'app'), clock: systemClock })
      const outcome = await client.connect({ ...waypoint, authority, peer: { kind: 'identity', id } }).then((stream) => {
        stream.destroy()
        return 'opened'
      }, (error: unknown) => (error instanceof HboneError ? [error.status, error.reason] : error))
      client.close()
      return outcome
    }
    assert.equal(await open(mesh, 'club', 'front.books.svc.cluster.local:80'), 'opened')
    assert.deepEqual(await open(mesh, 'club', 'right.members.svc.cluster.local:80'), [421, 'wrong-waypoint'])
    assert.deepEqual(await open(mesh, 'books', 'nobody.books.svc.cluster.local:80'), [502, 'unknown-destination'])
    assert.deepEqual(await open(mesh, 'books', '127.0.0.1:22'), [502, 'unknown-destination'])
    assert.notEqual(await open(stranger, 'books', 'front.books.svc.cluster.local:80'), 'opened')
  })

  it('an entry whose waypoint goes while it is dialled follows the configuration that took it away', async () => {
    const entry: Entry = await startEntry({ credentials: await keep(mesh, 'books', 'app'), host: '127.0.0.1', port: 0, clock: systemClock })
    const present = mesh.world.mesh.snapshot()
    const l4 = new Map([...present].map(([key, each]) => [key, each.kind === 'service' ? { ...each, waypoint: undefined } as unknown as typeof each : each]))
    // In the waypoint's place somebody who is about to leave.
    const leaving = createServer((socket) => {
      entry.configure(l4)
      socket.destroy()
    })
    leaving.listen(0, '127.0.0.1')
    await once(leaving, 'listening')
    const { port } = leaving.address() as AddressInfo
    entry.configure(new Map([...present].map(([key, each]) => [key, each.kind === 'waypoint' ? { ...each, addresses: [{ host: '127.0.0.1', port }] } : each])))
    assert.equal((await call(entry.address, 'left.members:80')).seen.backend, 'left')
    leaving.close()
    await entry.close()
  })

  it('an entry without configuration refuses; once its waypoint is gone it answers no-waypoint and never goes past it', async () => {
    const entry: Entry = await startEntry({ credentials: await keep(mesh, 'books', 'app'), host: '127.0.0.1', port: 0, clock: systemClock })
    const ask = (authority: string): Promise<unknown> => call(entry.address, authority).then(({ status }) => status, (error: unknown) => (error instanceof Refused ? [error.status, error.reason] : error))
    assert.deepEqual(await ask('left.members:80'), [503, 'no-configuration'])
    entry.configure(mesh.world.mesh.snapshot())
    assert.equal(await ask('left.members:80'), 200)
    const left = apps.find(({ name }) => name === 'left')
    left?.seen.splice(0)
    await mesh.world.mesh.close(0)
    assert.deepEqual(await ask('left.members:80'), [503, 'no-waypoint'])
    assert.deepEqual(await ask('front.books:80'), [503, 'no-waypoint'])
    assert.deepEqual(left?.seen, [])
    assert.equal(await ask('l4-left.members:80'), 200)
    await entry.close()
  })
})
