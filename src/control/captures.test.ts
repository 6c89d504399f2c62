import assert from 'node:assert/strict'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import type { Pod } from '../api/core.ts'
import { emptyResources, type ResourceSet } from '../api/resources.ts'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import { capturedAnnotation } from '../model/install.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import { createCaptureWriter, type CaptureWriter } from './captures.ts'

const podOf = (name: string): Pod => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', uid: `uid-${name}` }, spec: { nodeName: 'n1' }, status: { phase: 'Running', podIP: '10.0.0.1' },
})
const said = (captures: Record<string, string>): readonly Acknowledgement[] => [{ kind: 'agent', namespace: 'waymark-system', name: 'waymark-agent', pod: 'a', hash: '', captures, bound: { name: 'agent', uid: 'uid-agent' } }]

const agent: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'agent', namespace: 'waymark-system', uid: 'uid-agent' }, spec: { nodeName: 'n1' } }

describe('createCaptureWriter', () => {
  let server: ApiServer
  let clock: FakeClock
  let writer: CaptureWriter
  let events: string[]
  let lines: string[]
  let foreign: number

  const resources = (): ResourceSet => ({
    ...emptyResources(),
    Namespace: new Map([['/shop', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { 'waymark.dev/mesh': 'enabled' } } }]]),
    Pod: new Map([...server.list('Pod').map((each) => each as unknown as Pod), agent].map((each) => [`${each.metadata.namespace ?? ''}/${each.metadata.name}`, each])),
  })
  const say = async (captures: Record<string, string>): Promise<void> => {
    writer.update(resources(), said(captures))
    clock.advance(20)
    await writer.idle()
  }
  const annotation = (name: string): string | undefined => server.get({ kind: 'Pod', namespace: 'shop', name })?.metadata.annotations?.[capturedAnnotation]

  beforeEach(async () => {
    server = await startApiServer()
    clock = fakeClock(1000)
    events = []
    lines = []
    foreign = 0
    writer = createCaptureWriter({
      client: server.client(), clock, random: () => 0.5, log: (line) => lines.push(line), onForeign: () => foreign++,
      recorder: { record: (object, notices) => void events.push(...notices.map(({ note }) => `${object.metadata.name}: ${note}`)) },
    })
    for (const name of ['a', 'b']) server.put(podOf(name) as never)
  })
  afterEach(async () => {
    writer.close()
    await server.close()
  })

  it('writes nothing of what an agent says about a pod of another node, and tells and counts it once', async () => {
    server.put({ ...podOf('c'), spec: { nodeName: 'n2' } } as never)
    writer.setActive(true)
    await say({ 'uid-a': '', 'uid-c': '' })
    await say({ 'uid-a': '', 'uid-b': '', 'uid-c': 'no' })
    assert.deepEqual([annotation('a'), annotation('b'), annotation('c')], ['true', 'true', undefined])
    assert.deepEqual([foreign, events], [1, []])
    assert.match(lines.join(), /agent agent of node n1 speaks of pod shop\/c, which is on n2: that is not believed/)
  })

  it('annotates captured pods, tells of those that can not be, and writes nothing twice', async () => {
    writer.setActive(true)
    await say({ 'uid-a': '', 'uid-b': 'port 15008 is taken' })
    assert.deepEqual([annotation('a'), annotation('b')], ['true', undefined])
    assert.deepEqual(events, ["b: The node's agent can not capture this pod: port 15008 is taken"])
    const { resourceVersion } = server.get({ kind: 'Pod', namespace: 'shop', name: 'a' })?.metadata ?? {}
    await say({ 'uid-a': '', 'uid-b': 'port 15008 is taken' })
    assert.equal(server.get({ kind: 'Pod', namespace: 'shop', name: 'a' })?.metadata.resourceVersion, resourceVersion)
    assert.equal(events.length, 1)
  })

  it('writes nothing while another controller leads', async () => {
    await say({ 'uid-a': '' })
    assert.equal(annotation('a'), undefined)
    writer.setActive(true)
    clock.advance(20)
    await writer.idle()
    assert.equal(annotation('a'), 'true')
  })

  it('leaves a pod of the same name that came later alone', async () => {
    writer.setActive(true)
    const before = resources()
    server.delete({ kind: 'Pod', namespace: 'shop', name: 'a' })
    server.put({ ...podOf('a'), metadata: { ...podOf('a').metadata, uid: 'uid-later' } } as never)
    writer.update(before, said({ 'uid-a': '' }))
    clock.advance(20)
    await writer.idle()
    assert.equal(annotation('a'), undefined)
  })
})
