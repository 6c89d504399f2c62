import assert from 'node:assert/strict'
import fc from 'fast-check'
import { entryKey, type Entry } from '../model/entries.ts'
import type { HttpRule } from '../model/route.ts'
import { apply, type Snapshot } from '../model/snapshot.ts'
import { hashOf } from './hash.ts'
import { createPublisher, type Subscription, type Update } from './publisher.ts'
import { slice, type Subscriber } from './slice.ts'

const namespaces = ['a', 'b', 'c'] as const
const names = ['x', 'y'] as const
const namespace = fc.constantFrom(...namespaces)
const name = fc.constantFrom(...names)

const target = fc.record({ kind: fc.constant('service' as const), namespace, name, port: fc.constant(80) })
const rule = fc.record({ backend: target, mirror: target }).map(({ backend, mirror }): HttpRule => ({
  kind: 'http', id: { routeKind: 'HTTPRoute', namespace: 'a', name: 'r', rule: 0 }, matches: [], timeouts: {},
  filters: [{ kind: 'mirror', numerator: 1, denominator: 1, target: mirror }], backends: [{ weight: 1, filters: [], target: backend }],
}))
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ kind: fc.constant('service' as const), namespace, name, clusterIPs: fc.constant([]), headless: fc.boolean(), ports: fc.constant([]) }),
  fc.record({ kind: fc.constant('endpoints' as const), namespace, name, ports: fc.array(fc.record({ port: fc.nat(3), endpoints: fc.constant([]) }), { maxLength: 1 }) }),
  fc.record({
    kind: fc.constant('routes' as const), level: fc.constantFrom('producer' as const, 'consumer' as const), namespace, service: fc.record({ namespace, name }), port: fc.constant(80),
    routes: fc.array(rule, { maxLength: 2 }).map((rules) => ({ protocol: 'http' as const, rules })),
  }),
  fc.record({
    kind: fc.constant('workload' as const), namespace, name, addresses: fc.constant([]), serviceAccount: fc.constant('s'), identity: fc.constant('i'), enrolled: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('waypoint' as const), namespace, name, identity: fc.constant('w'), addresses: fc.constant([]) }),
)
const snapshot: fc.Arbitrary<Snapshot> = fc.array(entry, { maxLength: 14 }).map((entries) => new Map(entries.map((each) => [entryKey(each), each])))

type Step =
  | { readonly do: 'publish'; readonly snapshot: Snapshot }
  /** The subscriber reads slowly, or again as usual. */
  | { readonly do: 'pause' | 'resume'; readonly who: number }
  /** It goes, and comes back with what it has or with nothing. */
  | { readonly do: 'reconnect'; readonly who: number; readonly empty: boolean }

const subscribers: readonly Subscriber[] = namespaces.flatMap((each) => [{ kind: 'waypoint', namespace: each }, { kind: 'entry', namespace: each }] as const)
const who = fc.nat(subscribers.length - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('publish' as const), snapshot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reconnect' as const), who, empty: fc.boolean() }) },
)

/** A subscriber that keeps what it was told. */
class Reader {
  readonly subscriber: Subscriber
  has: Snapshot = new Map()
  hash: string | undefined
  paused = false
  subscription: Subscription | undefined
  constructor(subscriber: Subscriber) {
    this.subscriber = subscriber
  }
  take({ fresh, changes, hash }: Update): void {
    this.has = apply(fresh ? new Map() : this.has, changes)
    this.hash = hash
  }
}

describe('what subscribers have after any sequence of publishing, pauses and reconnects', () => {
  it('is their slice of the last snapshot, and its hash is that of the slice', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), snapshot, (steps, last) => {
        const publisher = createPublisher()
        const readers = subscribers.map((each) => new Reader(each))
        const connect = (reader: Reader): void => {
          reader.subscription = publisher.subscribe(reader.subscriber, (update) => reader.take(update), { have: reader.hash, ready: () => !reader.paused })
        }
        readers.forEach(connect)
        const setPaused = (reader: Reader | undefined, paused: boolean): void => {
          if (reader === undefined) return
          reader.paused = paused
          if (!paused) reader.subscription?.flush()
        }
        for (const each of steps) {
          if (each.do === 'publish') {
            publisher.publish(each.snapshot)
          } else if (each.do === 'reconnect') {
            const reader = readers[each.who]!
            reader.subscription?.close()
            if (each.empty) {
              reader.has = new Map()
              reader.hash = undefined
            }
            connect(reader)
          } else {
            setPaused(readers[each.who], each.do === 'pause')
          }
        }
        publisher.publish(last)
        for (const reader of readers) {
          setPaused(reader, false)
          const wanted = slice(last, reader.subscriber)
          assert.deepEqual(reader.has, wanted)
          assert.equal(reader.hash, hashOf(wanted))
          assert.equal(publisher.hash(reader.subscriber), reader.hash)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('has the same hash from two publishers that came there on different ways', () => {
    fc.assert(
      fc.property(fc.array(snapshot, { maxLength: 5 }), snapshot, (before, last) => {
        const one = createPublisher()
        const other = createPublisher()
        for (const each of before) one.publish(each)
        // Objects of another process, with their fields in another order.
        const copy = new Map([...last].reverse().map(([key, each]) => [key, Object.fromEntries(Object.entries(structuredClone(each)).reverse()) as unknown as Entry]))
        one.publish(last)
        other.publish(copy)
        for (const each of subscribers) assert.equal(one.hash(each), other.hash(each))
      }),
      { numRuns: 100 },
    )
  })
})

describe('a subscriber that comes back', () => {
  const service = (port: number): Entry => ({ kind: 'service', namespace: 'a', name: `s${port}`, clusterIPs: [], headless: false, ports: [] })
  const of = (...ports: number[]): Snapshot => new Map(ports.map((port) => [entryKey(service(port)), service(port)]))
  const subscriber: Subscriber = { kind: 'waypoint', namespace: 'a' }
  const resume = (have: string | undefined, publisher = createPublisher()): Update => {
    let update: Update | undefined
    publisher.subscribe(subscriber, (each) => (update = each), { have }).close()
    assert.ok(update)
    return update
  }

  it('gets an empty update if nothing has changed', () => {
    const publisher = createPublisher()
    publisher.publish(of(1, 2))
    const { fresh, changes } = resume(hashOf(of(1, 2)), publisher)
    assert.deepEqual({ fresh, changes }, { fresh: false, changes: { put: [], remove: [] } })
  })

  it('gets what has changed since, if that is remembered', () => {
    const publisher = createPublisher()
    publisher.publish(of(1, 2))
    publisher.hash(subscriber)
    publisher.publish(of(1, 2, 3))
    publisher.publish(of(2, 3))
    const { fresh, changes } = resume(hashOf(of(1, 2)), publisher)
    assert.deepEqual({ fresh, put: changes.put.map(([key]) => key), remove: changes.remove }, { fresh: false, put: ['service/a/s3'], remove: ['service/a/s1'] })
  })

  it('gets everything if what it has is not known, or too old', () => {
    const publisher = createPublisher()
    publisher.publish(of(0))
    publisher.hash(subscriber)
    for (let count = 1; count <= 600; count++) publisher.publish(of(count))
    for (const have of [hashOf(of(0)), hashOf(of(7, 8)), undefined]) {
      const { fresh, changes } = resume(have, publisher)
      assert.deepEqual({ fresh, put: changes.put.map(([key]) => key) }, { fresh: true, put: ['service/a/s600'] })
    }
  })
})
