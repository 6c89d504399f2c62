import assert from 'node:assert/strict'
import { createAffinity, type Affinity } from './affinity.ts'

const endpoints = Array.from({ length: 10 }, (_none, at) => `10.1.0.${at}:8080`)
const same = (endpoint: string): string => endpoint
const picks = (affinity: Affinity, servicePort: string, among: readonly string[] = endpoints): string | undefined => affinity.pick(servicePort, among, same)
const pods = Array.from({ length: 300 }, (_none, at) => `pod-${at}`)

describe('session affinity', () => {
  it('holds for each Service port apart, for so long after the last connection, and no longer', () => {
    let now = 0
    const affinity = createAffinity('pod', () => now)
    const byHash = picks(affinity, 'shop/web:80')
    const other = endpoints.find((each) => each !== byHash) ?? ''
    affinity.remember('shop/web:80', other, 10)
    now = 9_999
    assert.equal(picks(affinity, 'shop/web:80'), other)
    affinity.remember('shop/web:80', other, 10)
    now += 9_999
    assert.equal(picks(affinity, 'shop/web:80'), other)
    now += 1
    assert.equal(picks(affinity, 'shop/web:80'), byHash)
  })

  it('goes elsewhere when the endpoint is not there any more, and is none without endpoints', () => {
    const affinity = createAffinity('pod', () => 0)
    affinity.remember('shop/web:80', '10.1.0.3:8080', 10)
    assert.notEqual(picks(affinity, 'shop/web:80', endpoints.filter((each) => each !== '10.1.0.3:8080')), '10.1.0.3:8080')
    assert.equal(picks(affinity, 'shop/web:80', []), undefined)
  })

  it('begins the same in whichever thread or process, whatever the order of endpoints, and elsewhere for other pods and ports', () => {
    for (const pod of pods) {
      const first = picks(createAffinity(pod, () => 0), 'shop/web:80')
      assert.equal(picks(createAffinity(pod, () => 5), 'shop/web:80', endpoints.toReversed()), first)
    }
    for (const servicePort of ['shop/web:80', 'shop/web:81']) {
      const shares = Object.values(Object.groupBy(pods, (pod) => picks(createAffinity(pod, () => 0), servicePort) ?? '')).map((each) => each?.length ?? 0)
      // 30 each if they were equal.
      assert.ok(shares.length === 10 && shares.every((share) => share >= 5), shares.join())
    }
  })

  it('moves only those whose endpoint went', () => {
    const left = endpoints.slice(1)
    const moved = pods.filter((pod) => {
      const affinity = createAffinity(pod, () => 0)
      return picks(affinity, 'shop/web:80') !== picks(affinity, 'shop/web:80', left)
    })
    assert.ok(moved.every((pod) => picks(createAffinity(pod, () => 0), 'shop/web:80') === endpoints[0]))
    assert.ok(moved.length > 0)
  })

  it('remembers no more than it may, and forgets what was used longest ago', () => {
    const affinity = createAffinity('pod', () => 0)
    const elsewhere = (servicePort: string): string => endpoints.find((each) => each !== picks(createAffinity('pod', () => 0), servicePort)) ?? ''
    const all = Array.from({ length: 1_001 }, (_none, at) => `shop/s${at}:80`)
    for (const servicePort of all) affinity.remember(servicePort, elsewhere(servicePort), 10)
    assert.deepEqual(all.filter((servicePort) => picks(affinity, servicePort) !== elsewhere(servicePort)), ['shop/s0:80'])
  })
})
