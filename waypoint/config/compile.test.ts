import assert from 'node:assert/strict'
import { apply, delta } from '../../src/model/snapshot.ts'
import { endpoints, http, routes, service, to } from '../serve/testing/entries.ts'
import { endpoint } from '../serve/testing/rig.ts'
import { compileConfig, destinationKey, snapshotOf } from './compile.ts'

const reviews = service('books', 'reviews', '10.0.0.1')
const rules = http({ backends: [to('books', 'reviews')] })
const base = [reviews, endpoints('books', 'reviews', endpoint(1)), routes('producer', 'books', reviews, rules)]

describe('compileConfig', () => {
  it('knows a Service port by every address family and by its full name', () => {
    const dual = { ...reviews, clusterIPs: ['10.0.0.1', 'FD00:0:0::1'] }
    const config = compileConfig(snapshotOf([dual]), 'books')
    const found = [['10.0.0.1', 80], ['fd00::1', 80], ['reviews.books.svc.cluster.local', 80]] as const
    for (const [host, port] of found) assert.equal(config.destinations.get(destinationKey(host, port))?.entry, dual, host)
    assert.equal(config.destinations.get(destinationKey('10.0.0.1', 81)), undefined)
  })

  it('attaches producer routes to its own Services and consumer routes to others, and never the other way', () => {
    const ratings = service('stars', 'ratings', '10.0.0.9')
    const config = compileConfig(snapshotOf([
      ...base, ratings,
      routes('consumer', 'books', ratings, rules), routes('producer', 'stars', ratings, rules), routes('consumer', 'stars', reviews, rules),
    ]), 'books')
    const own = config.destinations.get('10.0.0.1:80')
    assert.deepEqual([own?.producer?.entry.level, own?.consumer], ['producer', undefined])
    const other = config.destinations.get('10.0.0.9:80')
    assert.deepEqual([other?.producer, other?.consumer?.entry.namespace], [undefined, 'books'])
    assert.equal(config.tables.size, 2)
  })

  it('reaches a Service of both families by its first one, for an application may listen on that only', () => {
    const both = { ...endpoints('books', 'reviews', { ...endpoint(1), address: '10.1.0.1' }, { ...endpoint(1), address: 'fd01::1' }) }
    for (const [clusterIPs, found] of [[['10.0.0.1', 'fd00::1'], '10.1.0.1'], [['fd00::1', '10.0.0.1'], 'fd01::1']] as const) {
      const config = compileConfig(snapshotOf([{ ...reviews, clusterIPs: [...clusterIPs] }, both]), 'books')
      assert.deepEqual(config.endpoints.get('books/reviews:80')?.endpoints.map(({ address }) => address), [found])
    }
  })

  it('takes over what did not change as the same object, equal copies included', () => {
    const before = snapshotOf(base)
    const first = compileConfig(before, 'books')
    const copied = structuredClone(base).map((each) => each)
    const second = compileConfig(snapshotOf([...copied, service('books', 'other', '10.0.0.2')]), 'books', first)
    assert.equal(second.version, 2)
    assert.equal(second.destinations.get('10.0.0.1:80')?.producer, first.destinations.get('10.0.0.1:80')?.producer)
    assert.equal(second.endpoints.get('books/reviews:80'), first.endpoints.get('books/reviews:80'))
    const third = compileConfig(apply(before, delta(before, snapshotOf(base))), 'books', first)
    assert.equal(third.destinations.get('10.0.0.1:80'), first.destinations.get('10.0.0.1:80'))
  })

  it('compiles anew what did change', () => {
    const first = compileConfig(snapshotOf(base), 'books')
    const changed = [reviews, endpoints('books', 'reviews', endpoint(2)), routes('producer', 'books', reviews, http({}, {}))]
    const second = compileConfig(snapshotOf(changed), 'books', first)
    assert.notEqual(second.destinations.get('10.0.0.1:80')?.producer, first.destinations.get('10.0.0.1:80')?.producer)
    assert.equal(second.endpoints.get('books/reviews:80')?.endpoints[0]?.port, 2)
    const third = compileConfig(snapshotOf([reviews]), 'books', second)
    assert.equal(third.destinations.get('10.0.0.1:80')?.producer, undefined)
    assert.equal(third.endpoints.size, 0)
  })

  it('goes on telling agents of clients when the last policy is gone, for they may not have heard of it', () => {
    const inMesh = { ...endpoint(1), transport: { kind: 'hbone', port: 15008, identity: 'spiffe://cluster.local/ns/books/sa/reviews' } } as const
    const guarded = { ...reviews, guard: { policies: ['policy/books/first'], judgedByAgents: true } } as const
    const told = (config: ReturnType<typeof compileConfig>) => config.endpoints.get('books/reviews:80')?.endpoints.map(({ perClient }) => perClient)
    const before = compileConfig(snapshotOf([reviews, endpoints('books', 'reviews', inMesh)]), 'books')
    assert.deepEqual(told(before), [undefined])
    const during = compileConfig(snapshotOf([guarded, endpoints('books', 'reviews', inMesh)]), 'books', before)
    assert.deepEqual(told(during), [true])
    const after = compileConfig(snapshotOf([reviews, endpoints('books', 'reviews', inMesh, { ...endpoint(2) })]), 'books', during)
    assert.deepEqual(told(after), [true, undefined])
    assert.deepEqual(told(compileConfig(snapshotOf([reviews, endpoints('books', 'reviews', inMesh)]), 'books')), [undefined])
  })

  it('finds a backend\'s endpoints by what the target says, also if there are none', () => {
    const config = compileConfig(snapshotOf(base), 'books')
    assert.equal(config.endpointsOf({ kind: 'service', namespace: 'books', name: 'reviews', port: 80 })?.protocol, 'http')
    assert.equal(config.endpointsOf({ kind: 'service', namespace: 'books', name: 'missing', port: 80 }), undefined)
  })
})
