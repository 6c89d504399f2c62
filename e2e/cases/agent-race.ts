import assert from 'node:assert/strict'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { ports } from '../../src/model/install.ts'
import type { Captured, Flow } from '../app/capture.ts'
import { allCaptured, clusterIp, locationOf, onePod } from '../lib/captured.ts'
import { defineCases, type Context } from '../lib/case.ts'
import { end } from '../lib/command.ts'
import { driverPod, echo, service } from '../lib/manifests.ts'
import type { KubeObject } from '../lib/objects.ts'
import { tally } from '../lib/statistics.ts'
import { wallsPlace } from '../lib/walls.ts'

const racers = 50
const marker = 'to-be-read-by-nobody'
/** Its first act is to connect: to a pod on each node, and to a Service. */
const race = `for to in $TARGETS; do exec 3<>/dev/tcp/\${to%:*}/\${to#*:} && printf "GET /?${marker} HTTP/1.0\\r\\n\\r\\n" >&3 && read -r said <&3 && echo "$said" && cat <&3 >/dev/null; exec 3>&-; done; sleep infinity`

function racer(context: Context, at: number, targets: readonly string[]): KubeObject {
  const pod = driverPod('garden', `racer-${at}`, at % 2 === 0 ? 'worker' : 'control-plane', context.installation.images, ['bash', '-c', race])
  return withContainer({ ...pod, metadata: { ...pod.metadata, labels: { app: 'racer' } } }, { env: [{ name: 'TARGETS', value: targets.join(' ') }] })
}

/** Sees every packet of its node's links. */
function lookout(context: Context, name: string, node: 'worker' | 'control-plane'): KubeObject {
  const pod = driverPod('outside', name, node, context.installation.images)
  const onHost = { ...pod, spec: { ...(pod['spec'] as object), hostNetwork: true, securityContext: { runAsUser: 0 } } }
  return withContainer(onHost, { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'], add: ['NET_RAW', 'NET_ADMIN'] } } })
}

function withContainer(pod: KubeObject, more: object): KubeObject {
  const spec = pod['spec'] as { readonly containers: readonly object[] }
  return { ...pod, spec: { ...spec, containers: spec.containers.map((container) => ({ ...container, ...more })) } }
}

/** Looks until it is told to end, and gives what it saw then. */
async function watching({ kube, namespace }: Context, pod: string): Promise<() => Promise<Captured>> {
  const { spec: { nodeName } } = (await kube.get('Pod', namespace('outside'), pod)) as unknown as { readonly spec: { readonly nodeName: string } }
  const { spec: { podCIDR } } = (await kube.get('Node', undefined, nodeName)) as unknown as { readonly spec: { readonly podCIDR: string } }
  const child = kube.start(['exec', '-i', '-n', namespace('outside'), pod, '-c', 'driver', '--', 'node', '/app/capture.ts', podCIDR, marker])
  assert.ok(child.stdout !== null && child.stdin !== null && child.stderr !== null)
  const { stdout, stdin, stderr } = child
  const complaints = text(stderr)
  const [first] = (await Promise.race([once(stdout, 'data'), once(child, 'close')])) as [unknown]
  assert.equal(String(first), 'looking\n', Buffer.isBuffer(first) ? '' : await complaints)
  const said = text(stdout)
  return async () => {
    stdin.end()
    const line = await said
    end(child)
    return JSON.parse(line) as Captured
  }
}

/** What pods send before they can know that they are in the mesh. */
export const cases = defineCases([
  {
    name: `captured: ${racers} pods of the mesh whose first act is to connect: on no link of any node goes a byte of theirs in plain`,
    features: ['node agent', 'CNI plugin', 'start race'],
    group: 'captured',
    place: wallsPlace,
    manifests: [service('store', 'race', echo.both)],
    limitSeconds: 240,
    run: async (context) => {
      const { kube, namespace, placed, until, driver, apply } = context
      const pods = [await onePod(context, 'store', 'version=v1'), await onePod(context, 'store', 'version=v2')]
      const targets = [...pods.map(({ ip }) => `${ip}:8080`), `${await clusterIp(context, 'store', 'race')}:80`]
      await apply([lookout(context, 'lookout-worker', 'worker'), lookout(context, 'lookout-control-plane', 'control-plane')])
      await allCaptured(context, ['store'])
      const lookouts = await Promise.all(['lookout-worker', 'lookout-control-plane'].map((name) => watching(context, name)))

      // Who is not in the mesh is seen to send in plain: so the lookouts see, and read.
      const strangers = [await onePod(context, 'outside', 'app=stranger'), await onePod(context, 'outside', 'app=far')]
      for (const { name } of strangers) {
        const from = await driver('outside', name)
        for (const target of targets) assert.ok((await from.until({ url: `http://${target}/?${marker}`, status: 200, withinMs: 20_000, fresh: true })).held, target)
      }
      const start = performance.now()
      const objects = placed(Array.from({ length: racers }, (_, at) => racer(context, at, targets)))
      await Promise.all(objects.map((object) => kube.create(object)))
      const lines = await until('all to have said what became of it', async () => {
        const said = (await kube.kubectl(['logs', '-n', namespace('garden'), '-l', 'app=racer', '--tail=10', '--max-log-requests=100'])).trim().split('\n')
        return said.length >= targets.length * racers && said
      }, 200_000)
      const tookMs = performance.now() - start
      // Fifty pods that start at once keep a node so busy that a first connection may find no session in time: it is refused then, never sent in plain.
      const { 'HTTP/1.1 200 OK': served = 0, ...others } = tally(lines)
      for (const outcome of Object.keys(others)) assert.match(outcome, /Connection (?:reset by peer|refused)$/)
      assert.ok(served >= 0.9 * targets.length * racers, JSON.stringify({ served, ...others }))
      const racing = new Map((await kube.list('Pod', namespace('garden'), 'app=racer')).map((pod) => [locationOf(pod).ip, pod.metadata.name]))
      const seen = await Promise.all(lookouts.map((over) => over()))
      await Promise.all([...objects, ...placed([lookout(context, 'lookout-worker', 'worker'), lookout(context, 'lookout-control-plane', 'control-plane')])]
        .map(({ metadata }) => kube.remove('Pod', metadata.namespace, metadata.name, 0)))

      assert.deepEqual(seen.map(({ lost }) => lost), [0, 0])
      const flows = seen.flatMap((each) => each.flows)
      const of = (ip: string): readonly Flow[] => flows.filter(({ from }) => from === ip)
      for (const { ip, name } of strangers) assert.ok(of(ip).some(({ port, plain }) => port === 8080 && plain > 0), `${name} was not seen`)
      const own = flows.filter(({ from }) => racing.has(from))
      for (const [ip, name] of racing) assert.ok(of(ip).some(({ port, bytes }) => port === ports.hbone && bytes > 0), `${name} was not seen`)
      // Neither a byte, nor as much as the attempt to connect, to anything but the port for mutual TLS.
      assert.deepEqual(own.filter(({ port, plain }) => port !== ports.hbone || plain > 0), [])
      const total = own.reduce((sum, { packets, bytes }) => ({ packets: sum.packets + packets, bytes: sum.bytes + bytes }), { packets: 0, bytes: 0 })
      return `${racing.size} pods in ${(tookMs / 1000).toFixed(1)} s: ${total.packets} packets with ${total.bytes} bytes, all by mutual TLS; ${served} of ${lines.length} first requests answered, the others refused`
    },
  },
])
