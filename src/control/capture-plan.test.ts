import assert from 'node:assert/strict'
import type { Pod } from '../api/core.ts'
import type { Identity } from '../model/identity.ts'
import { capturedAnnotation } from '../model/install.ts'
import type { Acknowledgement } from '../publish/acks.ts'
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
const agentPod = (node: string): Pod => pod(`agent-${node}`, { namespace: 'waymark-system', serviceAccount: 'waymark-agent', hostNetwork: true, node })
const said = (captures: Record<string, string>, node = 'n1') =>
  ({ kind: 'agent', namespace: 'waymark-system', name: 'waymark-agent', pod: 'a', hash: '', captures, bound: { name: `agent-${node}`, uid: `uid-agent-${node}` } }) as const
const plan = (given: Pod, captures: Record<string, string>): readonly unknown[] =>
  planCaptures(podsOf(given), inMesh, readReports([said(captures)], podsOf(given, agentPod('n1')))).map(({ annotate, problem }) => [annotate, problem])

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
    const both = readReports([said({ 'uid-a': 'not yet' }), said({ 'uid-a': '' })], podsOf(pod('a'), agentPod('n1')))
    assert.deepEqual([[...both.captured], [...both.refused]], [['uid-a'], []])
  })

  it('believes agents about their own nodes, by the pod that their token is bound to, and tells of the others', () => {
    const pods = podsOf(pod('a'), pod('b', { node: 'n2' }), agentPod('n1'), agentPod('n2'))
    const read = readReports([said({ 'uid-a': '', 'uid-b': '', 'uid-gone': '' }), said({ 'uid-a': 'it lies', 'uid-b': 'a reason' }, 'n2')], pods)
    assert.deepEqual([[...read.captured], [...read.refused]], [['uid-a'], [['uid-b', 'a reason']]])
    assert.deepEqual(read.foreign.map(({ agent: name, node, pod: { metadata } }) => [name, node, metadata.name]), [['agent-n1', 'n1', 'b'], ['agent-n2', 'n2', 'a']])
  })

  it('believes nobody who has not proved in which pod it runs, or whose pod is gone', () => {
    const unproven: Acknowledgement = { kind: 'agent', namespace: 'waymark-system', name: 'waymark-agent', pod: 'agent-n1', hash: '', captures: { 'uid-a': '' } }
    for (const word of [unproven, { ...unproven, bound: { name: 'agent-n1', uid: 'another' } }, { ...unproven, bound: { name: 'agent-n9', uid: 'uid-agent-n9' } }]) {
      assert.deepEqual([...readReports([word], podsOf(pod('a'), agentPod('n1'))).captured], [])
    }
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
