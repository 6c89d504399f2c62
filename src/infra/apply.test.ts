import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { startApiServer, type ApiServer } from '../../test/simulated/api-server.ts'
import { resourceSetOf, type Resource } from '../api/resources.ts'
import { fakeClock, type FakeClock } from '../kit/testing/fake-clock.ts'
import type { KubeObject } from '../kube/object.ts'
import type { WaypointInfra, WaypointParameters } from '../model/infra.ts'
import { until } from '../sources/kube/testing/until.ts'
import { defaultParameters } from '../translate/parameters.ts'
import { createInfraWriter, type InfraWriter } from './apply.ts'
import { plainInstallation } from './testing/golden.ts'
import { madeKinds } from './watches.ts'

const gateway = (name = 'edge'): KubeObject => ({
  apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { namespace: 'shop', name }, spec: { gatewayClassName: 'waypoint' },
})
const noResources = resourceSetOf([])
const edge = (kind: string) => ({ kind, namespace: 'shop', name: 'edge' })
const deploymentOf = (server: ApiServer) =>
  server.get(edge('Deployment')) as KubeObject & { spec: { replicas?: number; template: { spec: { containers: { image: string; args: string[] }[] } } } }

describe('infra writer', function () {
  this.timeout(20_000)
  let server: ApiServer
  let clock: FakeClock
  let writer: InfraWriter
  let lines: string[]
  let uid: string

  const start = (): InfraWriter => createInfraWriter({ client: server.client(), clock, random: () => 0.5, installation: plainInstallation, log: (line) => void lines.push(line) })
  const wants = (parameters: Partial<WaypointParameters> | undefined = {}, more: Partial<WaypointInfra> = {}): WaypointInfra => ({
    namespace: 'shop', name: 'edge', gatewayUid: uid, labels: {}, annotations: {},
    parameters: { ...defaultParameters, ...parameters }, ...more,
  })
  const made = (): string[] => madeKinds.flatMap(({ kind }) => server.list(kind, 'shop').map(({ metadata }) => `${kind} ${metadata.name}`))
  const all = madeKinds.filter(({ kind }) => kind !== 'HorizontalPodAutoscaler').map(({ kind }) => `${kind} edge`)
  const settled = async (infra: readonly WaypointInfra[] = [wants()]): Promise<void> => {
    writer.setActive(true)
    writer.update(infra, noResources)
    await writer.idle()
  }
  /** A change that the watch tells, after everything that was to be told before. */
  const quiet = async (): Promise<void> => {
    const version = server.version()
    for (let round = 0; round < 5; round++) {
      await writer.idle()
      await sleep(10)
    }
    if (server.version() !== version) await quiet()
  }

  beforeEach(async () => {
    server = await startApiServer()
    clock = fakeClock(Date.now())
    lines = []
    uid = server.put(gateway()).metadata.uid ?? ''
    writer = start()
  })
  afterEach(async () => {
    writer.close()
    await server.close()
  })

  it('makes all that a waypoint needs, owned by its Gateway, and it goes with it', async () => {
    await settled()
    assert.deepEqual(made(), all)
    for (const { kind } of madeKinds.slice(0, 4)) {
      const { metadata } = server.get(edge(kind)) as KubeObject
      assert.deepEqual(metadata.ownerReferences?.map((owner) => [owner.kind, owner.uid, owner.controller]), [['Gateway', uid, true]])
    }
    assert.equal(writer.problems().size, 0)
    writer.update([], noResources)
    await writer.idle()
    await until('everything is deleted', () => made().length === 0)
  })

  it('writes nothing when nothing differs, also after a restart', async () => {
    await settled()
    await quiet()
    server.resetCounts()
    writer.update([wants()], noResources)
    server.put({ ...deploymentOf(server), status: { readyReplicas: 1 } })
    await quiet()
    writer.close()
    writer = start()
    await settled()
    await quiet()
    assert.deepEqual(server.writes(), [])
  })

  it('writes nothing while it is not active, and looks at everything when it becomes so', async () => {
    writer.update([wants()], noResources)
    await quiet()
    assert.deepEqual(server.writes(), [])
    writer.setActive(true)
    await writer.idle()
    assert.deepEqual(made(), all)
    writer.setActive(false)
    server.delete(edge('Deployment'))
    await quiet()
    assert.equal(server.get(edge('Deployment')), undefined)
  })

  it('repairs what somebody changed or deleted, and leaves what others added', async () => {
    await settled()
    const live = deploymentOf(server)
    server.put({
      ...live,
      metadata: { ...live.metadata, annotations: { ...live.metadata.annotations, 'example.org/mine': 'yes' } },
      spec: { ...live.spec, replicas: 7, paused: true },
    })
    server.delete(edge('Service'))
    await until('it is repaired', () => deploymentOf(server).spec.replicas === 2 && server.get(edge('Service')) !== undefined)
    await quiet()
    assert.equal(deploymentOf(server).metadata.annotations?.['example.org/mine'], 'yes')
    assert.equal((deploymentOf(server).spec as { paused?: boolean }).paused, true)
  })

  it('applies changes of parameters and takes back what is no longer asked for', async () => {
    await settled([wants({ priorityClassName: 'important', image: 'registry.example.org/waymark:canary' }, { labels: { team: 'shop' } })])
    assert.equal(deploymentOf(server).spec.template.spec.containers[0]?.image, 'registry.example.org/waymark:canary')
    assert.equal(server.get(edge('ServiceAccount'))?.metadata.labels?.['team'], 'shop')
    writer.update([wants()], noResources)
    await writer.idle()
    assert.equal(deploymentOf(server).spec.template.spec.containers[0]?.image, plainInstallation.image)
    assert.ok(!('priorityClassName' in deploymentOf(server).spec.template.spec))
    assert.ok(!('team' in (server.get(edge('ServiceAccount'))?.metadata.labels ?? {})))
  })

  it('leaves what runs as it is while the parameters can not be used', async () => {
    await settled([wants({ replicas: 5 })])
    await quiet()
    server.resetCounts()
    writer.update([wants(undefined, { parameters: undefined })], noResources)
    await quiet()
    assert.deepEqual(server.writes(), [])
    assert.equal(deploymentOf(server).spec.replicas, 5)
  })

  it('hands the number of replicas to the autoscaler without a step through one, and takes it back', async () => {
    await settled([wants({ replicas: 4 })])
    const autoscaling = { minReplicas: 3, maxReplicas: 9, cpuPercent: 70 }
    writer.update([wants({ autoscaling })], noResources)
    await writer.idle()
    assert.ok(made().includes('HorizontalPodAutoscaler edge'))
    assert.equal(deploymentOf(server).spec.replicas, 4)
    const scaler = server.client()
    await scaler.patch({ apiVersion: 'apps/v1', ...edge('Deployment') }, { spec: { replicas: 8 } }, { subresource: 'scale', query: { fieldManager: 'kube-controller-manager' } })
    await quiet()
    assert.equal(deploymentOf(server).spec.replicas, 8)
    writer.update([wants({ replicas: 4 })], noResources)
    await writer.idle()
    assert.equal(deploymentOf(server).spec.replicas, 4)
    await until('the autoscaler is gone', () => !made().includes('HorizontalPodAutoscaler edge'))
  })

  it('never touches what has the name and is not ours, says so, and goes on when it is gone', async () => {
    server.put({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { namespace: 'shop', name: 'edge', labels: { app: 'mine' } }, spec: { replicas: 1 } })
    const before = server.get(edge('Deployment'))
    let told = 0
    writer.onProblemsChange(() => told++)
    await settled()
    assert.match(writer.problems().get('shop/edge') ?? '', /^Deployment shop\/edge was not made for this Gateway .* delete or rename it/)
    assert.equal(told, 1)
    assert.deepEqual(server.writes(), [])
    assert.deepEqual(server.get(edge('Deployment')), before)
    writer.update([], noResources)
    await quiet()
    assert.deepEqual(server.get(edge('Deployment')), before)
    server.delete(edge('Deployment'))
    writer.update([wants()], noResources)
    await writer.idle()
    assert.deepEqual([writer.problems().size, made()], [0, all])
  })

  it('looks again by itself whether what was in the way is gone', async () => {
    server.put({ apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'shop', name: 'edge' }, spec: { ports: [{ port: 80 }] } })
    await settled()
    server.delete(edge('Service'))
    clock.advance(30_000)
    await writer.idle()
    assert.deepEqual([writer.problems().size, made()], [0, all])
  })

  it('leaves objects of another controller alone even if they bear our labels', async () => {
    const labels = { 'app.kubernetes.io/managed-by': 'waymark', 'gateway.networking.k8s.io/gateway-name': 'edge' }
    const ownerReferences = [{ apiVersion: 'example.org/v1', kind: 'Operator', name: 'other', uid: 'x', controller: true }]
    server.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'shop', name: 'edge', labels, ownerReferences } })
    await settled()
    assert.match(writer.problems().get('shop/edge') ?? '', /belongs to Operator other/)
    writer.update([], noResources)
    await quiet()
    assert.deepEqual(made(), ['ServiceAccount edge'])
    assert.deepEqual(server.writes(), [])
  })

  it('does not take over what another implementation made for the Gateway of that name, nor what a Gateway of another API owns', async () => {
    const owned = (apiVersion: string): KubeObject => ({
      apiVersion: 'v1', kind: 'Service',
      metadata: {
        namespace: 'shop', name: 'edge', labels: { 'app.kubernetes.io/managed-by': 'other', 'gateway.networking.k8s.io/gateway-name': 'edge' },
        ownerReferences: [{ apiVersion, kind: 'Gateway', name: 'edge', uid, controller: true }],
      },
      spec: { selector: { app: 'theirs' } },
    })
    for (const [apiVersion, said] of [['gateway.networking.k8s.io/v1', /not made for this Gateway by this mesh/], ['networking.istio.io/v1', /belongs to Gateway\.networking\.istio\.io\/v1 edge/]] as const) {
      server.put(owned(apiVersion))
      await settled([wants({}, { annotations: { at: apiVersion } })])
      assert.match(writer.problems().get('shop/edge') ?? '', said)
    }
    assert.deepEqual(server.writes(), [])
  })

  it('deletes what is left of Gateways that went while no controller ran', async () => {
    await settled([wants(), wants({}, { name: 'other' })])
    writer.close()
    writer = start()
    await settled()
    await until('what was made for the other Gateway is gone', () => made().length === all.length)
    assert.deepEqual(made(), all)
  })

  it('makes the Gateway that a label asks for, once, and nothing else before it is there', async () => {
    const implicit = wants({}, { name: 'waypoint', gatewayUid: undefined })
    await settled([implicit])
    const object = server.get({ kind: 'Gateway', namespace: 'shop', name: 'waypoint' })
    assert.deepEqual(object?.['spec'], { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] })
    assert.deepEqual(made(), [])
    writer.update([{ ...implicit, gatewayUid: object.metadata.uid }], noResources)
    await writer.idle()
    assert.deepEqual(made(), all.map((each) => each.replace('edge', 'waypoint')))
  })

  it('tries again what failed, later each time, and tells what to do about a refusal', async () => {
    const allow = server.forbid(({ verb, resource }) => verb === 'patch' && resource === 'deployments' && 'pods "edge" is forbidden: exceeded quota: small')
    await settled()
    assert.match(writer.problems().get('shop/edge') ?? '', /Deployment shop\/edge was refused: .*exceeded quota.*; raise the quota/)
    server.resetCounts()
    clock.advance(5_000)
    await writer.idle()
    assert.equal(server.writes().length, 0)
    clock.advance(1_000)
    await writer.idle()
    assert.equal(server.writes().length, 1)
    allow()
    clock.advance(400_000)
    await writer.idle()
    assert.deepEqual([writer.problems().size, made()], [0, all])
  })

  it('takes it that the server stores something in other words, and does not send it again', async () => {
    const real = server.client()
    writer.close()
    const asked: string[] = []
    // Stands for a server that writes quantities in its own way, and for webhooks.
    const client = {
      ...real,
      apply: async (object: KubeObject, manager: string) => {
        asked.push(object.kind)
        const answer = await real.apply(object, manager)
        if (object.kind !== 'Deployment') return answer
        return server.put(JSON.parse(JSON.stringify(answer).replace('"100m"', '"0.1"')) as KubeObject)
      },
    }
    writer = createInfraWriter({ client, clock, random: () => 0.5, installation: plainInstallation, log: (line) => void lines.push(line) })
    await settled()
    await quiet()
    server.put({ ...deploymentOf(server), status: { readyReplicas: 1 } })
    await quiet()
    assert.deepEqual(asked, madeKinds.slice(0, 4).map(({ kind }) => kind))
  })

  it('tells why a Deployment gets no pods, from its own conditions', async () => {
    await settled()
    const message = 'pods "edge-1" is forbidden: violates PodSecurity "restricted:latest"'
    server.put({ ...deploymentOf(server), status: { conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }] } })
    await until('the problem is told', () => writer.problems().size === 1)
    assert.match(writer.problems().get('shop/edge') ?? '', /violates PodSecurity.*; waypoints fit the restricted standard/)
    server.put({ ...deploymentOf(server), status: { conditions: [] } })
    await until('the problem is gone', () => writer.problems().size === 0)
  })

  it('makes nothing in a namespace that is being deleted', async () => {
    const ending = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', deletionTimestamp: '2026-01-01T00:00:00Z' } } as Resource
    writer.setActive(true)
    writer.update([wants()], resourceSetOf([ending]))
    await quiet()
    assert.deepEqual(server.writes(), [])
  })

  it('says of a Gateway whose name no Service can have what a good name is', async () => {
    await settled([wants({}, { name: 'edge.v2' })])
    assert.match(writer.problems().get('shop/edge.v2') ?? '', /can not be the name of a Service/)
    assert.deepEqual(server.writes(), [])
  })

  it('brings the others up while the server does not answer for one', async () => {
    server.fault({ on: ({ namespace }) => namespace === 'shop', instead: 'hang' })
    const others = Array.from({ length: 20 }, (_, index) => wants({}, { namespace: `n${index}` }))
    writer.setActive(true)
    writer.update([wants(), ...others], noResources)
    await until('the others are there', () => server.list('Deployment').length === 20)
  })
})
