import assert from 'node:assert/strict'
import { defineCases, everyEntry, inARow as many, type Context, type Role } from '../lib/case.ts'
import { backend, echo, parent, route, service } from '../lib/manifests.ts'
import { conditionsOf, routeParents, type Condition, type KindName, type KubeObject } from '../lib/objects.ts'
import { tally } from '../lib/statistics.ts'

const setHeader = (name: string, value: string): object => ({ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name, value }] } })

/** Conditions of our one entry in a route's status, by type. */
async function conditions({ kube, namespace, installation }: Context, kind: KindName, role: Role, name: string): Promise<Readonly<Record<string, Condition>>> {
  const [parentStatus] = routeParents(await kube.get(kind, namespace(role), name), installation.controllerName)
  return Object.fromEntries((parentStatus?.conditions ?? []).map((each) => [each.type, each]))
}

async function condition(context: Context, kind: KindName, role: Role, name: string, type: string): Promise<Condition> {
  return context.until(`${kind} ${name} to have ${type}`, async () => (await conditions(context, kind, role, name))[type], 30_000)
}

/** Which routes apply to whom, and what statuses say of it. */
export const cases = defineCases([
  {
    name: 'consumer route: for its namespace only, and in place of the producer\'s',
    features: ['HTTPRoute', 'MeshConsumerRoute', 'SupportMesh'],
    entries: everyEntry,
    manifests: [
      service('store', 'consumed', echo.both),
      service('store', 'consumed-v1', echo.v1),
      service('store', 'consumed-v2', echo.v2),
      route('HTTPRoute', 'store', 'consumed', [parent('consumed', { port: 80 })], [{ filters: [setHeader('x-route', 'producer')], backendRefs: [backend('consumed-v1')] }]),
      route('HTTPRoute', 'shop', 'consumed-by-shop', [parent('consumed', { namespace: 'store', port: 80 })], [
        { matches: [{ path: { value: '/shop' } }], filters: [setHeader('x-route', 'consumer')], backendRefs: [backend('consumed-v2', { namespace: 'store' })] },
      ]),
    ],
    run: async ({ client, url }) => {
      const ask = async (role: Role, path: string) => {
        const replies = await (await client(role)).requests({ url: url('store', 'consumed', path), count: many, concurrency: 5 })
        return tally(replies.map(({ status, version, headers }) => `${status} ${version ?? '-'} ${headers?.['x-route']?.[0] ?? '-'}`))
      }
      const { held } = await (await client('shop')).until({ url: url('store', 'consumed', '/shop'), header: { name: 'x-route', value: 'consumer' }, withinMs: 20_000 })
      assert.ok(held, 'the consumer route is not in force')
      assert.deepEqual(await ask('shop', '/shop'), { '200 v2 consumer': many })
      // Nothing of the producer's is left: what the consumer's rules do not match is matched by nobody.
      assert.deepEqual(await ask('shop', '/'), { '404 - -': many })
      assert.deepEqual(await ask('store', '/shop'), { '200 v1 producer': many })
      assert.deepEqual(await ask('garden', '/shop'), { '200 v1 producer': many })
    },
  },
  {
    name: 'parentRef port and sectionName: a route holds for that port and no other',
    features: ['HTTPRoute', 'HTTPRouteParentRefPort', 'sectionName'],
    entries: everyEntry,
    manifests: [
      service('store', 'ported', echo.both, {
        ports: [{ name: 'http', port: 80, targetPort: 'http' }, { name: 'http-alt', port: 8080, targetPort: 'http' }, { name: 'http-free', port: 8081, targetPort: 'http' }],
      }),
      route('HTTPRoute', 'store', 'ported-by-number', [parent('ported', { port: 80 })], [{ filters: [setHeader('x-route', 'number')], backendRefs: [backend('ported')] }]),
      route('HTTPRoute', 'store', 'ported-by-name', [parent('ported', { sectionName: 'http-alt' })], [{ filters: [setHeader('x-route', 'name')], backendRefs: [backend('ported')] }]),
      route('HTTPRoute', 'store', 'ported-by-neither', [parent('ported', { sectionName: 'http-alt', port: 80 })], [{ backendRefs: [backend('ported')] }]),
    ],
    notInForce: ['ported-by-neither'],
    run: async (context) => {
      const from = await context.client('shop')
      const routed = async (port: number) => (await from.request(context.url('store', 'ported', '/', port))).headers?.['x-route']?.[0]
      await context.inARow(async () => assert.deepEqual([await routed(80), await routed(8080), await routed(8081)], ['number', 'name', undefined]))
      const accepted = await condition(context, 'HTTPRoute', 'store', 'ported-by-neither', 'Accepted')
      assert.deepEqual([accepted.status, accepted.reason], ['False', 'NoMatchingParent'])
    },
  },
  {
    name: 'kinds of routes do not mix on one port: the weaker one is told who won',
    features: ['HTTPRoute', 'GRPCRoute', 'Conflicted'],
    entries: everyEntry,
    manifests: [
      service('store', 'mixed', echo.both),
      service('store', 'mixed-v2', echo.v2),
      route('GRPCRoute', 'store', 'mixed-grpc', [parent('mixed', { port: 9090 })], [{ backendRefs: [backend('mixed-v2', { port: 9090 })] }]),
      route('HTTPRoute', 'store', 'mixed-http', [parent('mixed', { port: 9090 })], [{ backendRefs: [backend('mixed', { port: 9090 })] }]),
    ],
    notInForce: ['mixed-http'],
    run: async (context) => {
      const loser = await condition(context, 'HTTPRoute', 'store', 'mixed-http', 'Accepted')
      assert.deepEqual([loser.status, loser.reason], ['False', 'Conflicted'])
      assert.match(loser.message, /mixed-grpc/)
      assert.equal((await condition(context, 'GRPCRoute', 'store', 'mixed-grpc', 'Accepted')).status, 'True')
      const from = await context.client('shop')
      await from.request(context.url('store', 'mixed'))
      await context.inARow(async () => {
        const [said] = await from.grpc({ target: context.target('store', 'mixed', 9090), method: 'Say' })
        assert.deepEqual([said?.code, said?.version], [0, 'v2'])
      })
    },
  },
  {
    name: 'status: what is in force, what is not and why',
    features: ['HTTPRoute', 'Gateway', 'GatewayClass', 'status'],
    manifests: [
      service('store', 'told', echo.both),
      service('garden', 'told', echo.both),
      route('HTTPRoute', 'store', 'told', [parent('told', { port: 80 })], [{ backendRefs: [backend('told')] }]),
      route('HTTPRoute', 'store', 'told-nowhere', [parent('told-missing')], [{ backendRefs: [backend('told')] }]),
      route('HTTPRoute', 'garden', 'told-without-waypoint', [parent('told', { port: 80 })], [{ backendRefs: [backend('told')] }]),
    ],
    notInForce: ['told-nowhere', 'told-without-waypoint', 'told'],
    run: async (context) => {
      const { kube, namespace } = context
      const words = async (name: string, role: Role, type: string) => {
        const { status, reason, observedGeneration } = await condition(context, 'HTTPRoute', role, name, type)
        assert.equal(observedGeneration, (await kube.get('HTTPRoute', namespace(role), name)).metadata.generation)
        return `${status} ${reason}`
      }
      await context.until('the route to be programmed', async () => (await condition(context, 'HTTPRoute', 'store', 'told', 'waymark.dev/Programmed')).status === 'True', 30_000)
      assert.equal(await words('told', 'store', 'Accepted'), 'True Accepted')
      assert.equal(await words('told', 'store', 'ResolvedRefs'), 'True ResolvedRefs')
      assert.match(await words('told-nowhere', 'store', 'Accepted'), /^False (?:NoMatchingParent|Pending)$/)
      assert.equal(await words('told-without-waypoint', 'garden', 'Accepted'), 'True Accepted')
      assert.equal(await words('told-without-waypoint', 'garden', 'waymark.dev/Programmed'), 'False NoWaypoint')

      const gateway = await kube.get('Gateway', namespace('store'), 'waypoint')
      const byType = Object.fromEntries(conditionsOf(gateway).map(({ type, status }) => [type, status]))
      assert.deepEqual([byType['Accepted'], byType['Programmed']], ['True', 'True'])
      const { addresses, listeners } = gateway['status'] as { readonly addresses?: readonly { readonly value: string }[]; readonly listeners?: readonly { readonly attachedRoutes: number }[] }
      const own = (await kube.get('Service', namespace('store'), 'waypoint'))['spec'] as { readonly clusterIP: string }
      assert.deepEqual(addresses?.map(({ value }) => value), [own.clusterIP])
      assert.equal(listeners?.length, 1)

      const found = await kube.get('GatewayClass', undefined, 'waypoint')
      assert.ok(conditionsOf(found).some(({ type, status }) => type === 'Accepted' && status === 'True'))
      const { supportedFeatures = [] } = found['status'] as { readonly supportedFeatures?: readonly { readonly name: string }[] }
      for (const feature of ['Mesh', 'MeshConsumerRoute', 'HTTPRoute']) assert.ok(supportedFeatures.some(({ name }) => name === feature), feature)
    },
  },
  {
    name: 'status: entries of other controllers stay beside ours, and ours go with the parentRef',
    features: ['HTTPRoute', 'status'],
    manifests: [
      service('store', 'shared-status', echo.both),
      route('HTTPRoute', 'store', 'shared-status', [parent('shared-status', { port: 80 })], [{ backendRefs: [backend('shared-status')] }]),
    ],
    run: async (context) => {
      const { kube, namespace, installation } = context
      const get = (): Promise<KubeObject> => kube.get('HTTPRoute', namespace('store'), 'shared-status')
      const before = await get()
      const generation = before.metadata.generation ?? 1
      const other = {
        parentRef: { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' }, controllerName: 'example.org/other',
        conditions: [{ type: 'Accepted', status: 'True', reason: 'Accepted', message: '', observedGeneration: generation, lastTransitionTime: '2026-01-01T00:00:00Z' }],
      }
      const { parents } = before['status'] as { readonly parents: readonly object[] }
      await kube.patch('HTTPRoute', namespace('store'), 'shared-status', { metadata: { resourceVersion: before.metadata.resourceVersion }, status: { parents: [...parents, other] } }, 'status')
      // A change of ours that must leave the other entry as it is.
      await kube.patch('HTTPRoute', namespace('store'), 'shared-status', { spec: { parentRefs: [parent('shared-status', { port: 8 })] } })
      await context.until('our entry to follow', async () => {
        const [ours] = routeParents(await get(), installation.controllerName)
        return ours?.conditions?.find(({ type }) => type === 'Accepted')?.reason === 'NoMatchingParent'
      }, 20_000)
      assert.deepEqual(routeParents(await get(), 'example.org/other'), [other])
      await kube.patch('HTTPRoute', namespace('store'), 'shared-status', { spec: { parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' }] } })
      await context.until('our entry to go', async () => routeParents(await get(), installation.controllerName).length === 0, 20_000)
      assert.deepEqual(routeParents(await get(), 'example.org/other'), [other])
    },
  },
])
