import assert from 'node:assert/strict'
import { bookstore } from './bookstore.ts'

describe('the bookstore on a cluster', () => {
  const objects = bookstore({ waymark: 'w', app: 'a' })
  const of = (kind: string) => objects.filter((object) => object.kind === kind)

  it('has its namespaces first, all in the mesh', () => {
    assert.deepEqual(objects.slice(0, 3).map(({ kind }) => kind), ['Namespace', 'Namespace', 'Namespace'])
    assert.ok(of('Namespace').every(({ metadata }) => metadata.labels?.['waymark.dev/mesh'] === 'enabled'))
  })
  it('leaves endpoints and cluster IPs to the cluster', () => {
    assert.deepEqual(of('EndpointSlice'), [])
    assert.ok(of('Service').length > 4 && of('Service').every(({ spec }) => !('clusterIP' in (spec as object))))
  })
  it('has a pod behind every Service', () => {
    const pods = of('Deployment').map((object) => ({
      namespace: object.metadata.namespace,
      labels: (object['spec'] as { readonly selector: { readonly matchLabels: Readonly<Record<string, string>> } }).selector.matchLabels,
    }))
    for (const { metadata, spec } of of('Service')) {
      const { selector } = spec as { readonly selector: Readonly<Record<string, string>> }
      assert.ok(pods.some(({ namespace, labels }) => namespace === metadata.namespace && Object.entries(selector).every(([key, value]) => labels[key] === value)), metadata.name)
    }
  })
})
