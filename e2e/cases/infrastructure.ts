import assert from 'node:assert/strict'
import { gatewayNameLabel } from '../../src/model/install.ts'
import { defineCases, type Context, type Place } from '../lib/case.ts'
import { backend, parent, route, service, waypointObjects, waypointSelector } from '../lib/manifests.ts'
import { conditionsOf, type KindName, type KubeObject } from '../lib/objects.ts'
import { inForce } from '../lib/place.ts'

/** Everything that is made for a Gateway, but the autoscaler. */
const made = ['ServiceAccount', 'Service', 'PodDisruptionBudget', 'Deployment'] as const satisfies readonly KindName[]

const meshed: Place = { meshed: { client: true, waypoint: { replicas: '1' }, apps: { echo: { version: 'v1' } } } }
const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/enforce-version': 'latest' }

interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly automountServiceAccountToken?: boolean
    readonly containers: readonly { readonly args: readonly string[]; readonly resources: { readonly requests: object; readonly limits: object } }[]
    readonly volumes: readonly { readonly name: string; readonly projected?: { readonly sources: readonly { readonly serviceAccountToken?: { readonly audience?: string } }[] } }[]
  }
}

async function deployed({ kube, namespace }: Context, role: string): Promise<{ readonly replicas: number; readonly template: PodTemplate }> {
  return (await kube.get('Deployment', namespace(role), 'waypoint'))['spec'] as { readonly replicas: number; readonly template: PodTemplate }
}

/** Waits until a waypoint's Deployment has the pods that it wants, all of its present template, and the Gateway is `Programmed`. */
async function programmed({ kube, namespace, signal }: Context, role: string): Promise<void> {
  for (const kind of ['Deployment', 'Gateway'] as const) await inForce(kube, await kube.get(kind, namespace(role), 'waypoint'), signal)
}

