import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCa, type Ca } from '../../ca/server.ts'
import { memoryStore } from '../../ca/store.ts'
import { systemClock, type Clock } from '../kit/clock.ts'
import { parseSpiffeId, type Identity } from '../model/identity.ts'
import { createIdentities, type Identities } from './identities.ts'

const trustDomain = 'mesh.example'
const till: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'till' }
const id = `spiffe://${trustDomain}/ns/shop/sa/till`

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail('it did not come about within five seconds')
}

describe('createIdentities', () => {
  let ca: Ca
  let directory: string
  let asked: string[]
  let available: boolean
  let pending: (() => void)[]
  const opened: Identities[] = []
  /** Real time, but what waits for the end of an account's linger is at hand. */
  const clock: Clock = {
    now: systemClock.now,
    after: (delayMs, task) => {
      if (delayMs !== 5_000) return systemClock.after(delayMs, task)
      pending.push(task)
      return () => {}
    },
  }
  const open = (): Identities => {
    const made = createIdentities({
      clock, stateDirectory: directory, onTrouble: () => {},
      signFor: (forId, publicKeyPem) => {
        asked.push(forId)
        const identity = parseSpiffeId(forId)
        if (!available || identity === undefined) return Promise.reject(new Error('no controller'))
        return ca.issue(identity, publicKeyPem)
      },
    })
    opened.push(made)
    return made
  }
  const linger = (): void => {
    for (const task of pending.splice(0)) task()
  }

  beforeEach(async () => {
    ca = await createCa({ store: memoryStore(), trustDomain, clock: systemClock })
    directory = await mkdtemp(join(tmpdir(), 'waymark-identities-'))
    asked = []
    pending = []
    available = true
  })
  afterEach(async () => {
    for (const each of opened.splice(0)) each.close()
    // What is kept may still be on its way to the disk.
    await rm(directory, { recursive: true, maxRetries: 20, retryDelay: 50 })
  })

  it('asks once for a service account, however many of its pods there are', async () => {
    const identities = open()
    const holds = [identities.hold(till), identities.hold(till)]
    const [a, b] = await Promise.all(holds.map(({ ready }) => ready))
    assert.equal(a, b)
    assert.deepEqual(asked, [id])
    assert.deepEqual(identities.list().map(({ holds: count }) => count), [2])
  })

  it('drops the key with the last pod, from disk too, a moment later', async () => {
    const identities = open()
    const [first, second] = [identities.hold(till), identities.hold(till)]
    await Promise.all([first.ready, second.ready])
    first.release()
    first.release()
    linger()
    assert.equal(identities.list().length, 1)
    second.release()
    assert.equal(identities.list().length, 1)
    linger()
    assert.equal(identities.list().length, 0)
    const folder = join(directory, 'identities')
    await until(() => !existsSync(folder) || readdirSync(folder).length === 0)
  })

  it('keeps it if a new pod of that account comes in the meantime', async () => {
    const identities = open()
    const first = identities.hold(till)
    await first.ready
    first.release()
    const second = identities.hold(till)
    linger()
    await second.ready
    assert.deepEqual(asked, [id])
    assert.equal(identities.list().length, 1)
  })

  it('starts from what was kept when no controller is to be found', async () => {
    const before = open()
    await before.hold(till).ready
    await until(() => globSync('identities/*/*.json', { cwd: directory }).length > 0)
    before.close()
    available = false
    const credentials = await open().hold(till).ready
    assert.equal(credentials.identity.serviceAccount, 'till')
  })

  it('gives the roots of now to those who are there and to those who come', async () => {
    const identities = open()
    const first = await identities.hold(till).ready
    await ca.rotate('introduce')
    identities.updateBundle(ca.bundle())
    assert.equal(first.current().trustBundlePem.length, 2)
    const later = await identities.hold({ ...till, serviceAccount: 'late' }).ready
    assert.equal(later.current().trustBundlePem.length, 2)
  })
})
