import assert from 'node:assert/strict'
import type { Pod } from '../api/core.ts'
import { emptyResources, type ResourceSet } from '../api/resources.ts'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import { capturedAnnotation } from '../model/install.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import { agentlessNodes, watchAgentless, type AgentlessWatch } from './agentless.ts'

const podOn = (node: string, name: string, captured: boolean, phase = 'Running'): Pod => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', uid: `uid-${name}`, ...(captured ? { annotations: { [capturedAnnotation]: 'true' } } : {}) }, spec: { nodeName: node }, status: { phase },
})
const agentOn = (node: string): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: `agent-${node}`, namespace: 'waymark-system', uid: `uid-agent-${node}` }, spec: { nodeName: node } })
const wordOf = (node: string): Acknowledgement => ({ kind: 'agent', namespace: 'waymark-system', name: 'waymark-agent', pod: '', hash: '', captures: {}, bound: { name: `agent-${node}`, uid: `uid-agent-${node}` } })
const waypoint: Acknowledgement = { kind: 'waypoint', namespace: 'shop', name: 'waypoint', pod: 'waypoint-1', hash: '' }
const cluster = (...pods: readonly Pod[]): ResourceSet => ({ ...emptyResources(), Pod: new Map(pods.map((each) => [`${each.metadata.namespace ?? ''}/${each.metadata.name}`, each])) })

describe('agentlessNodes', () => {
  it('are those with captured pods of which no agent speaks that runs there', () => {
    const { Pod: pods } = cluster(
      podOn('n1', 'a', true), podOn('n2', 'b', true), podOn('n2', 'c', true), podOn('n3', 'd', false), podOn('n4', 'over', true, 'Succeeded'), agentOn('n1'), agentOn('n2'),
    )
    assert.deepEqual([...agentlessNodes(pods, [wordOf('n1'), waypoint])], [['n2', 2]])
    assert.deepEqual([...agentlessNodes(pods, [wordOf('n2'), wordOf('n1')])], [])
    // An agent's pod that is gone, or came anew under its name, speaks for no node.
    assert.deepEqual([...agentlessNodes(pods, [wordOf('n1'), { ...wordOf('n2'), bound: { name: 'agent-n2', uid: 'other' } }])], [['n2', 2]])
  })
})

describe('watchAgentless', () => {
  const all = cluster(podOn('n1', 'a', true), podOn('n2', 'b', true), agentOn('n1'), agentOn('n2'))
  let clock: FakeClock
  let watch: AgentlessWatch
  let events: string[]
  const after = (ms: number): readonly string[] => {
    for (let past = 0; past < ms; past += 1_000) clock.advance(1_000)
    return events.splice(0)
  }
  beforeEach(() => {
    clock = fakeClock(1_000)
    events = []
    watch = watchAgentless({ clock, recorder: { record: ({ kind, metadata }, notices) => void events.push(...notices.map(({ type, reason, note }) => `${kind} ${metadata.name}: ${type} ${reason}: ${note}`)) } })
    watch.setActive(true)
  })
  afterEach(() => watch.close())

  it('tells once, after a while, and again when there is an agent', () => {
    watch.update(all, [wordOf('n1'), wordOf('n2')])
    assert.deepEqual(after(60_000), [])
    watch.update(all, [wordOf('n2')])
    assert.deepEqual(after(14_000), [])
    assert.deepEqual(after(600_000), [
      'Node n1: Warning NodeAgentGone: No node agent of the mesh serves this node. New connections of its captured pods (1) are refused, and pods of the mesh do not start here. See the pods of DaemonSet waymark-agent on this node',
    ])
    watch.update(all, [wordOf('n2'), wordOf('n1')])
    assert.deepEqual(after(5_000), ['Node n1: Normal NodeAgentBack: No captured pod of this node is without its node agent any more'])
    watch.update(all, [wordOf('n2')])
    assert.equal(after(60_000).length, 1)
  })

  it('tells nothing of one that is back soon, and counts anew then', () => {
    for (let round = 0; round < 5; round++) {
      watch.update(all, [wordOf('n2')])
      assert.deepEqual(after(10_000), [])
      watch.update(all, [wordOf('n2'), wordOf('n1')])
      assert.deepEqual(after(10_000), [])
    }
  })

  it('tells nothing while another leads, and waits its time when it begins to', () => {
    watch.setActive(false)
    watch.update(all, [])
    assert.deepEqual(after(60_000), [])
    watch.setActive(true)
    assert.deepEqual(after(10_000), [])
    assert.equal(after(10_000).length, 2)
  })
})
