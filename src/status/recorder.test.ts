import assert from 'node:assert/strict'
import type { ObjectStatus } from '../model/status.ts'
import { condition, routeStatus, startCluster, type Cluster } from './testing/cluster.ts'

const accepted = condition('Accepted')
const resolved = condition('ResolvedRefs')
const good = (key: string): ObjectStatus => routeStatus(key, [accepted, resolved])

describe('Events of a writer', function () {
  this.timeout(60_000)
  let cluster: Cluster
  beforeEach(async () => (cluster = await startCluster()))
  afterEach(() => cluster.close())

  const missing = condition('ResolvedRefs', 'False', 'BackendNotFound', 'no Service b')
  const bad = (key: string): ObjectStatus => routeStatus(key, [accepted, missing])
  const warning = (key: string, field = 'spec.hostnames'): { ref: ObjectStatus['ref']; field: string; message: string; advice: string } => ({
    ref: bad(key).ref, field, message: 'has no effect', advice: 'remove it',
  })
  const told = (): string[] => cluster.server.list('Event', undefined, 'events.k8s.io').map((event) => `${String(event['type'])} ${String(event['note'])}`)

  it('tell what turned bad and that it is good again, with advice, and nothing twice', async () => {
    cluster.routes('shop/a')
    const writer = cluster.writer({ advice: () => 'create it' })
    for (const status of [good('shop/a'), bad('shop/a'), bad('shop/a'), good('shop/a')]) {
      writer.want([status])
      await cluster.drive(writer.idle())
      await cluster.pass(1_000)
    }
    assert.deepEqual(told().sort(), ['Normal ', 'Warning no Service b; create it'])
    const [event] = cluster.server.list('Event', 'shop', 'events.k8s.io')
    assert.equal((event?.['regarding'] as { uid: string }).uid, cluster.route('shop/a').metadata.uid)
  })

  it('are not repeated by the next leader', async () => {
    cluster.routes('shop/a')
    for (let leader = 0; leader < 3; leader++) {
      const writer = cluster.writer({ instance: `controller-${leader}` })
      writer.want([bad('shop/a')], [warning('shop/a')])
      await cluster.drive(writer.idle())
      writer.close()
      await cluster.pass(60_000)
    }
    assert.deepEqual(told().sort(), ['Warning no Service b', 'Warning spec.hostnames: has no effect; remove it'])
  })

  it('of warnings come once, and again only after the warning was gone', async () => {
    cluster.routes('shop/a')
    const writer = cluster.writer()
    for (const warnings of [[warning('shop/a')], [warning('shop/a'), warning('shop/none')], [warning('shop/a')]]) {
      writer.want([good('shop/a')], warnings)
      await cluster.drive(writer.idle())
    }
    assert.deepEqual(writer.events, ['sent'])
    for (const warnings of [[], [warning('shop/a')]]) {
      writer.want([good('shop/a')], warnings)
      await cluster.drive(writer.idle())
    }
    assert.deepEqual(writer.events, ['sent', 'known'])
  })

  it('of one object are bounded, those of others come', async () => {
    cluster.routes('shop/a', 'shop/b')
    const writer = cluster.writer()
    writer.want([], [...Array.from({ length: 30 }, (_, n) => warning('shop/a', `spec.rules[${n}]`)), warning('shop/b')])
    await cluster.drive(writer.idle())
    assert.equal(writer.events.filter((outcome) => outcome === 'sent').length, 11)
    assert.equal(writer.events.filter((outcome) => outcome === 'dropped').length, 20)
  })

  it('are not sent by one who no longer leads, retries neither', async () => {
    cluster.routes('shop/a')
    cluster.server.fault({ on: ({ resource }) => resource === 'events', status: 503, times: 1 })
    const writer = cluster.writer()
    writer.want([], [warning('shop/a')])
    while (cluster.writes('events').length === 0) await new Promise((resolve) => void setImmediate(resolve))
    writer.setActive(false)
    await cluster.drive(writer.idle())
    await cluster.pass(60_000)
    assert.equal(cluster.writes('events').length, 1)
    writer.setActive(true)
    await cluster.drive(writer.idle())
    assert.equal(told().length, 0, 'what was thrown away is not told later')
  })

  it('are tried again when the API server stumbles, and given up without permission', async () => {
    cluster.routes('shop/a')
    cluster.server.fault({ on: ({ resource }) => resource === 'events', status: 500, times: 2 })
    const writer = cluster.writer()
    writer.want([], [warning('shop/a')])
    await cluster.drive(writer.idle())
    assert.equal(told().length, 1)
    const allow = cluster.server.forbid(({ resource }) => resource === 'events')
    writer.want([], ['b', 'c', 'd'].map((field) => warning('shop/a', field)))
    await cluster.drive(writer.idle())
    allow()
    assert.equal(writer.log.length, 1)
    assert.match(writer.log[0]!, /^events: .*403 .*lacks this permission/)
    assert.equal(told().length, 1)
  })
})
