import assert from 'node:assert/strict'
import type { Pod } from '../api/core.ts'
import type { Identity } from '../model/identity.ts'
import { capturedAnnotation } from '../model/install.ts'
import { mayActFor, planCaptures, readReports } from './capture-plan.ts'

const trustDomain = 'cluster.local'
const agent: Identity = { trustDomain, namespace: 'waymark-system', serviceAccount: 'waymark-agent' }
const inMesh = (namespace: string): boolean => namespace === 'shop'

const pod = (name: string, { annotated = false, labels = {}, namespace = 'shop', node = 'n1', serviceAccount = 'till', hostNetwork = false, phase = 'Running' }: {
  annotated?: boolean; labels?: Record<string, string>; namespace?: string; node?: string; serviceAccount?: string; hostNetwork?: boolean; phase?: string
} = {}): Pod => ({
  apiVersion: 'v1', kind: 'Pod',
  metadata: { name, namespace, uid: `uid-${name}`, labels, ...(annotated ? { annotations: { [capturedAnnotation]: 'true' } } : {}) },
  spec: { nodeName: node, serviceAccountName: serviceAccount, hostNetwork }, status: { phase, podIP: '10.0.0.1' },
})
const podsOf = (...all: readonly Pod[]): ReadonlyMap<string, Pod> => new Map(all.map((each) => [`${each.metadata.namespace ?? ''}/${each.metadata.name}`, each]))
const reports = (captures: Record<string, string>) => readReports([{ kind: 'agent', namespace: 'waymark-system', name: 'waymark-agent', pod: 'a', hash: '', captures }])
const plan = (given: Pod, captures: Record<string, string>): readonly unknown[] =>
  planCaptures(podsOf(given), inMesh, reports(captures)).map(({ annotate, problem }) => [annotate, problem])

describe('planCaptures', () => {
  it('says at a pod that it is captured when its agent does, once', () => {
    assert.deepEqual(plan(pod('a'), { 'uid-a': '' }), [[true, undefined]])
    assert.deepEqual(plan(pod('a', { annotated: true }), { 'uid-a': '' }), [])
    assert.deepEqual(plan(pod('a'), {}), [])
  })

  it('never takes the word back because an agent is away or can not take over: nobody shall send plaintext then', () => {
    assert.deepEqual(plan(pod('a', { annotated: true }), {}), [])
    assert.deepEqual(plan(pod('a', { annotated: true }), { 'uid-a': 'port 15008 is taken' }), [[undefined, 'port 15008 is taken']])
  })

  it('takes it back when the pod leaves the mesh', () => {
    assert.deepEqual(plan(pod('a', { annotated: true, labels: { 'waymark.dev/mesh': 'disabled' } }), { 'uid-a': '' }), [[false, undefined]])
    assert.deepEqual(plan(pod('a', { annotated: true, namespace: 'plain' }), { 'uid-a': '' }), [[false, undefined]])
  })

  it('has nothing to say about pods that are over, the host\'s, or the mesh\'s own', () => {
    assert.deepEqual(plan(pod('a', { phase: 'Succeeded' }), { 'uid-a': '' }), [])
    assert.deepEqual(plan(pod('a', { hostNetwork: true }), { 'uid-a': '' }), [])
    assert.deepEqual(plan(pod('a', { labels: { 'app.kubernetes.io/managed-by': 'waymark', 'gateway.networking.k8s.io/gateway-name': 'waypoint' } }), { 'uid-a': '' }), [])
  })

  it('believes the agent that has the pod, while another of the same node does not yet', () => {
    const both = readReports([{ 'uid-a': 'not yet' }, { 'uid-a': '' }].map((captures) => ({ kind: 'agent' as const, namespace: 'x', name: 'y', pod: 'z', hash: '', captures })))
    assert.deepEqual([[...both.captured], [...both.refused]], [['uid-a'], []])
  })
})

describe('mayActFor', () => {
  const own = pod('agent-1', { namespace: 'waymark-system', serviceAccount: 'waymark-agent', hostNetwork: true })
  const owner = { identity: agent, pod: { name: 'agent-1', uid: 'uid-agent-1' } }
  const till: Identity = { trustDomain, namespace: 'shop', serviceAccount: 'till' }
  const judge = (pods: readonly Pod[], changes: Partial<typeof owner> = {}, identity = till): true | string =>
    mayActFor({ ...owner, ...changes }, identity, podsOf(own, ...pods), inMesh, agent)

  it('lets an agent have the identity of a pod on its own node', () => {
    assert.equal(judge([pod('a')]), true)
  })

  for (const [what, pods, changes, identity, says] of [
    ['that runs on another node only', [pod('a', { node: 'n2' })], {}, till, /on node n1/],
    ['that no pod has', [pod('a', { serviceAccount: 'other' })], {}, till, /on node n1/],
    ['of a pod that is over', [pod('a', { phase: 'Failed' })], {}, till, /on node n1/],
    ['of a pod that is not in the mesh', [pod('a', { labels: { 'waymark.dev/mesh': 'disabled' } })], {}, till, /on node n1/],
    ['of a pod on the host\'s network', [pod('a', { hostNetwork: true })], {}, till, /on node n1/],
    ['of another trust domain', [pod('a')], {}, { ...till, trustDomain: 'elsewhere' }, /on node n1/],
    ['with a token of another pod than the agent\'s', [pod('a')], { pod: { name: 'agent-1', uid: 'uid-older' } }, till, /not known/],
    ['with the token of somebody else', [pod('a')], { identity: till }, till, /no node agent/],
  ] as const) {
    it(`refuses an identity ${what}`, () => {
      assert.match(String(judge(pods, changes, identity)), says)
    })
  }
})
