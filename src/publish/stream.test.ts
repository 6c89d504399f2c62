import assert from 'node:assert/strict'
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { Duplex, duplexPair, PassThrough } from 'node:stream'
import { systemClock } from '../kit/clock.ts'
import type { Issued } from '../model/credentials.ts'
import { entryKey, type Entry } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { createControllerClient, type ControllerClient, type ControllerClientOptions } from './client.ts'
import { createPublisher, type Publisher } from './publisher.ts'
import { serveStream, serveSubscriber } from './server.ts'
import type { ClientMessage, ServerMessage } from './messages.ts'
import { createWire } from './wire.ts'

const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'till' }
const issued: Issued = { certificateChainPem: 'chain', trustBundlePem: ['root'], notBeforeMs: 1, notAfterMs: 2 }
const service = (port: number): Entry => ({ kind: 'service', namespace: 'shop', name: 'cart', clusterIPs: [], headless: false, ports: [{ port, protocol: 'http' }] })
const snapshotOf = (...entries: Entry[]): Snapshot => new Map(entries.map((each) => [entryKey(each), each]))
const until = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1000 && !holds(); turn++) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(holds(), 'it did not come to pass within 5 s')
}

describe('the stream between controller and data plane', () => {
  let publisher: Publisher
  let tellBundle: (pems: readonly string[]) => void = () => {}
  const sockets = new Set<Socket>()
  const clients: ControllerClient[] = []
  const server = createServer((socket) => {
    sockets.add(socket)
    void serveSubscriber(socket, {
      publisher,
      issue: (_identity, key) => (key === 'bad' ? Promise.reject(new Error('not a P-256 key')) : Promise.resolve({ ...issued, certificateChainPem: key })),
      onBundleChange: (listener) => {
        tellBundle = listener
        return () => {}
      },
      authorize: (asked) => asked.serviceAccount === 'till' || 'only till may',
    })
  })
  const dial = (): Promise<Socket> => Promise.resolve(connect((server.address() as AddressInfo).port, '127.0.0.1'))
  const client = (changes: Partial<ControllerClientOptions> = {}): ControllerClient => {
    const made = createControllerClient({
      dial, subscriber: { kind: 'entry', namespace: 'shop' }, identity, clock: systemClock,
      onSnapshot: () => {}, onBundle: () => {}, onTrouble: () => {}, ...changes,
    })
    clients.push(made)
    return made
  }

  before((done) => void server.listen(0, '127.0.0.1', done))
  beforeEach(() => {
    publisher = createPublisher()
  })
  afterEach(() => {
    for (const each of clients.splice(0)) each.close()
    for (const each of sockets) each.destroy()
    sockets.clear()
  })
  after(() => void server.close())

  it('puts a message together that comes byte by byte', async () => {
    const stream = new PassThrough()
    const heard: unknown[] = []
    createWire(stream).onMessage((message) => heard.push(message))
    const said = { text: 'x'.repeat(5_000), and: 'ü' }
    for (const byte of Buffer.from(`${JSON.stringify(said)}\n${JSON.stringify(said)}\n`)) stream.write(Buffer.of(byte))
    await until(() => heard.length === 2)
    assert.deepEqual(heard, [said, said])
  })

  it('is ended for one who asks without end and does not read', () => {
    const refused: string[] = []
    let written = 0
    const stream = new Duplex({
      read: () => {},
      // It is never taken.
      write: (chunk: Buffer) => void (written += chunk.length),
    })
    const served = serveStream(stream, {
      publisher, issue: () => Promise.resolve(issued), onBundleChange: () => () => {}, authorize: () => true,
      caller: { kind: 'member', identity }, reviewToken: () => new Promise(() => {}), observer: { refused: (cause) => refused.push(cause) },
    })
    for (let id = 0; id < 1_000; id++) stream.emit('data', Buffer.from(`${JSON.stringify({ type: 'sign', id, publicKeyPem: 'key', token: 'x'.repeat(10_000) })}\n`))
    assert.deepEqual(refused, ['overload'])
    assert.ok(written < 20_000, `${written} bytes`)
    served.close()
  })

  it('brings each change once, and hears which version runs', async () => {
    const seen: Snapshot[] = []
    publisher.publish(snapshotOf(service(1)))
    client({ onSnapshot: (snapshot) => seen.push(snapshot) })
    await until(() => seen.length === 1)
    publisher.publish(snapshotOf(service(2)))
    await until(() => seen.length === 2)
    assert.deepEqual(seen.map((each) => [...each.values()]), [[service(1)], [service(2)]])
  })

  it('acknowledges what takes time only when it runs, and what could not be taken over never', async () => {
    const [ours, theirs] = duplexPair()
    const acknowledged: number[] = []
    const wire = createWire<ClientMessage, ServerMessage>(theirs)
    wire.onMessage((message) => {
      if (message.type === 'ack') acknowledged.push(message.version)
    })
    const begun: PromiseWithResolvers<undefined>[] = []
    const troubles: string[] = []
    const confirmed: string[] = []
    client({
      dial: () => Promise.resolve(ours),
      onSnapshot: () => {
        const made = Promise.withResolvers<undefined>()
        begun.push(made)
        return made.promise
      },
      onConfirmed: ({ hash }) => confirmed.push(hash),
      onTrouble: (message) => troubles.push(message),
    })
    const bring = (version: number): void => {
      const entry = service(version)
      wire.send({ type: 'update', version, fresh: false, hash: `h${version}`, changes: { put: [[entryKey(entry), entry]], remove: [] } })
    }
    for (const version of [1, 2, 3]) bring(version)
    await until(() => begun.length === 3)
    begun[0]?.resolve(undefined)
    await until(() => acknowledged.length === 1)
    begun[1]?.reject(new Error('no thread took it'))
    begun[2]?.resolve(undefined)
    await until(() => acknowledged.length === 2)
    assert.deepEqual([acknowledged, confirmed], [[1, 3], ['h1', 'h3']])
    assert.deepEqual(troubles, ['the configuration could not be taken over: no thread took it'])
  })

  it('signs certificates for the identity of the stream, and passes on what the CA says', async () => {
    const made = client()
    await until(() => made.connected())
    assert.equal((await made.sign('key')).certificateChainPem, 'key')
    await assert.rejects(made.sign('bad'), /not a P-256 key/)
  })

  it('brings new trust bundles', async () => {
    const bundles: (readonly string[])[] = []
    const made = client({ onBundle: (bundle) => bundles.push(bundle) })
    await made.sign('key').catch(() => until(() => made.connected()).then(() => made.sign('key')))
    tellBundle(['old', 'new'])
    await until(() => bundles.length === 1)
    assert.deepEqual(bundles, [['old', 'new']])
  })

  it('keeps the last configuration while the stream is down, and is fresh after it came back', async () => {
    const seen: Snapshot[] = []
    const troubles: string[] = []
    publisher.publish(snapshotOf(service(1)))
    client({ onSnapshot: (snapshot) => seen.push(snapshot), onTrouble: (message) => troubles.push(message) })
    await until(() => seen.length === 1)
    for (const each of sockets) each.destroy()
    publisher.publish(snapshotOf({ ...service(3), name: 'other' } as Entry))
    await until(() => seen.length === 2)
    assert.deepEqual([...(seen[1]?.keys() ?? [])], ['service/shop/other'])
    assert.match(troubles[0] ?? '', /stream from the controller ended/)
  })

  for (const [what, changes, why] of [
    ["another namespace's configuration", { subscriber: { kind: 'waypoint', namespace: 'books' } }, /may not have the configuration of books/],
    ['an identity that it may not have', { identity: { ...identity, serviceAccount: 'boss' } }, /only till may/],
    ['an identity that is none', { identity: { ...identity, trustDomain: 'Über' } }, /lacks an identity/],
  ] as const) {
    it(`refuses ${what} and says why`, async () => {
      const troubles: string[] = []
      publisher.publish(snapshotOf(service(1)))
      client({ ...changes, onTrouble: (message) => troubles.push(message), onSnapshot: () => assert.fail('it got a configuration') })
      await until(() => troubles.length > 0)
      assert.match(troubles[0] ?? '', why)
    })
  }

  it('ends on a line that is not JSON or that is too long', async () => {
    for (const line of ['{"type":\n', 'x'.repeat(200)]) {
      const pair = createServer()
      await new Promise<void>((resolve) => pair.listen(0, '127.0.0.1', resolve))
      const near = connect((pair.address() as AddressInfo).port, '127.0.0.1')
      const far = await new Promise<Socket>((resolve) => pair.once('connection', resolve))
      pair.close()
      const wire = createWire(far, 100)
      near.write(line)
      await wire.closed
      near.destroy()
    }
  })
})
