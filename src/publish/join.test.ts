import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock, type Clock } from '../kit/clock.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { JoinOptions } from './join.ts'
import { service, snapshotOf, startControlPlane, until, type ControlPlane } from './testing/control.ts'

const one = snapshotOf(service('shop', 'cart'))
const two = snapshotOf(service('shop', 'cart', 81))

describe('joinMesh', () => {
  let plane: ControlPlane
  let seen: Snapshot[]
  beforeEach(async () => {
    seen = []
    plane = await startControlPlane()
  })
  afterEach(() => plane.close())
  const onSnapshot = (snapshot: Snapshot): void => void seen.push(snapshot)
  const state = (): string => join(plane.directory, 'state')

  it('gets a certificate by a token and configuration by the certificate, and the controller knows what it runs', async () => {
    const { publisher, server } = await plane.start()
    publisher.publish(one)
    const member = await plane.join({ onSnapshot })
    assert.deepEqual(seen, [one])
    assert.equal(member.credentials.identity.serviceAccount, 'till')
    assert.equal(member.source(), 'controller')
    publisher.publish(two)
    await until('the change is there', () => seen.length === 2)
    const hash = publisher.hash({ kind: 'entry', namespace: 'shop' })
    await until('it is acknowledged', () => server.acknowledgements()[0]?.hash === hash)
    assert.deepEqual(server.acknowledgements(), [{ kind: 'entry', namespace: 'shop', name: 'till', pod: 'till-1', hash }])
    assert.ok(member.staleMs() < 10_000)
    assert.deepEqual(plane.troubles, [])
  })

  it('does not say that it runs what it could not take over', async () => {
    const { publisher, server } = await plane.start()
    publisher.publish(one)
    await plane.join({
      onSnapshot: (snapshot) => {
        if (snapshot.size === 0) throw new Error('it is empty')
      },
    })
    const before = publisher.hash({ kind: 'entry', namespace: 'shop' })
    await until('the first is acknowledged', () => server.acknowledgements()[0]?.hash === before)
    publisher.publish(new Map())
    await until('it is said', () => plane.troubles.some((each) => each.includes('it is empty')))
    assert.equal(server.acknowledgements()[0]?.hash, before)
  })

  describe('with several controllers', () => {
    it('leaves one that ends for another before it is gone, and gets only what it lacks', async () => {
      const updates: boolean[] = []
      const first = await plane.start()
      const second = await plane.start({ observer: { updated: (_kind, fresh) => updates.push(fresh) } })
      for (const { publisher } of [first, second]) publisher.publish(one)
      const addresses = [first.server.address.host, second.server.address.host]
      const member = await plane.join({ onSnapshot, random: () => 0, resolve: () => Promise.resolve(addresses) })
      assert.equal(first.server.acknowledgements().length, 1)
      await first.server.close()
      await until('it is at the second', () => second.server.acknowledgements().length === 1)
      assert.ok(member.connected())
      assert.deepEqual(updates, [false])
      second.publisher.publish(two)
      await until('it follows the second', () => seen.length === 2)
      assert.deepEqual(plane.troubles, [])
    })

    it('goes on when one is killed', async () => {
      const first = await plane.start()
      const second = await plane.start()
      for (const { publisher } of [first, second]) publisher.publish(one)
      await plane.join({ onSnapshot, random: () => 0, resolve: () => Promise.resolve([first.server.address.host, second.server.address.host]) })
      await first.server.close(0)
      await until('it is at the second', () => second.server.acknowledgements().length === 1)
      second.publisher.publish(two)
      await until('it follows the second', () => seen.length === 2)
    })

    it('moves by itself after a time, so that subscribers spread, and is never without one meanwhile', async () => {
      const moves: (() => void)[] = []
      const clock: Clock = { now: systemClock.now, after: (delayMs, task) => (delayMs === 600_000 ? (moves.push(task), () => {}) : systemClock.after(delayMs, task)) }
      const first = await plane.start()
      const second = await plane.start()
      for (const { publisher } of [first, second]) publisher.publish(one)
      let addresses = [first.server.address.host]
      const member = await plane.join({ onSnapshot, clock, random: () => 0, resolve: () => Promise.resolve(addresses) })
      assert.equal(moves.length, 1)
      addresses = [second.server.address.host]
      moves[0]?.()
      await until('it is at the second', () => {
        assert.ok(member.connected())
        return second.server.acknowledgements().length === 1 && first.server.acknowledgements().length === 0
      })
      assert.equal(moves.length, 2)
      assert.equal(seen.length, 1)
    })
  })

  describe('with what is kept', () => {
    /** Joins, and leaves with all that was kept. */
    const before = async (changes: Partial<JoinOptions> = {}): Promise<void> => {
      const { publisher } = await plane.start()
      publisher.publish(one)
      const member = await plane.join({ stateDirectory: state(), ...changes })
      await member.close()
    }
    const nobody = { resolve: (): Promise<string[]> => Promise.reject(new Error('no such name')) }
    /** Starts without any controller. @returns whether it could */
    const startsAlone = async (changes: Partial<JoinOptions> = {}): Promise<boolean> => {
      const giveUp = new AbortController()
      setTimeout(() => giveUp.abort(), 200).unref()
      return plane.join({ ...nobody, stateDirectory: state(), onSnapshot, signal: giveUp.signal, patienceMs: 50, ...changes }).then(() => true, () => false)
    }

    it('starts from it while no controller answers, and says so', async () => {
      await before()
      const member = await plane.join({ ...nobody, stateDirectory: state(), onSnapshot, patienceMs: 50 })
      assert.deepEqual(seen, [one])
      assert.deepEqual([member.source(), member.connected()], ['kept', false])
      assert.equal(member.credentials.current().identity.serviceAccount, 'till')
      assert.deepEqual(plane.troubles, ['no stream from the controller: no such name'])
    })

    it('asks a controller for what has changed only, and takes the same objects on', async () => {
      const updates: boolean[] = []
      const { publisher } = await plane.start({ observer: { updated: (_kind, fresh) => updates.push(fresh) } })
      publisher.publish(one)
      await (await plane.join({ stateDirectory: state() })).close()
      const member = await plane.join({ stateDirectory: state(), onSnapshot })
      assert.deepEqual([updates, seen, member.source()], [[true, false], [one], 'controller'])
    })

    it('keeps it for nobody else', async () => {
      await before()
      assert.equal((await stat(state())).mode & 0o777, 0o700)
      const files = await readdir(state())
      assert.deepEqual(files.sort(), ['configuration.json', 'credentials.json'])
      for (const file of files) assert.equal((await stat(join(state(), file))).mode & 0o777, 0o600)
    })

    for (const [what, spoil] of [
      ['cut off', (text: string): string => text.slice(0, -20)],
      ['changed', (text: string): string => `${text.slice(0, -10)}0${text.slice(-9)}`],
      ['empty', (): string => ''],
      ['no JSON', (): string => 'hello\nworld'],
      ['of another version', (text: string): string => text.replace('waymark-kept/1', 'waymark-kept/9')],
      ["another identity's", (text: string): string => text.replace('sa/till', 'sa/boss')],
    ] as const) {
      it(`says that a file is ${what}, and does without it`, async () => {
        await before()
        for (const file of ['configuration.json', 'credentials.json']) {
          const path = join(state(), file)
          await writeFile(path, spoil(await readFile(path, 'utf8')))
        }
        assert.equal(await startsAlone(), false)
        assert.equal(plane.troubles.filter((each) => /what was kept in .* is not used/.test(each)).length, 2)
        await plane.join({ stateDirectory: state(), onSnapshot })
        assert.deepEqual(seen, [one])
      })
    }

    it('does not use a certificate that has ended', async () => {
      await before()
      assert.equal(await startsAlone({ clock: { ...systemClock, now: () => Date.now() + 3_700_000 } }), false)
      assert.deepEqual(seen, [])
    })

    it('trusts controllers by the kept bundle only while the file can not be read', async () => {
      await before()
      const member = await plane.join({ stateDirectory: state(), bundleFile: join(plane.directory, 'nothing') })
      await until('it has a controller', () => member.source() === 'controller')
      const other = await startControlPlane()
      const stranger = await plane.join({ stateDirectory: state(), bundleFile: other.bundleFile, patienceMs: 50 })
      assert.equal(stranger.source(), 'kept')
      await other.close()
    })
  })

  describe('waits, says why, and goes on as soon as it can', () => {
    const fails = async (why: RegExp, changes: Partial<JoinOptions>, mend: () => Promise<unknown>): Promise<void> => {
      const { publisher } = await plane.start()
      publisher.publish(one)
      // Pauses after failed certificates are a second and more: without jitter there is none.
      const joining = plane.join({ onSnapshot, random: () => 0, ...changes })
      await until('it says why', () => plane.troubles.some((each) => why.test(each)))
      assert.deepEqual(seen, [])
      await mend()
      await joining
      assert.deepEqual(seen, [one])
    }

    it('for a token', async () => {
      const tokenFile = join(plane.directory, 'later')
      await fails(/the token can not be read: .*later.*mount a projected/, { tokenFile }, () => writeFile(tokenFile, 'shop/till'))
    })

    it('for a token that proves something', async () => {
      const tokenFile = await plane.tokenFile('stolen')
      await fails(/the token is not authenticated/, { tokenFile }, () => writeFile(tokenFile, 'shop/till'))
    })

    it('for a bundle', async () => {
      const bundleFile = join(plane.directory, 'bundle')
      await fails(/the trust bundle .*bundle can not be used/, { bundleFile }, () => writeFile(bundleFile, plane.ca.bundle().join('')))
    })

    it('for the controller, when somebody else answers in its place', async () => {
      const other = await startControlPlane()
      await writeFile(join(plane.directory, 'mixed'), other.ca.bundle().join(''))
      await fails(/certificate/, { bundleFile: join(plane.directory, 'mixed') }, () => writeFile(join(plane.directory, 'mixed'), plane.ca.bundle().join('')))
      await other.close()
    })

    it('for an identity that is the controller\'s: another member of the mesh is not believed', async () => {
      await plane.start()
      const giveUp = new AbortController()
      const joining = plane.join({ controllerId: 'spiffe://mesh.example/ns/shop/sa/boss', signal: giveUp.signal })
      await until('it says why', () => plane.troubles.some((each) => each.includes('waymark-controller answers on 127.0.0.1')))
      giveUp.abort(new Error('enough'))
      await assert.rejects(joining, /enough/)
    })
  })

  it('follows a rotation of the root while it is connected, and after it was cut off by its end', async () => {
    const { publisher, server } = await plane.start()
    publisher.publish(one)
    const member = await plane.join({ onSnapshot })
    const roots = (): number => member.credentials.current().trustBundlePem.length
    await plane.ca.rotate('introduce', { force: true })
    await until('both roots are trusted', () => roots() === 2)
    // As the ConfigMap does: the file follows a while later.
    await writeFile(plane.bundleFile, plane.ca.bundle().join(''))
    for (const step of ['sign', 'retire'] as const) await plane.ca.rotate(step, { force: true })
    await until('only the new root is trusted', () => roots() === 1)
    await until('it is back with a certificate of the new root', () => member.connected() && server.acknowledgements().length === 1)
    publisher.publish(two)
    await until('it is configured', () => seen.length === 2)
  })
})
