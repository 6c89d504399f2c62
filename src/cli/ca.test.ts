import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { createBundleWriter, type BundleWriter } from '../control/ca/bundle-writer.ts'
import type { CaInfo } from '../control/ca/info.ts'
import { caNames } from '../control/ca/names.ts'
import { hour, namespace, startCluster, until, type Controller, type TestCluster } from '../control/ca/testing/cluster.ts'
import { install } from '../model/install.ts'
import { caRotate, caStatus, type CaRotateAccess, type CaRotateOptions } from './ca.ts'
import { plain, type Io } from './io.ts'

describe('waymark ca', () => {
  let cluster: TestCluster
  let leader: Controller
  let bundles: BundleWriter
  let out = ''
  let said: string[] = []
  const io: Io = { out: (text) => (out += text), say: (line) => void said.push(line), paint: plain }
  const options: CaRotateOptions = { namespace, output: 'table' }
  const access = (): CaRotateAccess => ({ client: cluster.server.client(), clock: cluster.clock, stopped: new Promise(() => {}) })
  const annotations = (): Readonly<Record<string, string>> => cluster.server.get({ kind: 'Secret', namespace, name: install.caSecret })?.metadata.annotations ?? {}
  const configMap = { kind: 'ConfigMap', namespace, name: install.bundleConfigMap }

  const start = async (more: Parameters<TestCluster['open']>[0] = {}): Promise<void> => {
    leader = await cluster.open(more)
    bundles = createBundleWriter({ client: cluster.server.client(), clock: cluster.clock, random: () => 0.5, namespace, log: () => {} })
    const write = (): void => bundles.update(new Set(), leader.ca.bundle(), leader.ca.info())
    leader.ca.onChange(write)
    leader.ca.setActive(true)
    bundles.setActive(true)
    write()
    await until(() => cluster.server.get(configMap) !== undefined, 'the bundle')
  }
  beforeEach(async () => {
    cluster = await startCluster()
    out = ''
    said = []
  })
  afterEach(async () => {
    bundles.close()
    await cluster.close()
  })

  /** Turns the clock until the verb is done. */
  const finish = async (verb: Promise<number>, stepMs = 120_000): Promise<number> => {
    let code: number | undefined
    const done = verb.then((given) => (code = given))
    await cluster.turnUntil(stepMs, () => code !== undefined)
    return done
  }

  it('says how the CA stands, in every form', async () => {
    await start()
    assert.equal(await caStatus(options, io, access()), 0)
    assert.match(out, /^CA of cluster.local, generation 0: no rotation is under way, since 2026-01-02T03:04:05Z\n/)
    assert.ok(out.includes(`${leader.ca.rotation().signing}  yes    2035-12-31T03:04:05Z`))
    out = ''
    await caStatus({ ...options, output: 'json' }, io, access())
    const { roots, ...rest } = JSON.parse(out) as { roots: object[] }
    assert.deepEqual(rest, { trustDomain: 'cluster.local', phase: 'steady', generation: 0, problems: [], since: '2026-01-02T03:04:05Z' })
    assert.deepEqual(roots, [{ fingerprint: leader.ca.rotation().signing, notAfter: '2035-12-31T03:04:05Z', signs: true }])
  })

  it('shows a rotation from its beginning to its end, in a line for each step', async () => {
    await start()
    const running = caRotate(options, io, access())
    // The controller begins within the verb's patience.
    await cluster.turnUntil(1, () => JSON.stringify(cluster.server.get(configMap)).includes('introduced'))
    assert.equal(await finish(running, 60_000), 0)
    assert.deepEqual(said.map((line) => line.replace(/2026-\S+Z/, 'TIME')), [
      'asked for generation 1',
      'generation 1: the new root is trusted beside the former one, which signs; next: the new root signs at TIME, when every certificate from before has been renewed',
      'generation 1: the new root signs; the former one is still trusted; next: the former root is retired at TIME, when every certificate from before has been renewed',
      'generation 1: done; the former root is not trusted any more',
    ])
    assert.equal(leader.ca.rotation().generation, 1)
  })

  it('only shows progress when it is run again while the rotation is under way', async () => {
    await start()
    assert.equal(await caRotate({ ...options, wait: false }, io, access()), 0)
    await cluster.turnUntil(0, () => JSON.stringify(cluster.server.get(configMap)).includes('introduced'))
    cluster.server.resetCounts()
    assert.equal(await caRotate({ ...options, wait: false }, io, access()), 0)
    assert.deepEqual(said, ['asked for generation 1', 'the rotation to generation 1 is under way'])
    assert.deepEqual(cluster.server.writes(), [])
    assert.equal(await finish(caRotate(options, io, access())), 0)
    assert.equal(leader.ca.rotation().generation, 1)
  })

  it('does nothing for a generation that is reached, and refuses one that is far', async () => {
    await start()
    await finish(caRotate({ ...options, force: true }, io, access()), 1000)
    said = []
    cluster.server.resetCounts()
    assert.equal(await caRotate({ ...options, to: 1 }, io, access()), 0)
    assert.equal(await caRotate({ ...options, to: 3 }, io, access()), 1)
    assert.deepEqual(said, ['generation 1 is reached already: the CA is at 1', 'waymark ca rotate: the CA is at generation 1, and one rotation leads to 2; nothing was changed'])
    assert.deepEqual(cluster.server.writes(), [])
  })

  it('forces a rotation, also one that is under way', async () => {
    await start()
    await caRotate({ ...options, wait: false }, io, access())
    await cluster.turnUntil(0, () => leader.ca.rotation().phase === 'introduced')
    const beganMs = cluster.clock.now()
    assert.equal(await finish(caRotate({ ...options, force: true }, io, access()), 1000), 0)
    assert.ok(cluster.clock.now() - beganMs < hour)
    assert.equal(annotations()[caNames.rotateForce], '1')
  })

  it('leaves the rotation to the controllers when its time is over or the person goes', async () => {
    await start()
    assert.equal(await finish(caRotate({ ...options, timeout: 60 }, io, access()), 1000), 1)
    assert.equal(await finish(caRotate(options, io, { ...access(), stopped: Promise.resolve() }), 1000), 1)
    assert.deepEqual(said.filter((line) => line.startsWith('waymark')), [
      'waymark ca rotate: not done after 60 s; the controllers go on by themselves, and the same command shows how',
      'waymark ca rotate: stopped; the controllers go on by themselves, and the same command shows how',
    ])
    await cluster.turnUntil(120_000, () => leader.ca.rotation().generation === 1)
  })

  it('outlives an API server that does not answer for a while', async () => {
    await start()
    const running = caRotate(options, io, access())
    await until(() => said.length > 0, 'the beginning')
    cluster.server.fault({ on: ({ verb, resource }) => verb === 'get' && resource === 'configmaps', status: 500, times: 3 })
    assert.equal(await finish(running), 0)
  })

  it('says that no controller begins', async () => {
    await start()
    leader.ca.setActive(false)
    assert.equal(await finish(caRotate({ ...options, timeout: 60 }, io, access()), 1000), 1)
    assert.ok(said.some((line) => line.startsWith('no controller has begun yet')))
  })

  it('shows problems, with an exit code of their own', async () => {
    await start()
    cluster.overwrite('x')
    await until(() => JSON.stringify(cluster.server.get(configMap)).includes('not a whole CA'), 'the problem')
    assert.equal(await caStatus(options, io, access()), 1)
    assert.match(out, /problem: .*is not a whole CA/)
    assert.ok(!out.includes('BEGIN'))
  })

  it('points to the Secret from which the root comes instead of rotating', async () => {
    await start()
    const info = { ...leader.ca.info(), ownSecret: 'own-ca' } satisfies CaInfo
    bundles.update(new Set(), leader.ca.bundle(), info)
    await bundles.idle()
    await delay(0)
    assert.equal(await caRotate(options, io, access()), 1)
    assert.match(said.join(), /the root comes from Secret waymark-system\/own-ca: put the next CA there/)
    assert.equal(annotations()[caNames.rotateTo], undefined)
  })

  it('says where it looked when there is no CA, and never asks for keys', async () => {
    await start()
    cluster.server.resetCounts()
    assert.equal(await caStatus({ ...options, namespace: 'elsewhere' }, io, access()), 1)
    assert.equal(await caRotate({ ...options, namespace: 'elsewhere' }, io, access()), 1)
    await caStatus(options, io, access())
    for (const line of said) assert.match(line, /ConfigMap elsewhere\/waymark-trust-bundle tells of no CA/)
    assert.ok([...cluster.server.counts().keys()].every((each) => !each.includes('secrets')))
  })
})
