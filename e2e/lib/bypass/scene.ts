import { install } from '../../../src/model/install.ts'
import { agentPods } from '../agents.ts'
import { clusterIp, locationOf, onePod } from '../captured.ts'
import type { Context, Role } from '../case.ts'
import { driverPod, echo, service, waypointSelector, type Images } from '../manifests.ts'
import type { KubeObject } from '../objects.ts'
import { authorization, mtls, onService } from '../policies.ts'
import { forged, genuine, tokenOf, type Certificate } from '../strangers.ts'

/**
 * What attempts need to know. `guarded` and `rewritten` of store are guarded by requests: GET /public by `shop/default`; `shut` by a Deny of /admin.
 * garden is strict: `plot` lets in `shop/default`, `patch` the address of `a`.
 */
export interface Scene {
  readonly context: Context
  /** Addresses of pods, by what they run. */
  readonly ip: Readonly<Record<'a' | 'c' | 'v1' | 'v2' | 'plot' | 'patch', string>>
  readonly nodeIp: Readonly<Record<'control-plane' | 'worker', string>>
  /** Cluster IPs of Services of store. */
  readonly vip: Readonly<Record<'guarded' | 'shut', string>>
  readonly nodePort: number
  readonly certificate: Readonly<Record<'default' | 'thief' | 'c' | 'shopWaypoint' | 'workerAgent' | 'controlPlaneAgent' | 'otherDomain' | 'otherRoot', Certificate>>
  readonly token: Readonly<Record<'c' | 'thief' | 'workerAgent' | 'controlPlaneAgent', string>>
  /** SPIFFE id. */
  readonly id: (role: Role, serviceAccount: string) => string
}

const trustDomain = 'cluster.local'

/** What is there before policies are. */
export const bypassManifests: readonly KubeObject[] = [
  service('store', 'guarded', echo.both, { type: 'NodePort' }),
  service('store', 'shut', echo.both),
  service('store', 'rewritten', echo.both),
  service('garden', 'plot', { app: 'plot' }),
  service('garden', 'patch', { app: 'patch' }),
  {
    apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { namespace: 'shop', name: 'rewritten' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'rewritten', namespace: 'store', port: 80 }],
      rules: [{
        filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/private' } } }],
        backendRefs: [{ name: 'rewritten', namespace: 'store', port: 80 }],
      }],
    },
  },
]

