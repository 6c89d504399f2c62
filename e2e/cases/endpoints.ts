import assert from 'node:assert/strict'
import { defineCases, everyEntry, inARow as many } from '../lib/case.ts'
import { appPorts, backend, echo, parent, route, service } from '../lib/manifests.ts'
import { readyAddresses, readyIn } from '../lib/place.ts'
import { tally } from '../lib/statistics.ts'

/** Where backends' addresses and ports come from. */
export const cases = defineCases([
  {
    name: 'named target ports: each pod\'s own number behind the name',
    features: ['HTTPRoute', 'targetPort'],
    entries: everyEntry,
    // Two pods that give the name `http` to different ports.
    place: {
      ports: {
        client: true,
        apps: { 'echo-v1': { version: 'v1' }, 'echo-v2': { version: 'v2', httpPort: 8181 } },
      },
    },
    manifests: [
      service('ports', 'named', echo.both, { ports: [{ name: 'web', port: 80, targetPort: 'http' }] }),
      route('HTTPRoute', 'ports', 'named', [parent('named', { sectionName: 'web' })], [{ backendRefs: [backend('named')] }]),
    ],
    run: async ({ client, url, until }) => {
      const from = await client('ports')
      const locals = await until('both pods to answer', async () => {
        const replies = await from.requests({ url: url('ports', 'named'), count: 20, concurrency: 2 })
        assert.ok(replies.every(({ status }) => status === 200), JSON.stringify(tally(replies.map(({ status }) => status))))
        const found = tally(replies.map((reply) => `${reply.version ?? ''} ${reply.echo?.local.split(':').at(-1) ?? ''}`))
        return Object.keys(found).length === 2 ? found : undefined
      }, 20_000)
      assert.deepEqual(Object.keys(locals).sort(), ['v1 8080', 'v2 8181'])
    },
  },
  {
    name: 'headless and selector-less Services as backends',
    features: ['HTTPRoute', 'headless', 'EndpointSlice'],
    entries: everyEntry,
    manifests: [
      service('store', 'fronted', echo.both),
      service('store', 'fronted-headless', echo.v1, { clusterIP: 'None' }),
      service('store', 'fronted-by-hand', undefined, { ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
      route('HTTPRoute', 'store', 'fronted', [parent('fronted', { port: 80 })], [
        // A headless Service has no port of its own: the target port is what is reached.
        { matches: [{ path: { value: '/headless' } }], backendRefs: [backend('fronted-headless')] },
        { matches: [{ path: { value: '/by-hand' } }], backendRefs: [backend('fronted-by-hand')] },
      ]),
    ],
    run: async ({ client, url, kube, namespace, apply, until, inARow }) => {
      const from = await client('store')
      await inARow(async () => {
        const headless = await from.request(url('store', 'fronted', '/headless'))
        assert.deepEqual([headless.status, headless.version], [200, 'v1'])
        assert.equal((await from.request(url('store', 'fronted', '/by-hand'))).status, 503)
      })
      // The slice that somebody writes by hand names the pod of v2.
      const [pod] = await kube.list('Pod', namespace('store'), 'app=echo,version=v2')
      const { podIP } = pod?.['status'] as { readonly podIP: string }
      await apply([{
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'by-hand', namespace: 'store', labels: { 'kubernetes.io/service-name': 'fronted-by-hand' } },
        addressType: 'IPv4', ports: [{ name: 'http', port: 8080, protocol: 'TCP' }], endpoints: [{ addresses: [podIP] }],
      }])
      await until('the hand-made slice to be used', async () => (await from.request(url('store', 'fronted', '/by-hand'))).version === 'v2', 10_000)
      await inARow(async () => assert.equal((await from.request(url('store', 'fronted', '/by-hand'))).version, 'v2'))
    },
  },
  {
    name: 'headless and ExternalName Services as parents: not accepted, with a reason',
    features: ['HTTPRoute', 'headless', 'status'],
    manifests: [
      service('store', 'no-parent-headless', echo.v1, { clusterIP: 'None' }),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'no-parent-external', namespace: 'store' }, spec: { type: 'ExternalName', externalName: 'example.org', ports: [{ name: 'http', port: 80 }] } },
      service('store', 'no-parent-backend', echo.v1),
      ...['headless', 'external'].map((kind) => route('HTTPRoute', 'store', `no-parent-${kind}-route`, [parent(`no-parent-${kind}`)], [{ backendRefs: [backend('no-parent-backend')] }])),
    ],
    notInForce: ['no-parent-headless-route', 'no-parent-external-route'],
    run: async ({ kube, namespace, until }) => {
      for (const name of ['no-parent-headless-route', 'no-parent-external-route']) {
        const accepted = await until(`${name} to be judged`, async () => {
          const { parents = [] } = ((await kube.get('HTTPRoute', namespace('store'), name))['status'] ?? {}) as { readonly parents?: readonly { readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[] }[] }
          return parents[0]?.conditions.find(({ type }) => type === 'Accepted')
        }, 20_000)
        assert.equal(accepted.status, 'False', name)
        assert.ok(accepted.message.length > 10, name)
      }
    },
  },
  {
    name: 'dual-stack: every address family of a Service is the same destination',
    features: ['HTTPRoute', 'dual-stack'],
    entries: everyEntry,
    manifests: [
      service('store', 'dual', echo.v1, { ipFamilyPolicy: 'PreferDualStack' }),
      route('HTTPRoute', 'store', 'dual', [parent('dual', { port: 80 })], [
        { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-route', value: 'dual' }] } }], backendRefs: [backend('dual')] },
      ]),
    ],
    run: async ({ client, kube, namespace, inARow }) => {
      const { clusterIPs } = (await kube.get('Service', namespace('store'), 'dual'))['spec'] as { readonly clusterIPs: readonly string[] }
      const from = await client('shop')
      for (const address of clusterIPs) {
        await inARow(async () => {
          const reply = await from.request(`http://${address.includes(':') ? `[${address}]` : address}/`)
          assert.deepEqual([reply.status, reply.headers?.['x-route']], [200, ['dual']], address)
        })
      }
      return `${clusterIPs.length === 1 ? 'this cluster has one family only' : 'two families'}: ${clusterIPs.join(', ')}`
    },
  },
  {
    name: 'a new endpoint of a scaled Deployment gets requests within a second of being ready',
    features: ['HTTPRoute', 'EndpointSlice', 'propagation'],
    group: 'measured',
    place: { grown: { client: true, apps: { grower: { version: 'v1', app: 'grower' } } } },
    manifests: [
      service('grown', 'grower', { app: 'grower' }),
      route('HTTPRoute', 'grown', 'grower', [parent('grower', { port: 80 })], [{ backendRefs: [backend('grower')] }]),
    ],
    limitSeconds: 120,
    run: async ({ client, url, kube, namespace, signal, until }) => {
      const from = await client('grown')
      const [first] = (await from.requests({ url: url('grown', 'grower'), count: 1 })).map(({ pod }) => pod)
      assert.ok(first !== undefined)
      const watching = new AbortController()
      const ready = Promise.withResolvers<number>()
      const watched = kube.watch('EndpointSlice', namespace('grown'), ({ object }) => {
        if (object.metadata.labels?.['kubernetes.io/service-name'] === 'grower' && readyIn(object).length > 1) ready.resolve(performance.now())
      }, AbortSignal.any([signal, watching.signal]))
      watched.catch(ready.reject)
      const used = from.until({ url: url('grown', 'grower'), podOtherThan: [first], withinMs: 60_000 }).then((result) => ({ result, at: performance.now() }))
      await kube.scale(namespace('grown'), 'grower', 2)
      const [readyAt, { result, at }] = await Promise.all([ready.promise, used])
      watching.abort()
      assert.ok(result.held, 'the new pod never answered')
      const ms = Math.round(at - readyAt)
      assert.ok(ms <= 1_000, `it took ${ms} ms`)

      // And the other way: a pod that goes costs no request.
      const load = await from.load({ url: url('grown', 'grower'), rps: 50, forSeconds: 60 })
      await kube.scale(namespace('grown'), 'grower', 1)
      await until('one endpoint to be left', async () => (await readyAddresses(kube, namespace('grown'), 'grower')).length === 1, 30_000)
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      const { failed, sent, failures } = await load.stop()
      assert.equal(failed, 0, JSON.stringify(failures))
      return `used ${ms} ms after it was ready; ${sent} requests over its end, none failed`
    },
  },
  {
    name: 'dedicated Services without a route keep working through a namespace that has a waypoint',
    features: ['SupportMesh', 'no route'],
    entries: everyEntry,
    manifests: [service('store', 'routeless', echo.both, { ports: appPorts })],
    run: async ({ client, url }) => {
      for (const role of ['store', 'shop', 'garden']) {
        const replies = await (await client(role)).requests({ url: url('store', 'routeless'), count: many, concurrency: 5, brief: true })
        assert.deepEqual(tally(replies.map(({ status }) => status)), { 200: many }, role)
      }
    },
  },
])
