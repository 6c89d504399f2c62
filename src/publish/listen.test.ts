import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { systemClock, type Clock } from '../kit/clock.ts'
import type { Credentials } from '../model/credentials.ts'
import type { Entry } from '../model/entries.ts'
import type { Identity } from '../model/identity.ts'
import type { ControlObserver, ListenControlOptions } from './listen.ts'
import { controller, service, snapshotOf, startControlPlane, trustDomain, until, type ControlPlane, type TestController } from './testing/control.ts'
import { credentialsOf, rawStream, type RawOptions, type RawStream } from './testing/raw.ts'

const till: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'till' }
const { publicKey: publicKeyPem } = generateKeyPairSync('ec', {
  namedCurve: 'prime256v1', publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})
const hello = (changes: object = {}): object => ({ type: 'hello', subscriber: { kind: 'entry', namespace: 'shop' }, identity: till, pod: 'till-1', ...changes })

describe("the controller's port", () => {
  let plane: ControlPlane
  let started: TestController
  let member: Credentials
  const streams: RawStream[] = []
  const sockets: Socket[] = []
  const refused: string[] = []
  const observer: ControlObserver = { refused: (cause) => refused.push(cause) }

  const start = async (changes: Partial<ListenControlOptions> = {}): Promise<void> => {
    started = await plane.start({ observer, ...changes })
    started.publisher.publish(snapshotOf(service('shop', 'cart'), service('books', 'reviews')))
  }
  const open = (options: RawOptions = {}): RawStream => {
    const stream = rawStream(started.server.address, options)
    streams.push(stream)
    return stream
  }
  const openTcp = (): Socket => {
    const socket = connectTcp(started.server.address)
    socket.on('error', () => {})
    sockets.push(socket)
    return socket
  }
  /** The message that ended the stream. */
  const refusal = async (stream: RawStream): Promise<string> => {
    const last = (await stream.over).at(-1)
    assert.ok(!stream.heard.some(({ type }) => type === 'update' || type === 'signed'), 'it got something')
    return last?.['type'] === 'refused' ? `${String(last['cause'])}: ${String(last['message'])}` : `ended after ${String(last?.['type'])}`
  }

  beforeEach(async () => {
    plane = await startControlPlane()
    member = await credentialsOf(plane.ca, till)
    refused.length = 0
  })
  afterEach(async () => {
    for (const each of streams.splice(0)) each.socket.destroy()
    for (const each of sockets.splice(0)) each.destroy()
    await plane.close()
  })

  describe('refuses', () => {
    it('configuration to somebody without a certificate', async () => {
      await start()
      const stream = open()
      stream.send(hello())
      assert.match(await refusal(stream), /^identity: configuration needs a certificate/)
      assert.deepEqual(refused, ['identity'])
    })

    it('a certificate of another mesh, whatever it asks for', async () => {
      await start()
      const other = await startControlPlane()
      for (const credentials of [await credentialsOf(other.ca, till)]) {
        const stream = open({ credentials })
        stream.send(hello())
        stream.send({ type: 'sign', id: 1, publicKeyPem, token: 'shop/till' })
        assert.match(await refusal(stream), /^certificate: untrusted/)
      }
      await other.close()
    })

    it('a certificate that has ended', async () => {
      const later: Clock = { ...systemClock, now: () => Date.now() + 3_700_000 }
      await start({ clock: later })
      const stream = open({ credentials: member })
      stream.send(hello())
      assert.match(await refusal(stream), /^certificate: expired/)
    })

    it("another namespace's slice, and another identity than the certificate's", async () => {
      await start()
      const slice = open({ credentials: member })
      slice.send(hello({ subscriber: { kind: 'waypoint', namespace: 'books' } }))
      assert.match(await refusal(slice), /^identity: an identity of shop may not have the configuration of books/)
      const identity = open({ credentials: member })
      identity.send(hello({ subscriber: { kind: 'waypoint', namespace: 'books' }, identity: { ...till, namespace: 'books' } }))
      assert.match(await refusal(identity), /^identity: hello names .*books.*the certificate .*shop/)
    })

    it("what only other controllers may know, and a waypoint's slice to a service account that is none", async () => {
      await start({ authorize: (identity, { kind }) => kind !== 'waypoint' || identity.serviceAccount === 'waypoint' || 'not the waypoint' })
      const acks = open({ credentials: member })
      acks.send(hello({ subscriber: { kind: 'controller', namespace: 'shop' } }))
      assert.match(await refusal(acks), /^identity: only a controller may know/)
      const waypoint = open({ credentials: member })
      waypoint.send(hello({ subscriber: { kind: 'waypoint', namespace: 'shop' } }))
      assert.match(await refusal(waypoint), /^identity: not the waypoint/)
    })

    it('tokens that prove nothing, and after three of them the stream', async () => {
      await start()
      const stream = open()
      for (const [id, token] of ['stolen', undefined, 'old'].entries()) {
        stream.send({ type: 'sign', id, publicKeyPem, token })
        await until('it is answered', () => stream.heard.some((each) => each['id'] === id))
      }
      assert.match(await refusal(stream), /^token: /)
      assert.deepEqual(stream.heard.filter(({ type }) => type === 'sign-failed').map(({ message, retryable }) => [message, retryable]), [
        ['the token is not authenticated', false], ['every request for a certificate needs a token of the service account', false], ['the token is not authenticated', false],
      ])
    })

    it('a token of another identity than the certificate of the stream', async () => {
      await start()
      const stream = open({ credentials: member })
      stream.send({ type: 'sign', id: 1, publicKeyPem, token: 'shop/boss' })
      assert.match(String((await stream.next('sign-failed'))['message']), /the token is that of .*boss, the certificate that of .*till/)
    })

    it('a client that speaks another protocol, or none', async () => {
      await start()
      const other = open({ protocols: ['h2'] })
      assert.equal(await refusal(other), 'ended after undefined')
      const none = open({ protocols: [] })
      assert.equal(await refusal(none), 'ended after undefined')
      const garbage = openTcp()
      garbage.write('GET / HTTP/1.1\r\n\r\n')
      await once(garbage, 'close')
      assert.deepEqual(refused, ['handshake', 'handshake', 'handshake'])
    })

    for (const [what, bytes] of [
      ['no JSON', 'hello\n'], ['JSON that is no message', '1\n'], ['a hello without an identity', '{"type":"hello"}\n'],
      ['a kind that nobody is', `${JSON.stringify(hello({ subscriber: { kind: '__proto__', namespace: 'shop' } }))}\n`],
      ['a message without an end', 'x'.repeat(300_000)], ['a message that is too long', `{"type":"ping","x":"${'x'.repeat(300_000)}"}\n`],
    ] as const) {
      it(`${what}, and goes on serving others`, async () => {
        await start()
        for (const credentials of [undefined, member]) {
          const stream = open(credentials === undefined ? {} : { credentials })
          stream.socket.write(bytes)
          assert.match(await refusal(stream), /^protocol: /)
        }
        await plane.join()
      })
    }

    it('a second hello', async () => {
      await start()
      const stream = open({ credentials: member })
      stream.send(hello())
      stream.send(hello())
      assert.match(String((await stream.over).at(-1)?.['message']), /one hello a stream/)
    })
  })

  it('tells a CA that can not answer now from a refusal', async () => {
    await start({ reviewToken: () => Promise.reject(new Error('the API server is away')) })
    const stream = open()
    stream.send({ type: 'sign', id: 7, publicKeyPem, token: 'shop/till' })
    assert.deepEqual(await stream.next('sign-failed'), { type: 'sign-failed', id: 7, message: 'the API server is away', retryable: true })
  })

  it('leaves out messages that it does not know, for they may be those of a later version', async () => {
    await start()
    const stream = open({ credentials: member })
    stream.send({ type: 'wave' })
    stream.send(hello())
    assert.equal((await stream.next('update'))['fresh'], true)
  })

  it('believes an acknowledgement only for what it sent', async () => {
    await start()
    const stream = open({ credentials: member })
    stream.send(hello())
    const { version, hash } = await stream.next('update')
    stream.send({ type: 'ack', version, hash: 'f'.repeat(64) })
    stream.send({ type: 'sign', id: 1, publicKeyPem, token: 'shop/till' })
    await stream.next('signed')
    assert.equal(started.server.acknowledgements()[0]?.hash, '')
    const other = open({ credentials: member })
    other.send(hello({ pod: 'till-2' }))
    await other.next('update')
    other.send({ type: 'ack', version, hash })
    await until('the right one is believed', () => started.server.acknowledgements()[1]?.hash === hash)
  })

  it('ends the stream when the certificate ends', async () => {
    const tasks: { readonly delayMs: number; readonly task: () => void }[] = []
    await start({
      clock: {
        now: systemClock.now,
        after: (delayMs, task) => {
          tasks.push({ delayMs, task })
          return () => {}
        },
      },
    })
    const stream = open({ credentials: member })
    stream.send(hello())
    await stream.next('update')
    tasks.find(({ delayMs }) => delayMs > 3_000_000)?.task()
    assert.match(String((await stream.over).at(-1)?.['message']), /the certificate has ended/)
  })

  it('gives up a peer that gives no sign of life', async () => {
    await start({ limits: { keepAliveMs: 20 } })
    const stream = open({ credentials: member })
    stream.send(hello())
    await stream.over
    assert.ok(stream.heard.some(({ type }) => type === 'ping'))
  })

  it('gives strangers little time and few connections, and members are served all the same', async () => {
    await start({ limits: { maxStrangersPerAddress: 3, strangerMs: 1_000 } })
    const silent = [openTcp(), openTcp(), open().socket]
    await until('they are there', () => started.server.connections() === 3)
    const fourth = openTcp()
    await once(fourth, 'close')
    assert.deepEqual(refused, ['overload'])
    silent[0]?.destroy()
    await until('there is room', () => started.server.connections() === 2)
    for (let count = 0; count < 5; count++) {
      const stream = open({ credentials: member })
      stream.send(hello())
      await stream.next('update')
    }
    assert.match(await refusal(streams[0]!), /^overload: a connection without a certificate may not last/)
  })

  it('gives one pod so many connections, and others theirs', async () => {
    await start({ limits: { maxPerMember: 2 } })
    for (let count = 0; count < 2; count++) {
      const stream = open({ credentials: member })
      stream.send(hello())
      await stream.next('update')
    }
    const third = open({ credentials: member })
    third.send(hello())
    assert.match(await refusal(third), /^overload: .*till has 2 connections already/)
    await plane.join({ identity: { ...till, serviceAccount: 'boss' } })
    streams[0]?.socket.destroy()
    await until('one is gone', () => started.server.connections() === 2)
    const fourth = open({ credentials: member })
    fourth.send(hello())
    await fourth.next('update')
  })

  it('keeps nothing for a subscriber that does not read, and brings it up to date when it does', async () => {
    let sent = 0
    await start({ observer: { updated: () => sent++ } })
    const stream = open({ credentials: member })
    stream.send(hello())
    await stream.next('update')
    stream.socket.pause()
    const big = (count: number): Entry => ({ ...service('shop', 'cart'), clusterIPs: [`${count}-${'x'.repeat(200_000)}`] }) as Entry
    for (let count = 0; count < 200; count++) {
      started.publisher.publish(snapshotOf(big(count)))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(sent < 100, `${sent} of 200 updates were sent to one who reads nothing`)
    stream.socket.resume()
    const hash = started.publisher.hash({ kind: 'entry', namespace: 'shop' })
    await until('it has the last', () => stream.heard.some((each) => each['hash'] === hash))
    assert.ok(sent < 100)
  })

  it('brings a changed entry to those whom it concerns, in bytes that do not depend on the rest', async () => {
    await start()
    const large = Array.from({ length: 500 }, (_, at) => service('shop', `s${at}`))
    started.publisher.publish(snapshotOf(...large))
    const stream = open({ credentials: member })
    stream.send(hello())
    await stream.next('update')
    const before = stream.socket.bytesRead
    started.publisher.publish(snapshotOf(...large.slice(1), service('shop', 's0', 81)))
    await until('it is there', () => stream.heard.filter(({ type }) => type === 'update').length === 2)
    assert.ok(stream.socket.bytesRead - before < 1_000, `${stream.socket.bytesRead - before} bytes`)
  })

  it('shows its renewed certificate to new connections, and ends the streams whose root is retired', async () => {
    await start()
    const stream = open({ credentials: member })
    stream.send(hello())
    await stream.next('update')
    for (const step of ['introduce', 'sign', 'retire'] as const) await plane.ca.rotate(step, { force: true })
    assert.match(String((await stream.over).at(-1)?.['message']), /root of the certificate is not trusted any more/)
    const next = open({ credentials: await credentialsOf(plane.ca, till) })
    next.send(hello())
    await next.next('update')
    await until('its own is of the new root', () => started.credentials.current().trustBundlePem.length === 1)
  })

  it('hears members when there is a configuration to judge by, and after a while in any case', async () => {
    const translated = Promise.withResolvers<undefined>()
    await start({ ready: translated.promise })
    const [stranger, patient] = [open(), open({ credentials: member })]
    patient.send(hello())
    stranger.send({ type: 'sign', id: 1, publicKeyPem, token: 'shop/till' })
    await stranger.next('signed')
    assert.deepEqual(patient.heard, [])
    translated.resolve(undefined)
    await patient.next('update')

    await start({ ready: new Promise(() => {}), authorize: () => 'nothing is known yet', limits: { patienceMs: 50 } })
    const hopeless = open({ credentials: member })
    hopeless.send(hello())
    assert.match(await refusal(hopeless), /^identity: nothing is known yet/)
  })

  it('tells what subscribers run to another controller only, at first all and then what changes', async () => {
    await start()
    const other = open({ credentials: await credentialsOf(plane.ca, controller) })
    other.send({ type: 'hello', subscriber: { kind: 'controller', namespace: controller.namespace }, identity: controller })
    assert.deepEqual(await other.next('acks'), { type: 'acks', fresh: true, put: [], remove: [] })
    const stream = open({ credentials: member })
    stream.send(hello())
    const { version, hash } = await stream.next('update')
    stream.send({ type: 'ack', version, hash })
    await until('both are told', () => other.heard.filter(({ type }) => type === 'acks').length === 3)
    const [id, told] = (other.heard.at(-1)?.['put'] as [[string, object]])[0]
    assert.deepEqual(told, { kind: 'entry', namespace: 'shop', name: 'till', pod: 'till-1', hash })
    stream.socket.destroy()
    await until('it is gone', () => JSON.stringify(other.heard.at(-1)?.['remove']) === JSON.stringify([id]))
  })
})
