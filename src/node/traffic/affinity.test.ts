import assert from 'node:assert/strict'
import { createAffinity } from './affinity.ts'

describe('createAffinity', () => {
  it('remembers the last endpoint of each Service port for its time, anew with each connection', () => {
    let now = 0
    const affinity = createAffinity(() => now)
    affinity.remember('shop/web:80', '10.1.0.1:8080', 10)
    affinity.remember('shop/web:81', '10.1.0.2:8080', 10)
    now = 9_000
    assert.equal(affinity.last('shop/web:80'), '10.1.0.1:8080')
    affinity.remember('shop/web:80', '10.1.0.1:8080', 10)
    now = 10_000
    assert.equal(affinity.last('shop/web:81'), undefined)
    now = 18_999
    assert.equal(affinity.last('shop/web:80'), '10.1.0.1:8080')
    now = 19_000
    assert.equal(affinity.last('shop/web:80'), undefined)
  })

  it('forgets the one that was used longest ago when there are too many', () => {
    const affinity = createAffinity(() => 0)
    for (let at = 0; at <= 1_000; at++) affinity.remember(String(at), 'x', 10)
    assert.equal(affinity.last('0'), undefined)
    assert.equal(affinity.last('1'), 'x')
    assert.equal(affinity.last('1000'), 'x')
  })
})
