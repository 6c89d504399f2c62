import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { KubeObject } from '../kube/object.ts'
import { controllerName, type ObjectStatus } from '../model/status.ts'
import { condition, routeStatus, startCluster, type Cluster } from './testing/cluster.ts'

const accepted = condition('Accepted')
const resolved = condition('ResolvedRefs')
const good = (key: string, name?: string): ObjectStatus => routeStatus(key, [accepted, resolved], name)

interface Parent {
  readonly controllerName: string
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string; readonly lastTransitionTime: string }[]
}
const parentsOf = (object: KubeObject): readonly Parent[] => (object['status'] as { parents?: readonly Parent[] } | undefined)?.parents ?? []

describe('a writer of statuses', function () {
  this.timeout(60_000)
  let cluster: Cluster
  beforeEach(async () => (cluster = await startCluster()))
  afterEach(() => cluster.close())

  it('writes what is wanted to the status and to nothing else', async () => {
    cluster.routes('shop/a')
    const before = cluster.route('shop/a')
    const writer = cluster.writer()
    writer.want([good('shop/a')])
    await cluster.drive(writer.idle())
    const after = cluster.route('shop/a')
    assert.deepEqual(parentsOf(after), [{
      parentRef: { group: '', kind: 'Service', name: 'a' }, controllerName,
      conditions: [accepted, resolved].map((each) => ({ ...each, lastTransitionTime: '2026-05-01T10:00:00Z' })),
    }])
    assert.deepEqual(after['spec'], before['spec'])
    assert.deepEqual(cluster.writes('httproutes').map(({ verb, subresource }) => [verb, subresource]), [['update', 'status']])
  })

  it('writes nothing over a quiet minute, whether the watch is ahead or behind', async () => {
    const keys = Array.from({ length: 20 }, (_, n) => `shop/r${n}`)
    cluster.routes(...keys)
    const stale = cluster.resources()
    const writer = cluster.writer()
    const statuses = keys.map((key) => good(key))
    writer.want(statuses, [], stale)
    await cluster.drive(writer.idle())
    assert.equal(cluster.writes('httproutes').length, 20)
    cluster.server.resetCounts()
    for (let second = 0; second < 60; second++) {
      writer.want(keys.map((key) => good(key)), [], second < 30 ? { ...stale } : cluster.resources())
      await cluster.pass(1_000)
    }
    await cluster.drive(writer.idle())
    assert.deepEqual([...cluster.server.counts()], [])
  })

  it('builds on its own last write until the watch has it', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    const writer = cluster.writer()
    for (const message of ['1', '2', '3']) {
      writer.want([routeStatus('shop/a', [{ ...accepted, message }])], [], stale)
      await cluster.drive(writer.idle())
    }
    assert.deepEqual(writer.outcomes, ['written', 'written', 'written'])
    assert.deepEqual(parentsOf(cluster.route('shop/a')).map(({ conditions }) => conditions[0]!.message), ['3'])
  })

  it('takes up what changed while it was writing', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    const writer = cluster.writer()
    writer.want([routeStatus('shop/a', [{ ...accepted, message: '1' }])], [], stale)
    writer.want([routeStatus('shop/a', [{ ...accepted, message: '2' }])], [], stale)
    await cluster.drive(writer.idle())
    assert.deepEqual(parentsOf(cluster.route('shop/a')).map(({ conditions }) => conditions[0]!.message), ['2'])
  })

  it('gives each object its own status, whatever order they come in and whichever are missing', async () => {
    const keys = ['shop/a', 'shop/b', 'bank/a', 'bank/c']
    cluster.routes(...keys)
    const stale = cluster.resources()
    const writer = cluster.writer()
    for (const [round, order] of [[0, 1, 2, 3], [3, 1, 0], [0, 1, 2, 3], [2], [1, 0, 3, 2]].entries()) {
      writer.want(order.map((at) => routeStatus(keys[at]!, [{ ...accepted, message: `${keys[at]!} ${round}` }])), [], stale)
      await cluster.drive(writer.idle())
      for (const at of order) assert.equal(parentsOf(cluster.route(keys[at]!))[0]!.conditions[0]!.message, `${keys[at]!} ${round}`)
    }
  })

  it('writes and reads under the version that the cluster serves', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    cluster.server.put({ ...cluster.route('shop/a'), status: { parents: [] } })
    const writer = cluster.writer({ apiVersion: (kind) => (kind === 'HTTPRoute' ? 'gateway.networking.k8s.io/v1beta1' : undefined) })
    writer.want([good('shop/a')], [], stale)
    await cluster.drive(writer.idle())
    assert.deepEqual(writer.outcomes, ['conflict', 'written'])
    assert.deepEqual([...new Set([...cluster.server.counts().keys()].map((line) => line.split('/')[3]))], ['v1beta1'])
  })

  it('does not write what stands there when it begins to lead', async () => {
    cluster.routes('shop/a')
    const first = cluster.writer()
    first.want([good('shop/a')])
    await cluster.drive(first.idle())
    first.close()
    const second = cluster.writer()
    second.want([good('shop/a')])
    await cluster.drive(second.idle())
    assert.equal(cluster.writes('httproutes').length, 1)
  })

  it('keeps its entries beside those of another controller through 200 interleaved writes', async () => {
    const keys = ['shop/a', 'shop/b', 'bank/c']
    const names = [controllerName, 'example.com/other']
    cluster.routes(...keys)
    const writers = names.map((name) => cluster.writer({ controllerName: name, rate: { burst: 1_000, perSecond: 1_000 } }))
    let seen = cluster.resources()
    for (let round = 0; round < 40; round++) {
      if (round % 4 === 0) seen = cluster.resources()
      for (const [at, writer] of writers.entries()) {
        writer.want(keys.map((key) => routeStatus(key, [{ ...accepted, message: `${round}` }], names[at])), [], { ...seen })
      }
      await cluster.drive(Promise.all(writers.map((writer) => writer.idle())))
    }
    const outcomes = writers.flatMap((writer) => writer.outcomes)
    assert.ok(outcomes.filter((outcome) => outcome === 'written').length >= 200)
    assert.ok(outcomes.filter((outcome) => outcome === 'conflict').length >= 20, 'they got in each other\'s way')
    for (const key of keys) {
      const parents = parentsOf(cluster.route(key))
      assert.deepEqual(parents.map((each) => each.controllerName).sort(), [...names].sort())
      assert.deepEqual(parents.map(({ conditions }) => conditions.map(({ message }) => message)), [['39'], ['39']])
      assert.deepEqual([...new Set(parents.map(({ conditions }) => conditions[0]!.lastTransitionTime))], ['2026-05-01T10:00:00Z'], 'its status never moved')
    }
  })

  it('stops between one write and the next when it no longer leads', async () => {
    const keys = Array.from({ length: 50 }, (_, n) => `shop/r${n}`)
    cluster.routes(...keys)
    const writer = cluster.writer({
      concurrency: 2,
      observer: {
        write: () => {
          if (++written === 10) writer.setActive(false)
        },
      },
    })
    let written = 0
    writer.want(keys.map((key) => good(key)))
    await cluster.drive(writer.idle())
    const sent = cluster.writes('httproutes').length
    assert.ok(sent >= 10 && sent <= 12, `${sent} writes`)
    writer.want(keys.map((key) => good(key)))
    await cluster.pass(60_000)
    assert.equal(cluster.writes('httproutes').length, sent)
    writer.setActive(true)
    await cluster.drive(writer.idle())
    for (const key of keys) assert.equal(parentsOf(cluster.route(key)).length, 1)
  })

  it('stops between a failed write and its retry when it no longer leads', async () => {
    cluster.routes('shop/a', 'shop/b')
    cluster.server.fault({ on: ({ verb, name }) => verb === 'update' && name === 'a', status: 503 })
    cluster.server.fault({ on: ({ verb, name }) => verb === 'update' && name === 'b', status: 409, reason: 'Conflict' })
    const met = new EventEmitter()
    let failures = 0
    const writer = cluster.writer({ observer: { write: () => met.emit(`failure ${++failures}`) } })
    const both = once(met, 'failure 2')
    writer.want([good('shop/a'), good('shop/b')])
    await both
    writer.setActive(false)
    await writer.idle()
    cluster.server.resetCounts()
    cluster.server.clearFaults()
    await cluster.pass(60_000)
    assert.deepEqual([...cluster.server.counts()], [])
  })

  it('stops between the read and the write of a retry when it no longer leads', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    cluster.server.put({ ...cluster.route('shop/a'), status: { parents: [] } })
    const client = cluster.server.client()
    const writer = cluster.writer({
      client: {
        ...client,
        read: async (ref) => {
          const object = await client.read(ref)
          writer.setActive(false)
          return object
        },
      },
    })
    writer.want([good('shop/a')], [], stale)
    await cluster.drive(writer.idle())
    await cluster.pass(5_000)
    client.close()
    assert.equal(cluster.writes('httproutes').length, 1, 'the one that met a conflict')
    assert.deepEqual(parentsOf(cluster.route('shop/a')), [])
  })

  it('leaves a newer spec to the watch, for what is wanted is about the former one', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    const live = cluster.route('shop/a')
    cluster.server.put({ ...live, metadata: { ...live.metadata, generation: 2 }, spec: { parentRefs: [] } })
    const writer = cluster.writer()
    writer.want([good('shop/a')], [], stale)
    await cluster.drive(writer.idle())
    assert.deepEqual(writer.outcomes, ['conflict'])
    assert.deepEqual(parentsOf(cluster.route('shop/a')), [])
    writer.want([good('shop/a')])
    await cluster.drive(writer.idle())
    assert.equal(parentsOf(cluster.route('shop/a')).length, 1)
  })

  it('leaves another object of the same name to the watch', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    cluster.server.delete({ kind: 'HTTPRoute', namespace: 'shop', name: 'a' })
    cluster.routes('shop/a')
    const writer = cluster.writer()
    writer.want([good('shop/a')], [], stale)
    await cluster.drive(writer.idle())
    assert.deepEqual(parentsOf(cluster.route('shop/a')), [])
  })

  it('forgets an object that is gone', async () => {
    cluster.routes('shop/a')
    const stale = cluster.resources()
    cluster.server.delete({ kind: 'HTTPRoute', namespace: 'shop', name: 'a' })
    const writer = cluster.writer()
    writer.want([good('shop/a')], [], stale)
    await cluster.drive(writer.idle())
    await cluster.pass(60_000)
    assert.deepEqual(writer.outcomes, ['gone'])
    assert.deepEqual(writer.log, [])
  })

  it('no longer retries what is no longer wanted', async () => {
    cluster.routes('shop/a')
    cluster.server.fault({ on: ({ verb }) => verb === 'update', status: 500, times: 1 })
    const writer = cluster.writer()
    writer.want([good('shop/a')])
    while (writer.outcomes.length === 0) await new Promise((resolve) => void setImmediate(resolve))
    writer.want([])
    await writer.idle()
    await cluster.pass(60_000)
    assert.equal(cluster.writes('httproutes').length, 1)
  })

  it('waits as long as the API server asks', async () => {
    cluster.routes('shop/a')
    cluster.server.fault({ on: ({ verb }) => verb === 'update', status: 429, retryAfter: 20, times: 1 })
    const writer = cluster.writer()
    writer.want([good('shop/a')])
    while (writer.outcomes.length === 0) await new Promise((resolve) => void setImmediate(resolve))
    await cluster.pass(19_500)
    assert.equal(cluster.writes('httproutes').length, 1)
    await cluster.drive(writer.idle())
    assert.deepEqual(writer.outcomes, ['failed', 'written'])
  })

  it('tells once what permission is missing, tries seldom, and says when it has it', async () => {
    cluster.routes('shop/a')
    const allow = cluster.server.forbid(({ subresource }) => subresource === 'status')
    const writer = cluster.writer()
    writer.want([good('shop/a')])
    await cluster.drive(writer.idle())
    await cluster.pass(10 * 60_000)
    const tries = cluster.writes('httproutes').length
    assert.ok(tries >= 3 && tries <= 20, `${tries} tries in ten minutes`)
    assert.equal(writer.log.length, 1)
    assert.match(writer.log[0]!, /^status of HTTPRoute shop\/a: .*403 .*lacks this permission: waymark check/)
    allow()
    await cluster.pass(10 * 60_000)
    assert.equal(parentsOf(cluster.route('shop/a')).length, 1)
    assert.equal(writer.log[1], 'status of HTTPRoute shop/a: it is written now')
  })

  it('tries another status at once when one was refused, and others meanwhile', async () => {
    cluster.routes('shop/a', 'shop/b')
    cluster.server.fault({ on: ({ verb, name }) => verb === 'update' && name === 'a', status: 422, reason: 'Invalid', times: 1 })
    const writer = cluster.writer()
    writer.want([good('shop/a'), good('shop/b')])
    await cluster.drive(writer.idle())
    assert.equal(parentsOf(cluster.route('shop/b')).length, 1)
    assert.match(writer.log[0]!, /422 .*CRDs/)
    writer.want([routeStatus('shop/a', [accepted]), good('shop/b')])
    await cluster.drive(writer.idle())
    assert.equal(parentsOf(cluster.route('shop/a')).length, 1)
  })

  it('does not write again what the API server drops', async () => {
    cluster.routes('shop/a')
    const client = cluster.server.client()
    const writer = cluster.writer({
      client: {
        ...client,
        replace: (object, options) => {
          const pruned = structuredClone(object) as unknown as { status: { parents: { conditions: unknown[] }[] } }
          pruned.status.parents[0]!.conditions.pop()
          return client.replace(pruned as unknown as typeof object, options)
        },
      },
    })
    for (let round = 0; round < 5; round++) {
      writer.want([good('shop/a')])
      await cluster.drive(writer.idle())
    }
    client.close()
    assert.equal(cluster.writes('httproutes').length, 1)
    assert.equal(writer.log.length, 1)
    assert.match(writer.log[0]!, /dropped a part of it; its CRD is of another version/)
  })

  it('reads its token anew after a 401', async () => {
    cluster.routes('shop/a')
    const client = cluster.server.client()
    let refreshed = 0
    cluster.server.fault({ on: ({ verb }) => verb === 'update', status: 401, times: 1 })
    const writer = cluster.writer({ client: { ...client, refresh: () => refreshed++ } })
    writer.want([good('shop/a')])
    await cluster.drive(writer.idle())
    client.close()
    assert.deepEqual([refreshed, parentsOf(cluster.route('shop/a')).length], [1, 1])
  })

  it('keeps to its bounds, and lets namespaces take turns', async () => {
    const keys = [...Array.from({ length: 60 }, (_, n) => `big/r${n}`), 'small/a', 'small/b']
    cluster.routes(...keys)
    const client = cluster.server.client()
    let now = 0
    let most = 0
    const writer = cluster.writer({
      concurrency: 4, rate: { burst: 10, perSecond: 10 },
      client: {
        ...client,
        replace: async (...args) => {
          most = Math.max(most, ++now)
          try {
            return await client.replace(...args)
          } finally {
            now--
          }
        },
      },
    })
    writer.want(keys.map((key) => good(key)))
    while (writer.outcomes.length < 10) await new Promise((resolve) => void setImmediate(resolve))
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => void setImmediate(resolve))
    const first = cluster.writes('httproutes')
    assert.equal(first.length, 10)
    assert.equal(first.filter(({ namespace }) => namespace === 'small').length, 2)
    await cluster.drive(writer.idle())
    client.close()
    assert.equal(writer.outcomes.length, keys.length)
    assert.ok(cluster.clock.now() >= Date.parse('2026-05-01T10:00:05Z'), 'it took its time')
    assert.ok(most <= 4, `${most} at once`)
  })

  it('holds back that something became pending, until it lasts', async () => {
    cluster.routes('shop/a')
    const writer = cluster.writer()
    const programmed = (status: 'True' | 'False', reason: string): ObjectStatus => routeStatus('shop/a', [accepted, condition('waymark.dev/Programmed', status, reason)])
    writer.want([programmed('True', 'Programmed')])
    await cluster.drive(writer.idle())
    for (let round = 0; round < 5; round++) {
      writer.want([programmed('False', 'Pending')])
      await cluster.pass(2_000)
      writer.want([programmed('True', 'Programmed')])
      await cluster.pass(2_000)
    }
    assert.equal(cluster.writes('httproutes').length, 1)
    writer.want([programmed('False', 'Pending')])
    await cluster.pass(4_500)
    assert.equal(cluster.writes('httproutes').length, 1)
    await cluster.drive(writer.idle())
    assert.equal(cluster.writes('httproutes').length, 2)
    assert.equal(parentsOf(cluster.route('shop/a'))[0]!.conditions[1]!.status, 'False')
    writer.want([programmed('True', 'Programmed')])
    await cluster.drive(writer.idle())
    assert.equal(cluster.writes('httproutes').length, 3, 'what is good again is written at once')
  })
})
