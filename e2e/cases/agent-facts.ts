import assert from 'node:assert/strict'
import { arrived, locationOf, marked, onePod, podsOf, senders } from '../lib/captured.ts'
import { defineCases, inARow as many, type Case, type Context } from '../lib/case.ts'
import type { Client } from '../lib/client.ts'
import { backend, driverPod, echo, parent, route, service } from '../lib/manifests.ts'
import type { KubeObject } from '../lib/objects.ts'
import { tally } from '../lib/statistics.ts'

/** A Service that stays at L4 though its namespace has a waypoint: agents choose its endpoints themselves. */
function straight(name: string, selector: Readonly<Record<string, string>> | undefined, more: object = {}): KubeObject {
  const made = service('store', name, selector, more)
  return { ...made, metadata: { ...made.metadata, labels: { 'waymark.dev/waypoint': 'none' } } }
}

const captured = { group: 'captured' } as const satisfies Partial<Case>

/** Who answered, or what became of it, by how often. */
async function whoAnswers(from: Client, url: string): Promise<Readonly<Record<string, number>>> {
  const replies = await from.requests({ url, count: many, concurrency: 5, fresh: true })
  return tally(replies.map(({ version, status, error = '' }) => version ?? (status === 0 ? (error.split(':')[0] ?? '') : String(status))))
}

