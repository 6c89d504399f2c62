import assert from 'node:assert/strict'
import { defineCases } from '../lib/case.ts'
import { backend, parent, route, service, waypointSelector } from '../lib/manifests.ts'
import { controllerPods } from '../lib/install.ts'
import type { KubeObject } from '../lib/objects.ts'
import { parseMetrics, sumOf } from '../lib/scrape.ts'

interface PodSpec {
  readonly containers: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[]
}

/** Where a PodMonitor of the chart, and the scrape annotations, lead to. */
function metricsPorts(pod: KubeObject): readonly number[] {
  const { containers } = pod['spec'] as PodSpec
  return containers.flatMap(({ ports = [] }) => ports.filter(({ name }) => name === 'metrics').map(({ containerPort }) => containerPort))
}

/** What can be measured from outside. */
export const cases = defineCases([
  {
    name: 'metrics: every port named metrics answers in Prometheus text, and tells that endpoints are reached in plain',
    features: ['metrics', 'PodMonitor'],
    place: { measured: { client: true, apps: { echo: { version: 'v1' } } } },
    manifests: [service('measured', 'echo', { app: 'echo' }), route('HTTPRoute', 'measured', 'echo', [parent('echo', { port: 80 })], [{ backendRefs: [backend('echo')] }])],
    run: async ({ kube, namespace, client, url, installation, until }) => {
      const from = await client('measured')
      const pods = [...(await kube.list('Pod', installation.namespace, controllerPods)), ...(await kube.list('Pod', namespace('measured'), waypointSelector))]
      const texts = new Map<KubeObject, string>()
      for (const pod of pods) {
        const { podIP } = pod['status'] as { readonly podIP: string }
        const [port, ...more] = metricsPorts(pod)
        assert.ok(port !== undefined && more.length === 0, pod.metadata.name)
        // As a Prometheus in the cluster asks: pod to pod.
        const { status, headers, body = '' } = await from.request(`http://${podIP}:${port}/metrics`, { via: 'direct' })
        assert.equal(status, 200, pod.metadata.name)
        assert.match(headers?.['content-type']?.[0] ?? '', /^text\/plain; version=0\.0\.4/)
        const odd = body.split('\n').filter((line) => !/^(?:# (?:HELP|TYPE) [a-zA-Z_:][\w:]* .*|[a-zA-Z_:][\w:]*(?:\{.*\})? (?:[-+]?[\d.]+(?:e[-+]?\d+)?|[-+]?Inf|NaN)|)$/i.test(line))
        assert.deepEqual(odd, [], pod.metadata.name)
        assert.equal(sumOf(parseMetrics(body), 'waymark_build_info'), 1, pod.metadata.name)
        texts.set(pod, body)
      }
      const leading = [...texts].filter(([{ metadata }]) => metadata.namespace === installation.namespace).map(([, text]) => sumOf(parseMetrics(text), 'waymark_leading'))
      assert.equal(leading.reduce((sum, each) => sum + each, 0), 1)

      const requests = 20
      const replies = await from.requests({ url: url('measured', 'echo'), count: requests, brief: true })
      assert.ok(replies.every(({ status }) => status === 200))
      const waypoint = pods.at(-1)?.status as { readonly podIP: string }
      const samples = await until('the waypoint to have counted', async () => {
        const { body = '' } = await from.request(`http://${waypoint.podIP}:15020/metrics`, { via: 'direct' })
        const found = parseMetrics(body)
        return sumOf(found, 'waymark_requests_total', { service: 'echo', code: '200' }) >= requests ? found : undefined
      }, 20_000)
      const [plain, encrypted] = ['plain', 'hbone'].map((transport) => sumOf(samples, 'waymark_upstream_connections_total', { transport }))
      assert.ok((plain ?? 0) > 0)
      // No node agent ends HBONE in front of the application's pods.
      assert.equal(encrypted, 0)
      return `${texts.size} pods; ${plain ?? 0} connections to endpoints, all in plain`
    },
  },
])
