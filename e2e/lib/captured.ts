import type { Context, Place, Role } from './case.ts'
import { agentPods } from './agents.ts'
import { capturedAnnotation } from '../../src/model/install.ts'
import type { KubeObject } from './objects.ts'
import { scrape, sumOf } from './scrape.ts'

/**
 * Where ordinary pods are captured, on both nodes, by cases that need nothing of their own. As in the standing place, `store` has the application, but a version
 * on each node, `shop` has a waypoint of its own, `garden` none, and each has a client; `shop` sends from each node besides. `outside` is not in the mesh:
 * `witness` sees what arrives there, `stranger` sends.
 */
export const capturedPlace: Place = {
  store: { client: 'worker', apps: { 'echo-v1': { version: 'v1', node: 'control-plane' }, 'echo-v2': { version: 'v2', node: 'worker' } } },
  shop: { client: 'control-plane', drivers: { a: 'control-plane', b: 'worker' } },
  garden: { waypoint: false, client: 'worker', drivers: { c: 'worker' } },
  outside: { mesh: false, waypoint: false, drivers: { stranger: 'worker' }, apps: { witness: { version: 'witness', app: 'witness', node: 'worker' } } },
}

/** Pods of the mesh that send, one on each node. */
export const senders = ['a', 'b'] as const

/** A filter that says at each answer which route gave it. */
export function marked(name: string): object {
  return { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'x-route', value: name }] } }
}

/** Whether a pod says that it is captured. */
export function isCaptured({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[capturedAnnotation] === 'true'
}

/** Pods of a role that are not about to end. */
export async function podsOf({ kube, namespace }: Pick<Context, 'kube' | 'namespace'>, role: Role, selector?: string): Promise<readonly KubeObject[]> {
  return (await kube.list('Pod', namespace(role), selector)).filter(({ metadata }) => metadata.deletionTimestamp === undefined)
}

/** Waits until every ordinary pod of these roles says that it is captured. */
export async function allCaptured(context: Pick<Context, 'kube' | 'namespace' | 'until'>, roles: readonly Role[], wanted = true): Promise<void> {
  for (const role of roles) {
    await context.until(`pods of ${role} to be ${wanted ? 'captured' : 'let go'}`, async () => {
      const pods = (await podsOf(context, role)).filter((pod) => !isOfTheMesh(pod))
      return pods.length > 0 && pods.every((pod) => isCaptured(pod) === wanted)
    }, 60_000)
  }
}

/** Whether a pod belongs to the mesh itself, as waypoints do. */
export function isOfTheMesh({ metadata }: KubeObject): boolean {
  return metadata.labels?.['gateway.networking.k8s.io/gateway-name'] !== undefined
}

export interface Location {
  readonly name: string
  readonly ip: string
  readonly node: string
  readonly nodeIp: string
}

/** Where a pod is. @throws if it has no address */
export function locationOf(pod: KubeObject): Location {
  const { nodeName: node } = pod['spec'] as { readonly nodeName: string }
  const { podIP: ip, hostIP: nodeIp } = pod['status'] as { readonly podIP?: string; readonly hostIP?: string }
  if (ip === undefined || nodeIp === undefined) throw new Error(`${pod.metadata.name} has no address`)
  return { name: pod.metadata.name, ip, node, nodeIp }
}

/** The one pod that a selector finds. @throws if there is another number of them */
export async function onePod(context: Context, role: Role, selector: string): Promise<Location> {
  const [pod, ...more] = await podsOf(context, role, selector)
  if (pod === undefined || more.length > 0) throw new Error(`${selector} finds ${more.length + (pod === undefined ? 0 : 1)} pods`)
  return locationOf(pod)
}

/** The cluster IP of a Service. */
export async function clusterIp({ kube, namespace }: Context, role: Role, service: string): Promise<string> {
  return ((await kube.get('Service', namespace(role), service))['spec'] as { readonly clusterIP: string }).clusterIP
}

/**
 * Connections to pods of a role that agents have counted, and that are over.
 * @param options `workload` of the pods, as Deployments are named; `from`: only those of a role's pods
 */
export async function arrived(context: Context, role: Role, { workload, from }: { readonly workload?: string; readonly from?: Role } = {}): Promise<{ readonly mtls: number; readonly plain: number }> {
  const { kube, namespace, installation } = context
  const agents = await kube.list('Pod', installation.namespace, agentPods)
  const samples = (await Promise.all(agents.map(({ metadata }) => scrape(kube, installation.namespace, metadata.name)))).flat()
  const to = { destination_namespace: namespace(role), ...(workload === undefined ? {} : { destination_workload: workload }), ...(from === undefined ? {} : { source_namespace: namespace(from) }) }
  return {
    mtls: sumOf(samples, 'waymark_agent_connections_total', { ...to, direction: 'inbound', transport: 'mtls' }),
    plain: sumOf(samples, 'waymark_agent_connections_total', { ...to, direction: 'plaintext' }),
  }
}
