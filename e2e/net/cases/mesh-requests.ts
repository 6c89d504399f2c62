import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { KubeObject } from '../../../src/kube/object.ts'
import type { Span } from '../../app/collector.ts'
import { gateway, slices } from '../lib/objects.ts'
import { until } from '../lib/mesh.ts'
import { startCollector } from '../lib/pods.ts'
import { pods, waypointPlace, type PodPlace } from '../lib/topology.ts'
import { applicationPorts, type HttpReply } from '../testing/protocol.ts'
import { meshCases, type MeshWorld } from './mesh-case.ts'

const { http } = applicationPorts
const toWeb = { host: '10.96.0.20', port: 80 }
const web = (...behind: readonly PodPlace[]): readonly KubeObject[] => [
  { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'back', name: 'web' }, spec: { type: 'ClusterIP', clusterIP: toWeb.host, clusterIPs: [toWeb.host], ipFamilies: ['IPv4'], ports: [{ name: 'http', port: 80, targetPort: http, protocol: 'TCP' }] } },
  ...slices('back', 'web', http, ...behind).map((slice) => ({ ...slice, ports: [{ name: 'http', port: http, protocol: 'TCP' }] })),
]
const answers = (reply: HttpReply | undefined, by: string): boolean => reply !== undefined && 'pod' in reply && reply.pod === by

/** Puts a second pod behind the Service, and takes it away again. @returns milliseconds until it was used */
async function grownAndShrunk({ rig, mesh }: MeshWorld): Promise<number> {
  const beganMs = performance.now()
  await mesh.control('put', web(pods.c, pods.a))
  await until(() => 'the new endpoint is not used', async () => answers(await rig.pods.k.ask('request', toWeb), 'a'))
  const tookMs = performance.now() - beganMs
  await mesh.control('put', web(pods.c))
  // Never one that fails, and soon none any more that comes to the one that went.
  let row = 0
  await until(() => 'the old endpoint is still used', async () => {
    const reply = await rig.pods.k.ask('request', toWeb)
    assert.ok(answers(reply, 'a') || answers(reply, 'c'), JSON.stringify(reply))
    row = answers(reply, 'c') ? row + 1 : 0
    return row === 20
  })
  return tookMs
}

/** What becomes of requests with the whole mesh, and how soon they go where configuration says. */
export const cases = meshCases([
  {
    name: 'a new endpoint gets requests of a captured pod within a second, from endpoint to endpoint and through a waypoint, and none fails when it goes',
    run: async (world) => {
      const { rig, mesh } = world
      await mesh.control('put', web(pods.c))
      await until(() => 'the Service is not known', async () => answers(await rig.pods.k.ask('request', toWeb), 'c'))
      const directMs = await grownAndShrunk(world)
      await mesh.control('put', [gateway('back')])
      const waypoint = await mesh.waypoint('back')
      const passed = (reply: HttpReply): boolean => 'headers' in reply && 'x-forwarded-client-cert' in reply.headers
      await until(() => 'nothing goes through the waypoint', async () => passed(await rig.pods.k.ask('request', toWeb)))
      const routedMs = await grownAndShrunk(world)
      await mesh.control('delete', { kind: 'Gateway', namespace: 'back', name: 'waypoint' })
      await until(() => 'all goes through the waypoint', async () => !passed(await rig.pods.k.ask('request', toWeb)))
      await waypoint.stop()
      assert.ok(directMs < 1_000 && routedMs < 1_000, `${directMs} ms and ${routedMs} ms`)
    },
  },
  {
    name: 'a trace goes on: agents leave its context as it is, and a waypoint\'s spans stand between the caller\'s and the application\'s',
    run: async ({ rig, mesh }) => {
      const collector = await startCollector(waypointPlace.name)
      const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')]
      const traceparent = `00-${traceId}-${spanId}-01`
      const seen = async (): Promise<string | undefined> => {
        const reply = await rig.pods.k.ask('request', { ...toWeb, headers: { traceparent, tracestate: 'rig=1' } })
        assert.ok('headers' in reply, JSON.stringify(reply))
        assert.equal(reply.headers['tracestate'], 'rig=1')
        return reply.headers['traceparent']
      }
      assert.equal(await seen(), traceparent)
      await mesh.control('put', [gateway('back')])
      const waypoint = await mesh.waypoint('back', ['OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318'])
      let last = traceparent
      await until(() => 'nothing goes through the waypoint', async () => (last = (await seen()) ?? '') !== traceparent)
      await mesh.control('delete', { kind: 'Gateway', namespace: 'back', name: 'waypoint' })
      await until(() => 'all goes through the waypoint', async () => (await seen()) === traceparent)
      // It sends what it has before it ends.
      await waypoint.stop()
      const spans = await collector.spans(traceId)
      const wayOf = (id: string): readonly (Span | undefined)[] => {
        const client = spans.find((span) => span.spanId === id)
        return [client, spans.find((span) => span.spanId === client?.parentSpanId)]
      }
      const [client, server] = wayOf(last.split('-')[2] ?? '')
      assert.deepEqual([last.split('-')[1], client?.kind, server?.kind, server?.parentSpanId], [traceId, 3, 2, spanId], JSON.stringify(spans))
      await collector.stop()
      await mesh.control('delete', { kind: 'Service', namespace: 'back', name: 'web' })
    },
  },
])
