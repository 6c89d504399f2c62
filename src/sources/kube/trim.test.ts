import assert from 'node:assert/strict'
import fc from 'fast-check'
import { kinds, type ResourceKind } from '../../api/resources.ts'
import { deepFreeze, trimOf } from './trim.ts'

describe('trimOf', () => {
  const lastApplied = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' }
  const metadata = {
    ...{ name: 'cart-1', namespace: 'shop', uid: 'u1', resourceVersion: '7', creationTimestamp: '2026-01-01T00:00:00Z' },
    ...{ labels: { app: 'cart' }, annotations: { note: 'x', ...lastApplied }, managedFields: [{ manager: 'm' }], ownerReferences: [{ uid: 'o' }] },
  }

  it('keeps of a pod what the mesh reads', () => {
    const pod = trimOf('Pod')(
      {
        metadata,
        spec: {
          ...{ serviceAccountName: 'cart', nodeName: 'n1', hostNetwork: false, volumes: [{}], tolerations: [] },
          containers: [{ name: 'app', image: 'cart:1', env: [{}], ports: [{ name: 'http', containerPort: 80, protocol: 'TCP', hostPort: 1 }] }, { name: 'bare' }],
        },
        status: {
          ...{ phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], containerStatuses: [{}], qosClass: 'Burstable' },
          conditions: [{ type: 'PodScheduled', status: 'True' }, { type: 'Ready', status: 'True', lastTransitionTime: 'then' }],
        },
      },
      'v1',
      'Pod',
    )
    assert.deepEqual(pod, {
      ...{ apiVersion: 'v1', kind: 'Pod' },
      metadata: { name: 'cart-1', namespace: 'shop', uid: 'u1', creationTimestamp: '2026-01-01T00:00:00Z', labels: { app: 'cart' } },
      spec: {
        ...{ serviceAccountName: 'cart', nodeName: 'n1', hostNetwork: false },
        containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }] }, { name: 'bare' }],
      },
      status: { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'Ready', status: 'True' }] },
    })
  })

  it('keeps of a pod\'s annotations only the one that says that it is captured', () => {
    const annotations = { note: 'x', 'waymark.dev/captured': 'true' }
    const pod = trimOf('Pod')({ metadata: { ...metadata, annotations } }, 'v1', 'Pod')
    assert.deepEqual(pod.metadata.annotations, { 'waymark.dev/captured': 'true' })
  })

  it('keeps of an EndpointSlice what the mesh reads, and reads null as empty', () => {
    const trim = trimOf('EndpointSlice')
    const slice = {
      ...{ metadata, addressType: 'IPv4', ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: null }] },
      endpoints: [
        {
          ...{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: true, terminating: false }, nodeName: 'n1', zone: 'z1', deprecatedTopology: {} },
          targetRef: { kind: 'Pod', namespace: 'shop', name: 'cart-1', uid: 'u1', resourceVersion: '7' },
        },
      ],
    }
    const { metadata: kept, ...rest } = trim(slice, 'discovery.k8s.io/v1', 'EndpointSlice')
    assert.deepEqual(Object.keys(kept), ['name', 'namespace', 'uid', 'creationTimestamp', 'labels'])
    assert.deepEqual(rest, {
      ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
      endpoints: [
        {
          ...{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: true, terminating: false }, nodeName: 'n1', zone: 'z1' },
          targetRef: { kind: 'Pod', namespace: 'shop', name: 'cart-1', uid: 'u1' },
        },
      ],
    })
    const empty = trim({ metadata, addressType: 'IPv4', endpoints: null, ports: null }, 'discovery.k8s.io/v1', 'EndpointSlice')
    assert.ok(!('endpoints' in empty) && !('ports' in empty))
  })

  it('keeps of a Service its spec without what is not read, and no status', () => {
    const spec = { type: 'ClusterIP', clusterIP: '10.96.0.1', clusterIPs: ['10.96.0.1'], ports: [{ port: 80, targetPort: 'http' }], selector: { app: 'cart' }, sessionAffinity: 'ClientIP', internalTrafficPolicy: 'Local' }
    const service = trimOf('Service')({ metadata, spec: { ...spec, externalTrafficPolicy: 'Local' }, status: { loadBalancer: {} } }, 'v1', 'Service')
    assert.deepEqual(service['spec'], spec)
    assert.deepEqual(service.metadata.annotations, { note: 'x' })
    assert.ok(!('status' in service))
  })

  it('keeps of a route all but managedFields and what kubectl apply left', () => {
    const route = { metadata, spec: { rules: [] }, status: { parents: [] } }
    const kept = trimOf('HTTPRoute')(route, 'gateway.networking.k8s.io/v1', 'HTTPRoute')
    const { managedFields, ...others } = metadata
    assert.ok(managedFields.length > 0)
    assert.deepEqual(kept, { ...route, apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { ...others, annotations: { note: 'x' } } })
  })

  it('shares what many pods have in common', () => {
    const trim = trimOf('Pod')
    const pod = (name: string) =>
      trim(JSON.parse(JSON.stringify({ metadata: { ...metadata, name }, spec: { containers: [{ name: 'app', ports: [{ containerPort: 80 }] }] } })) as never, 'v1', 'Pod')
    const [a, b] = [pod('a'), pod('b')]
    assert.equal(a.metadata.labels, b.metadata.labels)
    assert.equal((a['spec'] as { containers: unknown }).containers, (b['spec'] as { containers: unknown }).containers)
  })

  it('never throws and never changes its input, whatever the shape, and knows no key __proto__ but as a key', () => {
    const odd = fc.oneof(fc.constant(null), fc.integer(), fc.string(), fc.constant([null, 7, {}, [[]]]), fc.json().map((text) => JSON.parse(text) as unknown))
    const part = fc.dictionary(fc.constantFrom('containers', 'ports', 'conditions', 'endpoints', 'selector', 'podIPs', 'labels', '__proto__'), odd)
    const value = fc.record({ metadata: part, spec: fc.oneof(odd, part), status: fc.oneof(odd, part), endpoints: fc.oneof(odd, fc.array(part)), ports: odd })
    fc.assert(
      fc.property(fc.constantFrom(...(Object.keys(kinds) as ResourceKind[])), value, (kind, object) => {
        const kept = trimOf(kind)(deepFreeze(object), 'v1', kind)
        deepFreeze(kept)
        assert.equal(Object.getPrototypeOf(kept), Object.prototype)
      }),
    )
  })
})
