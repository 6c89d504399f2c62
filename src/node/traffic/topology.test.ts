import assert from 'node:assert/strict'
import type { Endpoint, ServiceEntry } from '../../model/entries.ts'
import { reachableEndpoints, zoneOfNode } from './topology.ts'

const service = (more: Partial<ServiceEntry> = {}): ServiceEntry => ({ kind: 'service', namespace: 'shop', name: 'web', clusterIPs: ['10.96.0.1'], headless: false, ports: [], ...more })
const endpoint = (address: string, more: Partial<Endpoint> = {}): Endpoint => ({ address, port: 80, condition: 'ready', transport: { kind: 'plain' }, ...more })
const place = { node: 'n1', zone: 'a' }
const chosen = (endpoints: readonly Endpoint[], more: Partial<ServiceEntry> = {}, where: { readonly node: string; readonly zone?: string } = place): readonly string[] =>
  reachableEndpoints(service(more), endpoints, where).map(({ address }) => address)

describe('the endpoints that kube-proxy would choose from', () => {
  it('are the ready ones, and draining ones only while there is no ready one', () => {
    assert.deepEqual(chosen([endpoint('1'), endpoint('2', { condition: 'draining' })]), ['1'])
    assert.deepEqual(chosen([endpoint('2', { condition: 'draining' })]), ['2'])
    assert.deepEqual(chosen([]), [])
  })

  describe('of a Service with a local traffic policy', () => {
    const local = { internalTrafficPolicy: 'Local' } as const
    it('are only those of the own node, whatever hints say', () => {
      assert.deepEqual(chosen([endpoint('1', { node: 'n1', forZones: ['b'] }), endpoint('2', { node: 'n2', forZones: ['a'] }), endpoint('3')], local), ['1'])
      assert.deepEqual(chosen([endpoint('2', { node: 'n2' })], local), [])
    })
    it('are draining ones of the own node before ready ones of others', () => {
      assert.deepEqual(chosen([endpoint('1', { node: 'n1', condition: 'draining' }), endpoint('2', { node: 'n2' })], local), ['1'])
    })
  })

  describe('with hints', () => {
    const [inA, inB] = [endpoint('1', { forZones: ['a'] }), endpoint('2', { forZones: ['b'] })]
    it('are those for the own zone', () => assert.deepEqual(chosen([inA, inB]), ['1']))
    it('are all if one has no hint', () => assert.deepEqual(chosen([inA, inB, endpoint('3')]), ['1', '2', '3']))
    it('are all if none is for the own zone, or it is not known', () => {
      assert.deepEqual(chosen([inB]), ['2'])
      assert.deepEqual(chosen([inA, inB], {}, { node: 'n1' }), ['1', '2'])
    })
    it('do not ask draining ones for hints while there are ready ones', () => {
      assert.deepEqual(chosen([inA, inB, endpoint('3', { condition: 'draining' })]), ['1'])
    })
    it('for nodes count before those for zones', () => {
      const [here, there] = [endpoint('1', { forZones: ['a'], forNodes: ['n1'] }), endpoint('2', { forZones: ['a'], forNodes: ['n2'] })]
      assert.deepEqual(chosen([here, there]), ['1'])
      assert.deepEqual(chosen([here, there], {}, { node: 'n3', zone: 'a' }), ['1', '2'])
    })
  })
})

describe('zoneOfNode', () => {
  it('is told by an endpoint on that node', () => {
    assert.equal(zoneOfNode([endpoint('1', { node: 'n2', zone: 'b' }), endpoint('2', { node: 'n1' }), endpoint('3', { node: 'n1', zone: 'a' })], 'n1'), 'a')
    assert.equal(zoneOfNode([], 'n1'), undefined)
  })
})
