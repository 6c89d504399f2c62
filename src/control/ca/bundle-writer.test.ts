import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { startApiServer, type ApiServer } from '../../../test/simulated/api-server.ts'
import type { KubeObject } from '../../kube/object.ts'
import { fakeClock, type FakeClock } from '../../kit/testing/fake-clock.ts'
import { configLabel, install, managedByLabel } from '../../model/install.ts'
import { createBundleWriter, type BundleWriter } from './bundle-writer.ts'
import { parseInfo, type CaInfo } from './info.ts'
import { caNames } from './names.ts'
import { markerOf } from './secret-store.ts'
import { namespace, trustDomain, until } from './testing/cluster.ts'

const info = (generation: number): CaInfo => ({
  trustDomain, phase: 'steady', generation, sinceMs: 5, roots: [{ fingerprint: String(generation).repeat(64), notAfterMs: 9, signs: true }], problems: [],
})

describe('createBundleWriter', () => {
  let server: ApiServer
  let clock: FakeClock
  let lines: string[]
  const opened: BundleWriter[] = []
  const open = (): BundleWriter => {
    const writer = createBundleWriter({ client: server.client(), clock, random: () => 0.5, namespace, log: (line) => lines.push(line) })
    opened.push(writer)
    return writer
  }
  const at = (name: string): KubeObject | undefined => server.get({ kind: 'ConfigMap', namespace: name, name: install.bundleConfigMap })
  const bundleAt = (name: string): string | undefined => (at(name)?.['data'] as Record<string, string> | undefined)?.[install.bundleKey]
  const where = (): readonly string[] => server.list('ConfigMap').map(({ metadata }) => metadata.namespace ?? '')
  const stranger = (name: string): KubeObject =>
    server.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: install.bundleConfigMap, namespace: name }, data: { 'ca.crt': 'theirs' } })

  beforeEach(async () => {
    server = await startApiServer()
    clock = fakeClock(1000)
    lines = []
  })
  afterEach(async () => {
    for (const writer of opened.splice(0)) writer.close()
    await server.close()
  })

  /** A writer that leads and has brought `names` and its own namespace up to date. */
  const running = async (...names: readonly string[]): Promise<BundleWriter> => {
    const writer = open()
    writer.setActive(true)
    writer.update(new Set(names), ['root 1'], info(1))
    await until(() => where().length === names.length + 1, 'the ConfigMaps')
    await writer.idle()
    await until(() => server.watches.count() > 0, 'the watch')
    return writer
  }

  it('gives every namespace of the mesh the roots, and its own how the CA stands', async () => {
    await running('books', 'shop')
    assert.deepEqual([...where()].sort(), ['books', 'shop', namespace])
    for (const each of ['books', 'shop', namespace]) {
      assert.equal(bundleAt(each), 'root 1\n')
      assert.deepEqual({ ...at(each)?.metadata.labels }, { [managedByLabel]: 'waymark', [configLabel]: 'trust-bundle' })
    }
    assert.deepEqual(Object.keys(at('shop')?.['data'] as object), [install.bundleKey])
    assert.deepEqual(parseInfo((at(namespace)?.['data'] as Record<string, string>)[caNames.infoKey]), info(1))
    assert.deepEqual(markerOf(at(namespace)), { generation: 1, phase: 'steady', trusted: ['1'.repeat(64)] })
  })

  it('writes nothing before it leads, and nothing any more when it does not', async () => {
    const writer = open()
    writer.update(new Set(['shop']), ['root 1'], info(1))
    await until(() => server.watches.count() > 0, 'the watch')
    writer.setActive(true)
    writer.setActive(false)
    await writer.idle()
    assert.deepEqual(server.writes(), [])
    assert.deepEqual(where(), [])
  })

  it('writes nothing in steady state, also after a restart', async () => {
    const writer = await running('shop')
    server.resetCounts()
    writer.update(new Set(['shop']), ['root 1'], info(1))
    await writer.idle()
    const second = open()
    second.setActive(true)
    second.update(new Set(['shop']), ['root 1'], info(1))
    await until(() => server.watches.count() > 1, 'the watch')
    await second.idle()
    clock.advance(60_000)
    await second.idle()
    assert.deepEqual(server.writes(), [])
  })

  it('brings a new bundle everywhere', async () => {
    const names = Array.from({ length: 30 }, (_, index) => `ns-${index}`)
    const writer = await running(...names)
    writer.update(new Set(names), ['root 1\n', 'root 2'], info(1))
    await writer.idle()
    for (const name of [...names, namespace]) assert.equal(bundleAt(name), 'root 1\nroot 2\n')
  })

  it('takes the bundle from a namespace that left the mesh, never from its own', async () => {
    const writer = await running('books', 'shop')
    writer.update(new Set(['shop']), ['root 1'], info(1))
    await until(() => where().length === 2, 'the end')
    writer.update(new Set(), ['root 1'], info(1))
    await until(() => where().length === 1, 'the end')
    assert.deepEqual(where(), [namespace])
  })

  it('repairs what was changed, relabelled or deleted, a second after its last write at the earliest', async () => {
    const writer = await running('shop')
    const damages: readonly (() => unknown)[] = [
      () => server.put({ ...at('shop')!, data: { [install.bundleKey]: 'evil' } }),
      () => server.put({ ...at('shop')!, metadata: { ...at('shop')!.metadata, labels: { [configLabel]: 'trust-bundle' } } }),
      () => server.delete({ kind: 'ConfigMap', namespace: 'shop', name: install.bundleConfigMap }),
    ]
    for (const damage of damages) {
      clock.advance(1000)
      server.resetCounts()
      damage()
      await until(() => bundleAt('shop') === 'root 1\n' && at('shop')?.metadata.labels?.[managedByLabel] === 'waymark', 'the repair')
      await writer.idle()
      assert.equal(server.writes().length, 1)
    }
  })

  it('costs one write a second against a program that changes it back', async () => {
    const writer = await running('shop')
    // The program that changes it back; it sees each of our writes.
    const spoil = (): void => {
      if (bundleAt('shop') !== 'evil') server.put({ ...at('shop')!, data: { [install.bundleKey]: 'evil' } })
    }
    for (let seconds = 1; seconds <= 3; seconds++) {
      clock.advance(1000)
      server.resetCounts()
      for (let times = 0; times < 20; times++) {
        spoil()
        await delay(2)
        await writer.idle()
      }
      await until(() => server.writes().length > 0, 'the repair')
      assert.equal(server.writes().length, 1)
    }
  })

  it('leaves a ConfigMap of that name alone that is not its own, says so, and goes on when it is gone', async () => {
    stranger('shop')
    const writer = open()
    writer.setActive(true)
    writer.update(new Set(['shop', 'books']), ['root 1'], info(1))
    await until(() => writer.problems().length > 0 && where().length === 3, 'the problem')
    assert.match(writer.problems().join(), /ConfigMap shop\/waymark-trust-bundle is not the mesh's/)
    assert.equal(bundleAt('shop'), 'theirs')
    assert.equal(lines.length, 1)
    writer.update(new Set(['books']), ['root 1'], info(1))
    await writer.idle()
    assert.deepEqual(writer.problems(), [])
    assert.equal(bundleAt('shop'), 'theirs')
    writer.update(new Set(['shop', 'books']), ['root 1'], info(1))
    await until(() => writer.problems().length > 0, 'the problem')
    server.delete({ kind: 'ConfigMap', namespace: 'shop', name: install.bundleConfigMap })
    clock.advance(60_000)
    await until(() => bundleAt('shop') === 'root 1\n', 'the bundle')
    await until(() => writer.problems().length === 0, 'the end of the problem')
  })

  it('takes a namespace that is being deleted for no problem, and others in their turn', async () => {
    const stop = server.forbid((request) => request.verb === 'patch' && request.namespace === 'shop' && 'unable to create new content in namespace shop because it is being terminated')
    const writer = open()
    writer.setActive(true)
    writer.update(new Set(['shop', 'books']), ['root 1'], info(1))
    await until(() => where().length === 2, 'the others')
    await writer.idle()
    assert.deepEqual(writer.problems(), [])
    assert.deepEqual(lines, [])
    stop()
  })

  it('names what it may not do, and tries again', async () => {
    const stop = server.forbid((request) => request.verb === 'patch' && request.namespace === 'shop')
    const writer = open()
    writer.setActive(true)
    writer.update(new Set(['shop']), ['root 1'], info(1))
    await until(() => writer.problems().length > 0, 'the problem')
    assert.match(writer.problems().join(), /ConfigMap shop\/waymark-trust-bundle: .*forbidden/)
    stop()
    clock.advance(60_000)
    await until(() => bundleAt('shop') === 'root 1\n' && writer.problems().length === 0, 'the bundle')
  })
})
