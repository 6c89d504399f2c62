import assert from 'node:assert/strict'
import { endpointsKey, entryKey, serviceKey, type Entry } from '../model/entries.ts'
import { apply, type Snapshot } from '../model/snapshot.ts'
import type { HttpRule } from '../model/route.ts'
import { createPublisher, type Update } from './publisher.ts'
import { slice } from './slice.ts'

const service = (namespace: string, name: string, port = 80): Entry => ({ kind: 'service', namespace, name, clusterIPs: [], headless: false, ports: [{ port, protocol: 'http' }] })
const endpoints = (namespace: string, name: string): Entry => ({ kind: 'endpoints', namespace, name, ports: [] })
const rule = (namespace: string, backend: string, mirror: string): HttpRule => ({
  kind: 'http', id: { routeKind: 'HTTPRoute', namespace, name: 'r', rule: 0 }, matches: [], timeouts: {},
  filters: [{ kind: 'mirror', numerator: 1, denominator: 1, target: { kind: 'service', namespace: 'far', name: mirror, port: 80 } }],
  backends: [{ weight: 1, filters: [], target: { kind: 'service', namespace: 'far', name: backend, port: 80 } }],
})
const consumer: Entry = {
  kind: 'routes', level: 'consumer', namespace: 'shop', service: { namespace: 'books', name: 'reviews' }, port: 80,
  routes: { protocol: 'http', rules: [rule('shop', 'backend', 'copy')] },
}
const snapshotOf = (...entries: Entry[]): Snapshot => new Map(entries.map((entry) => [entryKey(entry), entry]))
const world = snapshotOf(
  service('books', 'reviews'), endpoints('books', 'reviews'), service('books', 'secret'), service('shop', 'cart'), endpoints('shop', 'cart'),
  service('far', 'backend'), endpoints('far', 'backend'), service('far', 'copy'), endpoints('far', 'copy'), service('far', 'unrelated'), consumer,
)

describe('slice', () => {
  it("gives a waypoint its namespace, its routes and what they send traffic to, nothing else", () => {
    assert.deepEqual([...slice(world, { kind: 'waypoint', namespace: 'shop' }).keys()], [
      endpointsKey('books', 'reviews'), endpointsKey('far', 'backend'), endpointsKey('far', 'copy'), endpointsKey('shop', 'cart'),
      entryKey(consumer), serviceKey('books', 'reviews'), serviceKey('far', 'backend'), serviceKey('far', 'copy'), serviceKey('shop', 'cart'),
    ].sort())
  })

  it("gives an entry every destination, and consumer routes of its own namespace only", () => {
    assert.equal(slice(world, { kind: 'entry', namespace: 'shop' }).size, world.size)
    assert.ok(!slice(world, { kind: 'entry', namespace: 'books' }).has(entryKey(consumer)))
  })
})

