import assert from 'node:assert/strict'
import { entryKey, type Entry } from '../model/entries.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { slice, type Subscriber } from './slice.ts'

const service = (namespace: string, name: string, guarded: boolean): Entry => ({
  kind: 'service', namespace, name, clusterIPs: [], headless: false, ports: [{ port: 80, protocol: 'http' }], waypoint: `waypoint/${namespace}/waypoint`,
  ...(guarded ? { guard: { policies: [`policy/${namespace}/p`] } } : {}),
})
const waypoint = (namespace: string): Entry => ({ kind: 'waypoint', namespace, name: 'waypoint', identity: `spiffe://cluster.local/ns/${namespace}/sa/waypoint`, addresses: [] })
const policy = (namespace: string): Entry => ({ kind: 'policy', namespace, name: 'p', action: 'allow', rules: [] })
const routes: Entry = {
  kind: 'routes', level: 'consumer', namespace: 'shop', service: { namespace: 'books', name: 'reviews' }, port: 80, via: ['waypoint/books/waypoint'],
  routes: { protocol: 'tcp', rules: [{ kind: 'tcp', id: { routeKind: 'TCPRoute', namespace: 'shop', name: 'r', rule: 0 }, backends: [] }] },
}
const speakers: Entry = { kind: 'speakers', namespace: '', name: 'mesh', waypoints: {} }
const all: Snapshot = new Map(
  [service('books', 'reviews', true), service('shop', 'till', false), waypoint('books'), waypoint('shop'), waypoint('far'), policy('books'), policy('shop'), routes, speakers].map((entry) => [entryKey(entry), entry]),
)
const keys = (subscriber: Subscriber): readonly string[] => [...slice(all, subscriber).keys()]

describe('slices of policies', () => {
  it('give a waypoint those of its namespace, and who may speak to it only if it judges', () => {
    assert.deepEqual(keys({ kind: 'waypoint', namespace: 'books' }), ['policy/books/p', 'service/books/reviews', 'speakers//mesh', 'waypoint/books/waypoint'])
    assert.ok(!keys({ kind: 'waypoint', namespace: 'shop' }).includes('speakers//mesh'))
  })

  it('give a waypoint the waypoints that judge what its routes send', () => {
    assert.deepEqual(keys({ kind: 'waypoint', namespace: 'shop' }).filter((key) => key.startsWith('waypoint/')), ['waypoint/books/waypoint', 'waypoint/shop/waypoint'])
  })

  it('give an entry none: callers need not know them', () => {
    assert.deepEqual(keys({ kind: 'entry', namespace: 'books' }).filter((key) => /^(?:policy|speakers)/.test(key)), [])
  })

  it('give an agent all of them', () => {
    assert.deepEqual(keys({ kind: 'agent', namespace: 'waymark-system' }).filter((key) => /^(?:policy|speakers)/.test(key)), ['policy/books/p', 'policy/shop/p', 'speakers//mesh'])
  })
})
