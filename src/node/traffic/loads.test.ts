import assert from 'node:assert/strict'
import { createLoads } from './loads.ts'

const identity = (each: string): string => each

describe('createLoads', () => {
  let now = 0
  const loads = () => createLoads({ now: () => now, random: Math.random })

  it('prefers the peer with fewer connections, and forgets those that ended', () => {
    const table = loads()
    for (let at = 0; at < 3; at++) table.opened('a')
    for (let at = 0; at < 20; at++) assert.equal(table.pick(['a', 'b'], identity), 'b')
    for (let at = 0; at < 3; at++) table.closed('a')
    assert.equal(table.size(), 0)
  })

  it('spreads evenly when each connection stays open', () => {
    const table = loads()
    const counts = new Map<string, number>()
    for (let at = 0; at < 400; at++) {
      const picked = table.pick(['a', 'b', 'c', 'd'], identity) ?? ''
      table.opened(picked)
      counts.set(picked, (counts.get(picked) ?? 0) + 1)
    }
    assert.ok([...counts.values()].every((count) => count >= 90 && count <= 110), [...counts.values()].join())
  })

  it('keeps away from what failed for a while, unless there is nothing else', () => {
    const table = loads()
    table.failed('a')
    for (let at = 0; at < 20; at++) assert.equal(table.pick(['a', 'b'], identity), 'b')
    assert.equal(table.pick(['a'], identity), 'a')
    now += 5_000
    assert.ok(Array.from({ length: 50 }, () => table.pick(['a', 'b'], identity)).includes('a'))
    assert.equal(table.size(), 0)
  })

  it('takes a peer back at once that was reached', () => {
    const table = loads()
    table.failed('a')
    table.opened('a')
    table.closed('a')
    assert.equal(table.size(), 0)
  })

  it('remembers a bounded number of failures', () => {
    const table = loads()
    for (let at = 0; at < 20_000; at++) table.failed(String(at))
    assert.equal(table.size(), 10_000)
  })

  it('picks nothing of nothing', () => assert.equal(loads().pick([], identity), undefined))
})
