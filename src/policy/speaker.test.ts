import assert from 'node:assert/strict'
import { entryKey, type Entry } from '../model/entries.ts'
import { clientHeader, originalClient, routesHeader, speakersOf, speakingFor, type TunnelFacts } from './speaker.ts'
import { identity } from './testing/policies.ts'

const id = (namespace: string, name: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${name}`
const speakers = new Map([[id('shop', 'waypoint'), 'shop'], [id('books', 'waypoint'), 'books']])
const tunnel = (namespace: string, name: string, headers: TunnelFacts['headers'] = {}): TunnelFacts =>
  ({ peer: identity(namespace, name), peerId: id(namespace, name), remoteAddress: '::ffff:10.1.2.3', headers })
const refused = (facts: TunnelFacts, own?: string): boolean => 'refused' in originalClient(facts, speakers, own)

describe('speakersOf', () => {
  it('knows every waypoint that the snapshot has, and those of which it only has the names', () => {
    const known = { kind: 'speakers', namespace: '', name: 'mesh', waypoints: { [id('shop', 'waypoint')]: 'shop' } } as const
    const books = { kind: 'waypoint', namespace: 'books', name: 'waypoint', identity: id('books', 'waypoint'), addresses: [] } as const
    assert.deepEqual(speakersOf(new Map<string, Entry>([[entryKey(known), known], [entryKey(books), books]])), speakers)
    assert.deepEqual(speakersOf(new Map([[entryKey(books), books]])), new Map([[id('books', 'waypoint'), 'books']]))
  })
})

describe('originalClient', () => {
  it('is the peer, if nobody speaks for anybody', () => {
    assert.deepEqual(originalClient(tunnel('shop', 'till'), speakers), { identity: identity('shop', 'till'), id: id('shop', 'till'), address: '10.1.2.3', speaker: undefined, routed: false })
  })

  it('is whom a waypoint speaks for, with the address that it tells', () => {
    const headers = speakingFor({ id: id('shop', 'till'), address: 'fd00::7' }, true)
    assert.deepEqual(originalClient(tunnel('shop', 'waypoint', headers), speakers), { identity: identity('shop', 'till'), id: id('shop', 'till'), address: 'fd00::7', speaker: 'shop', routed: true })
    assert.deepEqual(speakingFor({ id: 'x', address: undefined }, false), { [clientHeader]: 'x' })
  })

  it('is never believed of a waypoint that speaks for another namespace, unless that is where its own pods are reached', () => {
    const facts = tunnel('books', 'waypoint', speakingFor({ id: id('shop', 'till'), address: undefined }, false))
    assert.equal(refused(facts), true)
    assert.equal(refused(facts, 'shop'), true)
    assert.equal(refused(facts, 'books'), false)
  })

  it('is never believed of somebody who is no waypoint', () => {
    assert.equal(refused(tunnel('shop', 'till', { [clientHeader]: id('shop', 'admin') })), true)
    assert.equal(refused(tunnel('shop', 'till', { [routesHeader]: 'off' })), true)
    assert.equal(refused(tunnel('other', 'waypoint', { [clientHeader]: id('other', 'x') })), true)
    assert.equal(refused(tunnel('shop', 'till', { [clientHeader]: id('shop', 'till') })), true)
  })

  it('is refused if it can not be read, or is of another trust domain', () => {
    for (const claim of ['', 'x', `${id('shop', 'a')}/`, 'spiffe://other.test/ns/shop/sa/till', [id('shop', 'a'), id('shop', 'b')]]) {
      assert.equal(refused(tunnel('shop', 'waypoint', { [clientHeader]: claim })), true, String(claim))
    }
    assert.equal(refused(tunnel('shop', 'waypoint', { [routesHeader]: 'off' })), true)
    assert.equal(refused(tunnel('shop', 'waypoint', { [routesHeader]: 'on', [clientHeader]: id('shop', 'till') })), true)
  })

  it('has no address if what is forwarded is none', () => {
    for (const forwarded of ['for=_hidden', 'for="10.1.1.1", for=2', 'by=10.1.1.1', '']) {
      const client = originalClient(tunnel('shop', 'waypoint', { [clientHeader]: id('shop', 'till'), forwarded }), speakers)
      assert.ok(!('refused' in client) && client.address === undefined, forwarded)
    }
  })
})
