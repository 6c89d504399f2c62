import assert from 'node:assert/strict'
import { collisions, placeObject, uniqueSuffix } from './roles.ts'

const names = new Map([['store', 'store-x1'], ['shop', 'shop-x1']])
const route = (name: string, namespace: string) => ({
  apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name, namespace, labels: { namespace: 'other' } },
  spec: { parentRefs: [{ name: 'store', namespace: 'store' }], rules: [{ backendRefs: [{ name: 'shop', namespace: 'shop', port: 80 }] }] },
})

describe('roles', () => {
  it('become real namespaces wherever one is named, and nowhere else', () => {
    assert.deepEqual(placeObject(route('shop', 'store'), names), {
      apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'shop', namespace: 'store-x1', labels: { namespace: 'other' } },
      spec: { parentRefs: [{ name: 'store', namespace: 'store-x1' }], rules: [{ backendRefs: [{ name: 'shop', namespace: 'shop-x1', port: 80 }] }] },
    })
  })
  it('name the Namespaces themselves', () => {
    assert.equal(placeObject({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, names).metadata.name, 'shop-x1')
    assert.equal(placeObject({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kube-system' } }, names).metadata.name, 'kube-system')
  })
  it('get a suffix that a DNS label may have', () => {
    assert.match(uniqueSuffix(), /^[a-z0-9]{5}$/)
    assert.match(uniqueSuffix(() => 0.999999), /^[a-z0-9]{5}$/)
  })
  it('tell two cases that write the same object', () => {
    assert.deepEqual(collisions([{ name: 'a', manifests: [route('r', 'store')] }, { name: 'b', manifests: [route('r', 'store'), route('r', 'shop')] }]), ['HTTPRoute store/r: a, b'])
  })
})