/** The senders on both nodes, each once it sees what is wanted of a Service: kube-proxy and agents take a moment to hear of it. */
async function settled({ driver, until }: Context, url: string, wanted: (answers: Readonly<Record<string, number>>, sender: (typeof senders)[number]) => boolean): Promise<readonly Client[]> {
  return Promise.all(senders.map(async (sender) => {
    const from = await driver('shop', sender)
    let last: unknown
    await until(`${url} to be as it should from ${sender}`, async () => wanted((last = await whoAnswers(from, url)), sender), 30_000).catch((error: unknown) => {
      throw new Error(`${String(error)}; last: ${JSON.stringify(last)}`)
    })
    return from
  }))
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
/** The version on each sender's own node. */
const near = { a: 'v1', b: 'v2' } as const

/** What Kubernetes says of Services, seen from captured pods. */
export const cases = defineCases([
  {
    ...captured,
    name: 'captured: session affinity, internal traffic policy and topology hints are kept as kube-proxy keeps them',
    features: ['node agent', 'sessionAffinity', 'internalTrafficPolicy', 'topology hints'],
    manifests: [
      straight('loose', echo.both),
      straight('sticky', echo.both, { sessionAffinity: 'ClientIP' }),
      straight('local', echo.both, { internalTrafficPolicy: 'Local' }),
      straight('local-elsewhere', echo.v1, { internalTrafficPolicy: 'Local' }),
      straight('same-node', echo.both, { trafficDistribution: 'PreferSameNode' }),
      straight('zoned', undefined, { ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
    ],
    run: async (context) => {
      const { url, apply, log } = context
      const pods = await podsOf(context, 'store', 'app=echo')
      const slice = (zones: Readonly<Record<string, string>>): KubeObject => ({
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'zoned', namespace: 'store', labels: { 'kubernetes.io/service-name': 'zoned' } },
        addressType: 'IPv4', ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: pods.map((pod) => {
          const { name, ip, node } = locationOf(pod)
          const zone = zones[pod.metadata.labels?.['version'] ?? ''] ?? ''
          return {
            addresses: [ip], nodeName: node, zone, conditions: { ready: true }, hints: { forZones: [{ name: zone }] },
            targetRef: { kind: 'Pod', name, namespace: 'store', uid: pod.metadata.uid },
          }
        }),
      })
      await apply([slice({ v1: 'zone-1', v2: 'zone-2' })])
      const both = (answers: Readonly<Record<string, number>>): boolean => Object.keys(answers).sort().join() === 'v1,v2'
      await settled(context, url('store', 'loose'), both)
      await settled(context, url('store', 'same-node'), (answers, sender) => same(answers, { [near[sender]]: many }))
      await settled(context, url('store', 'local'), (answers, sender) => same(answers, { [near[sender]]: many }))
      await settled(context, url('store', 'sticky'), (answers) => Object.values(answers).join() === String(many))
      await settled(context, url('store', 'local-elsewhere'), (answers, sender) => same(answers, sender === 'a' ? { v1: many } : { ECONNRESET: many }))
      // By now the agents know of all: what is seen once more is theirs, and goes by mutual TLS.
      // Of the senders alone: a waypoint may end a connection of before meanwhile, which is counted then.
      const before = await arrived(context, 'store', { from: 'shop' })
      const told: string[] = []
      for (const [at, from] of (await settled(context, url('store', 'loose'), both)).entries()) {
        const own = near[senders[at] ?? 'a']
        assert.deepEqual(await whoAnswers(from, url('store', 'same-node')), { [own]: many }, 'PreferSameNode')
        assert.deepEqual(await whoAnswers(from, url('store', 'local')), { [own]: many }, 'internalTrafficPolicy: Local')
        const sticky = await whoAnswers(from, url('store', 'sticky'))
        assert.deepEqual(Object.values(sticky), [many], 'sessionAffinity: ClientIP')
        told.push(`${from.pod} stays with ${Object.keys(sticky).join()}`)
      }
      const after = await context.until('connections to be counted', async () => {
        const now = await arrived(context, 'store', { from: 'shop' })
        return now.mtls - before.mtls >= senders.length * 3 * many && now
      }, 20_000)
      assert.equal(after.plain, before.plain)
      log(told.join('; '))
      // Nodes of kind have no zones; the endpoints say in which zone their nodes are.
      const zoned = (await settled(context, url('store', 'zoned'), (answers) => Object.values(answers).reduce((all, count) => all + count, 0) === many))
      for (const [at, from] of zoned.entries()) assert.deepEqual(await whoAnswers(from, url('store', 'zoned')), { [near[senders[at] ?? 'a']]: many }, 'zones')
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: a pod that is not ready is reached where its Service publishes it, and nowhere else',
    features: ['node agent', 'publishNotReadyAddresses'],
    manifests: [
      straight('published', { app: 'unready' }, { publishNotReadyAddresses: true }),
      straight('unpublished', { app: 'unready' }),
    ],
    notInForce: ['published', 'unpublished'],
    run: async (context) => {
      const { kube, url, placed, installation: { images } } = context
      const pod = driverPod('store', 'unready', 'worker', images, ['node', '/app/main.ts', 'serve'])
      const [object] = placed([{ ...pod, metadata: { ...pod.metadata, labels: { app: 'unready', version: 'unready' } } }])
      assert.ok(object !== undefined)
      const { containers, ...spec } = object['spec'] as { readonly containers: readonly object[] }
      const created = await kube.create({
        ...object, spec: { ...spec, containers: containers.map((container) => ({ ...container, ports: [{ name: 'http', containerPort: 8080 }], readinessProbe: { exec: { command: ['false'] }, periodSeconds: 5 } })) },
      })
      try {
        for (const from of await settled(context, url('store', 'published'), (answers) => same(answers, { unready: many }))) {
          assert.deepEqual(await whoAnswers(from, url('store', 'published')), { unready: many })
          const refused = await whoAnswers(from, url('store', 'unpublished'))
          assert.ok(same(refused, { ECONNRESET: many }) || same(refused, { ECONNREFUSED: many }), JSON.stringify(refused))
        }
      } finally {
        await kube.remove('Pod', created.metadata.namespace, created.metadata.name, 0)
      }
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: datagrams pass as they are, and connections may be ended in one direction',
    features: ['node agent', 'UDP', 'half-close'],
    manifests: [
      straight('datagrams', echo.both, { ports: [{ name: 'udp', port: 53, protocol: 'UDP', targetPort: 9053 }, { name: 'http', port: 80, targetPort: 'http' }] }),
      straight('halved', echo.both),
      service('store', 'halved-there', echo.both),
      route('TCPRoute', 'store', 'halved-there', [parent('halved-there', { port: 9000 })], [{ backendRefs: [backend('halved-there', { port: 9000 })] }]),
    ],
    run: async (context) => {
      const { namespace, target, until } = context
      const pod = await onePod(context, 'store', 'version=v1')
      const at = `datagrams.${namespace('store')}`
      for (const sender of senders) {
        const from = await context.driver('shop', sender)
        const { ip } = await onePod(context, 'shop', `app=${sender}`)
        await until('kube-proxy to know the Service', async () => (await from.udp({ host: at, port: 53, timeoutMs: 1_000 }))[0]?.error === undefined, 20_000)
        const replies = await from.udp({ host: at, port: 53, count: many })
        assert.deepEqual(tally(replies.map((reply) => reply.error ?? reply.from?.split(':')[0])), { [ip]: many })
        assert.deepEqual(Object.keys(tally(replies.map(({ version }) => version))).sort(), ['v1', 'v2'])
        const said = 'x'.repeat(100_000)
        for (const to of [`${pod.ip}:9000`, target('store', 'halved', 9000), target('store', 'halved-there', 9000)]) {
          const ends = await from.raw({ target: to, send: said, half: true, count: many, concurrency: 5 })
          assert.deepEqual(tally(ends.map(({ received, end }) => `${end} ${received.length - received.indexOf('\n') - 1}`)), { 'end 100000': many }, to)
        }
      }
    },
  },
  {
    ...captured,
    beside: true,
    name: 'captured: plain curl sees the route of a Service, on every one of its connections',
    features: ['node agent', 'HTTPRoute', 'curl'],
    manifests: [
      service('store', 'curled', echo.both),
      service('store', 'curled-v2', echo.v2),
      route('HTTPRoute', 'store', 'curled', [parent('curled', { port: 80 })], [
        { matches: [{ path: { value: '/old' } }], filters: [{ type: 'RequestRedirect', requestRedirect: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' }, statusCode: 308 } }] },
        { filters: [marked('curled')], backendRefs: [backend('curled-v2')] },
      ]),
    ],
    run: async ({ kube, namespace, url, driver }) => {
      const told: string[] = []
      for (const sender of senders) {
        const from = await driver('shop', sender)
        const { held } = await from.until({ url: url('store', 'curled'), header: { name: 'x-route', value: 'curled' }, withinMs: 20_000, fresh: true })
        assert.ok(held)
        const inPod = (script: string): Promise<string> => kube.kubectl(['exec', '-n', namespace('shop'), sender, '-c', 'driver', '--', 'sh', '-c', script], { timeoutMs: 60_000 })
        if ((await inPod('command -v curl || true')).trim() === '') return 'the image has no curl'
        const said = await inPod(`for time in $(seq ${many}); do curl -sS -m 10 -o /dev/null -w '%{http_code} %header{x-route}\\n' '${url('store', 'curled')}'; done; curl -sS -o /dev/null -w '%{http_code} %header{location}\\n' '${url('store', 'curled', '/old/x?q=1')}'`)
        assert.deepEqual(tally(said.trim().split('\n')), { '200 curled': many, [`308 ${url('store', 'curled', '/new/x?q=1')}`]: 1 })
        told.push(`${many} from ${sender}`)
      }
      return told.join(', ')
    },
  },
])
