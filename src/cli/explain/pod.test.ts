import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { KubernetesObject } from '../../api/meta.ts'
import { resourceSetOf } from '../../api/resources.ts'
import { readInput } from '../../translate/testing/golden.ts'
import { translate } from '../../translate/translate.ts'
import type { Explanation } from './explanation.ts'
import { explainFromPod } from './pod.ts'
import { parseProbe } from './probe.ts'

describe('explain from a pod', () => {
  const pod = (namespace: string, name: string, podIP: string, labels: Readonly<Record<string, string>> = {}): KubernetesObject =>
    ({ apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name, labels }, spec: { serviceAccountName: name }, status: { phase: 'Running', podIP } }) as KubernetesObject
  const callers = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { 'waymark.dev/mesh': 'enabled' } } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'evil', labels: { 'waymark.dev/mesh': 'enabled' } } },
    pod('shop', 'till', '10.2.0.1'), pod('shop', 'out', '10.2.0.2', { 'waymark.dev/mesh': 'disabled' }), pod('evil', 'imp', '10.3.0.1'), pod('plain', 'old', '10.4.0.1'),
  ] as readonly KubernetesObject[]
  const explain = (name: string, from: string, url: string): Explanation => {
    const { objects, options } = readInput(readFileSync(`src/translate/testdata/policies/${name}.in.yaml`, 'utf8'))
    const resources = resourceSetOf([...objects, ...callers.filter(({ kind, metadata }) => !objects.some((each) => each.kind === kind && each.metadata.name === metadata.name))] as never)
    const [who = '', namespace = ''] = from.split('.')
    return explainFromPod({ resources, snapshot: translate(resources, options).snapshot, trustDomain: 'cluster.local', unknown: 'pass', nodeAgent: true }, { pod: who, namespace }, parseProbe([url], []))
  }

  it('goes straight to a Service without a waypoint, by mTLS, and is judged by the agent there', () => {
    const allowed = explain('by-agents', 'till.shop', 'http://reviews.books/')
    assert.deepEqual([allowed.pod?.captured, allowed.way, allowed.caller, allowed.answer], [true, 'straight', 'spiffe://cluster.local/ns/shop/sa/till', undefined])
    assert.deepEqual(allowed.policies?.map(({ policy, says }) => `${policy} ${says}`), ['books/shop allows it'])
    const denied = explain('by-agents', 'imp.evil', 'http://reviews.books/')
    assert.deepEqual([denied.way, denied.answer?.reason, denied.answer?.status], ['straight', 'denied', undefined])
  })

  it('goes to the waypoint of the Service, which judges requests, and not past it', () => {
    const allowed = explain('by-waypoint', 'till.shop', 'http://reviews.books/public')
    assert.deepEqual([allowed.way, allowed.waypoint?.name, allowed.answer], ['waypoint of the Service', 'books/waypoint', undefined])
    const past = explain('by-waypoint', 'till.shop', 'http://10.1.0.1:8080/public')
    assert.deepEqual([past.way, past.answer?.reason, past.answer?.status], ['straight', 'denied', undefined])
  })

  it('goes to the waypoint of its own namespace for consumer routes', () => {
    assert.equal(explain('consumer-routes', 'till.shop', 'http://reviews.books/').way, 'own waypoint')
  })

  it('is in plain if it is not captured, and says why; who it meets there may refuse that', () => {
    for (const from of ['out.shop', 'old.plain']) {
      const refused = explain('by-agents', from, 'http://reviews.books/')
      assert.deepEqual([refused.pod?.captured, refused.way, refused.answer?.reason], [false, 'past the mesh', 'denied'])
      assert.equal(explain('by-waypoint', from, 'http://10.1.0.1:8080/').answer?.reason, 'waypoint-required')
    }
    assert.match(explain('by-agents', 'out.shop', 'http://reviews.books/').pod?.because ?? '', /labelled waymark.dev\/mesh=disabled/)
    assert.match(explain('by-agents', 'old.plain', 'http://reviews.books/').pod?.because ?? '', /namespace plain is not labelled/)
  })

  it('leaves the mesh to what that does not know', () => {
    assert.deepEqual(['tcp://192.0.2.1:5432', 'https://example.org/'].map((url) => explain('by-agents', 'till.shop', url).way), ['outside', 'outside'])
  })
})