/** A Service of shop whose EndpointSlice, made by hand, names somebody else's pod. */
export function lure(name: string, address: string, port: number): readonly KubeObject[] {
  return [
    service('shop', name, undefined, { ports: [{ name: 'http', port: 80, targetPort: port }] }),
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { namespace: 'shop', name: `${name}-made-by-hand`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4', ports: [{ name: 'http', port, protocol: 'TCP' }], endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
  ]
}

/** Pods on the nodes' own network. */
export function hostPods(images: Images): readonly KubeObject[] {
  return ([['host', 'worker'], ['far-host', 'control-plane']] as const).map(([name, node]) => {
    const pod = driverPod('outside', name, node, images)
    return { ...pod, spec: { ...(pod['spec'] as object), hostNetwork: true } }
  })
}

/** The policies that must not be got past. */
export function walls({ namespace }: Pick<Context, 'namespace'>, a: string): readonly KubeObject[] {
  const shop = namespace('shop')
  const onlyPublic = { rules: [{ from: [{ serviceAccounts: [`${shop}/default`] }], to: [{ methods: ['GET'], paths: [{ value: '/public' }] }] }] }
  return [
    authorization('store', 'only-public', { targetRefs: [onService('guarded'), onService('rewritten')], ...onlyPublic }),
    authorization('store', 'no-admin', { targetRefs: [onService('shut')], action: 'Deny', rules: [{ to: [{ paths: [{ value: '/admin' }] }] }] }),
    authorization('garden', 'only-default', { targetRefs: [onService('plot')], rules: [{ from: [{ serviceAccounts: [`${shop}/default`] }] }] }),
    authorization('garden', 'only-a', { targetRefs: [onService('patch')], rules: [{ from: [{ cidrs: [`${a}/32`] }] }] }),
    mtls('garden', 'strict', 'Strict'),
  ]
}

/** Finds and makes what attempts need. */
export async function sceneOf(context: Context): Promise<Scene> {
  const { kube, namespace, installation } = context
  const selectors = { a: ['shop', 'app=a'], c: ['garden', 'app=c'], v1: ['store', 'version=v1'], v2: ['store', 'version=v2'], plot: ['garden', 'app=plot'], patch: ['garden', 'app=patch'] } as const
  const found = Object.fromEntries(await Promise.all(Object.entries(selectors).map(async ([key, [role, selector]]) => [key, await onePod(context, role, selector)] as const)))
  const ip = Object.fromEntries(Object.entries(found).map(([key, each]) => [key, each.ip])) as Scene['ip']
  const pod = (role: Role, name: string): Promise<KubeObject> => kube.get('Pod', namespace(role), name)
  const identity = (role: Role, serviceAccount: string) => ({ trustDomain, namespace: namespace(role), serviceAccount })
  const [a, thief, c] = await Promise.all([pod('shop', 'a'), pod('shop', 'thief'), pod('garden', 'c')])
  const [waypoint = a] = await kube.list('Pod', namespace('shop'), waypointSelector)
  const agents = (await kube.list('Pod', installation.namespace, agentPods)).filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  const agentOn = (node: string | undefined) => agents.find((each) => locationOf(each).node === node) ?? a
  const agent = { trustDomain, namespace: installation.namespace, serviceAccount: install.agent }
  const [workers, controlPlanes] = [agentOn(found['v2']?.node), agentOn(found['v1']?.node)]
  const shown = (role: Role, account: string, of: KubeObject): Promise<Certificate> => genuine(context, identity(role, account), of, 'outside', 'stranger')
  const elsewhere = { ...identity('shop', 'default'), trustDomain: 'other.example' }
  const [byDefault, byThief, byC, shopWaypoint, workerAgent, controlPlaneAgent, otherDomain, otherRoot] = await Promise.all([
    shown('shop', 'default', a), shown('shop', 'thief', thief), shown('garden', 'default', c), shown('shop', 'waypoint', waypoint),
    genuine(context, agent, workers, 'outside', 'stranger'), genuine(context, agent, controlPlanes, 'outside', 'stranger'),
    forged(elsewhere), forged(identity('shop', 'default')),
  ])
  const [cToken, thiefToken, workerToken, controlPlaneToken] = await Promise.all([
    tokenOf(context, identity('garden', 'default'), { pod: c }), tokenOf(context, identity('shop', 'thief'), { pod: thief }),
    tokenOf(context, agent, { pod: workers }), tokenOf(context, agent, { pod: controlPlanes }),
  ])
  const { spec } = (await kube.get('Service', namespace('store'), 'guarded')) as unknown as { readonly spec: { readonly ports: readonly { readonly name: string; readonly nodePort: number }[] } }
  return {
    context, ip,
    nodeIp: { 'control-plane': found['v1']?.nodeIp ?? '', 'worker': found['v2']?.nodeIp ?? '' },
    vip: { guarded: await clusterIp(context, 'store', 'guarded'), shut: await clusterIp(context, 'store', 'shut') },
    nodePort: spec.ports.find(({ name }) => name === 'http')?.nodePort ?? 0,
    certificate: { default: byDefault, thief: byThief, c: byC, shopWaypoint, workerAgent, controlPlaneAgent, otherDomain, otherRoot },
    token: { c: cToken, thief: thiefToken, workerAgent: workerToken, controlPlaneAgent: controlPlaneToken },
    id: (role, serviceAccount) => `spiffe://${trustDomain}/ns/${namespace(role)}/sa/${serviceAccount}`,
  }
}