/** What runs for a waypoint's Gateway. */
export const cases = defineCases([
  {
    name: 'drift: what somebody deletes or edits of a waypoint comes back as it was, and other people\'s fields stay',
    features: ['Gateway', 'drift'],
    place: meshed,
    manifests: [],
    limitSeconds: 120,
    run: async (context) => {
      const { kube, namespace, until } = context
      const where = namespace('meshed')
      const get = (kind: KindName): Promise<KubeObject> => kube.get(kind, where, 'waypoint')
      const comesBack = async (kind: KindName): Promise<void> => {
        const before = await get(kind)
        await kube.remove(kind, where, 'waypoint')
        await until(`${kind} to come back`, async () => {
          const now = await kube.find(kind, where, 'waypoint')
          return now !== undefined && now.metadata.uid !== before.metadata.uid
        }, 30_000)
      }
      for (const kind of ['PodDisruptionBudget', 'Service', 'ServiceAccount'] as const) await comesBack(kind)
      await kube.scale(where, 'waypoint', 3)
      await until('the number of pods to be put back', async () => ((await get('Deployment'))['spec'] as { readonly replicas: number }).replicas === 1, 20_000)
      await kube.patch('Service', where, 'waypoint', { metadata: { labels: { team: 'books' } }, spec: { selector: { app: 'somebody-else' } } })
      await until('the selector to be put back', async () => {
        const { selector } = (await get('Service'))['spec'] as { readonly selector: Readonly<Record<string, string>> }
        return selector[gatewayNameLabel] === 'waypoint'
      }, 20_000)
      await kube.patch('Deployment', where, 'waypoint', { spec: { template: { spec: { automountServiceAccountToken: true } } } })
      await until('the pods\' token to be taken away again', async () => (await deployed(context, 'meshed')).template.spec.automountServiceAccountToken === false, 20_000)
      await comesBack('Deployment')
      await programmed(context, 'meshed')
      // Deleted, it would come back without it; nobody deleted that one since.
      assert.equal((await get('Service')).metadata.labels?.['team'], 'books')
    },
  },
  {
    name: 'spec.infrastructure and its parameters take effect, an autoscaler by one field, and a bad value changes nothing',
    features: ['Gateway', 'GatewayInfrastructure', 'parametersRef', 'HorizontalPodAutoscaler'],
    place: meshed,
    manifests: [],
    limitSeconds: 150,
    run: async (context) => {
      const { kube, namespace, until, placed } = context
      const where = namespace('meshed')
      const parameters = async (data: Readonly<Record<string, string>>): Promise<void> => {
        for (const object of placed(waypointObjects('meshed', { cpuRequest: '10m', memoryRequest: '64Mi', ...data })).filter(({ kind }) => kind === 'ConfigMap')) await kube.apply(object)
      }
      await kube.patch('Gateway', where, 'waypoint', { spec: { infrastructure: { labels: { team: 'books' }, annotations: { 'example.org/cost-center': '42' } } } })
      await parameters({ replicas: '1', memoryLimit: '300Mi', drainSeconds: '7', accessLog: 'none' })
      await until('labels and parameters to be on the pods', async () => {
        const { template: { metadata, spec: { containers: [container] } } } = await deployed(context, 'meshed')
        return metadata.labels['team'] === 'books' && metadata.annotations?.['example.org/cost-center'] === '42'
          && JSON.stringify(container?.resources.limits).includes('300Mi') && container?.args.join(' ').includes('--access-log none --drain 7') === true
      }, 20_000)
      for (const kind of made) {
        const { metadata } = await kube.get(kind, where, 'waypoint')
        assert.deepEqual([metadata.labels?.['team'], metadata.annotations?.['example.org/cost-center']], ['books', '42'], kind)
      }
      await programmed(context, 'meshed')

      // A bad value leaves what runs alone.
      await parameters({ replicas: 'many' })
      const refused = await until('the bad value to be told', async () =>
        conditionsOf(await kube.get('Gateway', where, 'waypoint')).find(({ type, reason }) => type === 'Accepted' && reason === 'InvalidParameters'), 20_000)
      assert.equal(refused.status, 'False')
      assert.match(refused.message, /replicas is "many"/)
      assert.match((await deployed(context, 'meshed')).template.spec.containers[0]?.args.join(' ') ?? '', /--drain 7/)

      await parameters({ replicas: '1', maxReplicas: '4', targetCPU: '55' })
      const scaler = await until('an autoscaler', () => kube.find('HorizontalPodAutoscaler', where, 'waypoint'), 20_000)
      const { minReplicas, maxReplicas, scaleTargetRef } = scaler['spec'] as { readonly minReplicas: number; readonly maxReplicas: number; readonly scaleTargetRef: { readonly kind: string; readonly name: string } }
      assert.deepEqual([minReplicas, maxReplicas, scaleTargetRef.kind, scaleTargetRef.name], [1, 4, 'Deployment', 'waypoint'])
      await parameters({ replicas: '1' })
      await until('the autoscaler to go', async () => (await kube.find('HorizontalPodAutoscaler', where, 'waypoint')) === undefined, 20_000)
      await programmed(context, 'meshed')
    },
  },
  {
    name: 'a deleted Gateway leaves nothing behind, and traffic goes on without it',
    features: ['Gateway', 'deletion'],
    place: meshed,
    manifests: [
      service('meshed', 'echo', { app: 'echo' }),
      route('HTTPRoute', 'meshed', 'echo', [parent('echo', { port: 80 })], [
        { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-route', value: 'yes' }] } }], backendRefs: [backend('echo')] },
      ]),
    ],
    limitSeconds: 120,
    run: async (context) => {
      const { kube, namespace, client, url, until, apply, placed } = context
      const where = namespace('meshed')
      const from = await client('meshed')
      const routed = async (): Promise<string> => {
        const { status, headers } = await from.request(url('meshed', 'echo'))
        return `${status} ${headers?.['x-route']?.[0] ?? 'no'}`
      }
      assert.equal(await routed(), '200 yes')
      await kube.remove('Gateway', where, 'waypoint')
      await until('everything of the waypoint to be gone', async () => {
        const left = await Promise.all(made.map((kind) => kube.find(kind, where, 'waypoint')))
        const pods = await kube.list('Pod', where, waypointSelector)
        const slices = await kube.list('EndpointSlice', where, 'kubernetes.io/service-name=waypoint')
        return left.every((each) => each === undefined) && pods.length === 0 && slices.length === 0
      }, 90_000)
      await until('the route to have no waypoint', async () => JSON.stringify((await kube.get('HTTPRoute', where, 'echo'))['status']).includes('NoWaypoint'), 20_000)
      assert.equal(await routed(), '200 no')
      await apply(placed(waypointObjects('meshed', { replicas: '1', cpuRequest: '10m', memoryRequest: '64Mi' })))
      await until('the route to be applied again', async () => (await routed()) === '200 yes', 30_000)
    },
  },
  {
    name: 'the label waymark.dev/waypoint=auto makes the Gateway, in a namespace that enforces the restricted Pod Security Standard',
    features: ['Gateway', 'waymark.dev/waypoint', 'Pod Security'],
    place: { strict: { client: true, waypoint: false, labels: { ...restricted, 'waymark.dev/waypoint': 'auto' }, apps: { echo: { version: 'v1' } } } },
    manifests: [
      service('strict', 'echo', { app: 'echo' }),
      // The waypoint takes a moment to be made; the route is looked at below.
      route('HTTPRoute', 'strict', 'echo', [parent('echo', { port: 80 })], [
        { filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-route', value: 'yes' }] } }], backendRefs: [backend('echo')] },
      ]),
    ],
    notInForce: ['echo'],
    limitSeconds: 120,
    run: async (context) => {
      const { kube, namespace, client, url, until } = context
      const where = namespace('strict')
      const gateway = await until('the Gateway', () => kube.find('Gateway', where, 'waypoint'), 20_000)
      assert.equal((gateway['spec'] as { readonly gatewayClassName: string }).gatewayClassName, 'waypoint')
      await programmed(context, 'strict')
      const from = await client('strict')
      await until('the route to be applied', async () => (await from.request(url('strict', 'echo'))).headers?.['x-route']?.[0] === 'yes', 30_000)

      // Two pods by default, and none can reach the API server by a token.
      const { replicas, template: { spec } } = await deployed(context, 'strict')
      assert.equal(replicas, 2)
      const tokens = spec.volumes.flatMap(({ projected }) => projected?.sources ?? []).flatMap(({ serviceAccountToken }) => (serviceAccountToken === undefined ? [] : [serviceAccountToken.audience]))
      assert.deepEqual(tokens, ['waymark.dev/ca'])
      for (const pod of await kube.list('Pod', where, waypointSelector)) {
        assert.ok(!JSON.stringify(pod['spec']).includes('kube-api-access'), pod.metadata.name)
      }
      // And the namespace does enforce it.
      const loose = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'loose', namespace: where }, spec: { containers: [{ name: 'a', image: 'a', securityContext: { privileged: true } }] } }
      await assert.rejects(kube.create(loose), /violates PodSecurity "restricted/)
    },
  },
  {
    name: 'one waypoint a namespace: of two Gateways the older one serves, and the other is told so',
    features: ['Gateway', 'Conflicted'],
    place: meshed,
    manifests: [],
    run: async (context) => {
      const { kube, namespace, until } = context
      const where = namespace('meshed')
      const second = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name: 'second', namespace: where }, spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] } }
      await kube.apply(second)
      const accepted = await until('the second one to be judged', async () => conditionsOf(await kube.get('Gateway', where, 'second')).find(({ type, reason }) => type === 'Accepted' && reason !== 'Pending'), 20_000)
      assert.deepEqual([accepted.status, accepted.reason], ['False', 'Conflicted'])
      assert.match(accepted.message, /waypoint/)
      assert.equal(await kube.find('Deployment', where, 'second'), undefined)
      await kube.remove('Gateway', where, 'second')
      await programmed(context, 'meshed')
    },
  },
])