describe('publisher', () => {
  it('sends the whole slice first and then only what changed', () => {
    const publisher = createPublisher()
    const updates: Update[] = []
    publisher.publish(world)
    const subscription = publisher.subscribe({ kind: 'waypoint', namespace: 'shop' }, (update) => updates.push(update))
    publisher.publish(apply(world, { put: [[serviceKey('shop', 'cart'), service('shop', 'cart', 81)]], remove: [] }))
    assert.equal(updates[0]?.changes.put.length, 9)
    assert.deepEqual(updates[1]?.changes, { put: [[serviceKey('shop', 'cart'), service('shop', 'cart', 81)]], remove: [] })
    assert.equal(updates[1].version, publisher.version())
    assert.equal(subscription.acknowledged(), 0)
    subscription.acknowledge(updates[1].version)
    assert.equal(subscription.acknowledged(), publisher.version())
  })

  it("tells nobody about changes outside its slice, and keeps the version when nothing changed", () => {
    const publisher = createPublisher()
    let calls = 0
    publisher.publish(world)
    publisher.subscribe({ kind: 'waypoint', namespace: 'shop' }, () => calls++)
    publisher.publish(apply(world, { put: [[serviceKey('books', 'secret'), service('books', 'secret', 99)]], remove: [] }))
    assert.equal(calls, 1)
    const version = publisher.version()
    assert.equal(publisher.publish(new Map(publisher.version() === 2 ? apply(world, { put: [[serviceKey('books', 'secret'), service('books', 'secret', 99)]], remove: [] }) : world)), version)
  })

  it('stops after close', () => {
    const publisher = createPublisher()
    let calls = 0
    const subscription = publisher.subscribe({ kind: 'entry', namespace: 'shop' }, () => calls++)
    subscription.close()
    publisher.publish(world)
    assert.equal(calls, 0)
  })

  it('holds a slice back that is too large, tells which, and sends it when it is small again; other namespaces notice nothing', () => {
    const publisher = createPublisher({ waypoint: 2_000, others: 1_000_000 })
    const told = { shop: [] as Update[], books: [] as Update[] }
    for (const namespace of ['shop', 'books'] as const) publisher.subscribe({ kind: 'waypoint', namespace }, (update) => told[namespace].push(update))
    const small = snapshotOf(service('shop', 'cart'), service('books', 'reviews'))
    publisher.publish(small)
    const many = [...Array(40).keys()].map((at) => service('shop', `cart-${at}`))
    publisher.publish(snapshotOf(service('shop', 'cart'), ...many, service('books', 'reviews', 81)))
    assert.deepEqual([told.shop.length, told.books.length], [1, 2])
    assert.deepEqual([...publisher.tooLarge().keys()], ['shop'])
    publisher.publish(snapshotOf(service('shop', 'cart', 82), service('books', 'reviews', 81)))
    assert.deepEqual(told.shop[1]?.changes.put.map(([key]) => key), [serviceKey('shop', 'cart')])
    assert.equal(publisher.tooLarge().size, 0)
  })

  it('counts about as many bytes as a message with the slice has, rules that many tables share in each', () => {
    const long = rule('shop', 'backend', 'ü'.repeat(500))
    const tables = [...Array(20).keys()].map((at): Entry => ({ ...consumer, port: at + 1, routes: { protocol: 'http', rules: [long, long] } }))
    const publisher = createPublisher({ waypoint: 1, others: 1 })
    publisher.publish(snapshotOf(...tables))
    publisher.hash({ kind: 'waypoint', namespace: 'shop' })
    const bytes = publisher.tooLarge().get('shop') ?? 0
    const real = Buffer.byteLength(JSON.stringify(tables.map((each) => [entryKey(each), each])))
    assert.ok(Math.abs(bytes - real) < 0.02 * real, `${bytes} for ${real}`)
  })

  it('tells everybody else when somebody can not be told', () => {
    const publisher = createPublisher()
    let calls = 0
    publisher.publish(snapshotOf(service('shop', 'cart')))
    let broken = false
    for (const at of [0, 1]) {
      publisher.subscribe({ kind: 'waypoint', namespace: 'shop' }, () => {
        calls++
        if (at === 0 && broken) throw new Error('a stream that fails')
      })
    }
    broken = true
    assert.throws(() => publisher.publish(snapshotOf(service('shop', 'cart', 81))), /a stream that fails/)
    assert.equal(calls, 4)
  })

  it('makes the slice of each waypoint once, however many namespaces there are, out of that namespace alone', () => {
    const all = [...Array(600).keys()].map((at) => service(`n${at}`, 'a'))
    const publisher = createPublisher()
    publisher.publish(snapshotOf(...all))
    let looked = 0
    for (const entry of all) {
      const { namespace } = entry
      Object.defineProperty(entry, 'namespace', { get: () => (looked++, namespace) })
    }
    const hashes = (): (string | undefined)[] => all.map((_, at) => publisher.hash({ kind: 'waypoint', namespace: `n${at}` }))
    const first = hashes()
    const once = looked
    assert.ok(once < 10 * all.length, `${once} looks`)
    assert.deepEqual(hashes(), first)
    assert.equal(looked, once)
  })
})
