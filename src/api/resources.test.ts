import assert from 'node:assert/strict'
import { emptyResources, keyOf, objectsOf, refOf, resourceSetOf, withObject, withoutObject, type Resource } from './resources.ts'

const namespace: Resource = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
const service: Resource = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' } }

describe('a ResourceSet', () => {
  it('keys objects by namespace and name, cluster-scoped ones without namespace', () => {
    assert.equal(keyOf(service), 'shop/web')
    assert.equal(keyOf(namespace), '/shop')
    assert.equal(keyOf({ ...service, metadata: { name: 'web' } }), 'default/web')
    assert.deepEqual(refOf(service), { group: '', kind: 'Service', namespace: 'shop', name: 'web' })
    assert.deepEqual(refOf(namespace), { group: '', kind: 'Namespace', namespace: '', name: 'shop' })
  })

  it('changes by making another one that shares the maps of all other kinds', () => {
    const one = withObject(emptyResources(), namespace)
    const two = withObject(one, service)
    assert.equal(one.Service.size, 0)
    assert.equal(two.Service.get('shop/web'), service)
    assert.equal(two.Namespace, one.Namespace)
    const three = withoutObject(two, 'Service', 'shop/web')
    assert.equal(three.Service.size, 0)
    assert.equal(two.Service.size, 1)
  })

  it('stays the same one if nothing changes', () => {
    const set = resourceSetOf([namespace, service])
    assert.equal(withObject(set, service), set)
    assert.equal(withoutObject(set, 'Service', 'shop/other'), set)
    assert.deepEqual([...objectsOf(set)], [namespace, service])
  })
})
