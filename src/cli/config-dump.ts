import type { Gateway } from '../api/gateway.ts'
import { systemClock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import type { PodName, PodPorts } from '../kube/port-forward.ts'
import { gatewayNameLabel, install, managedBy, managedByLabel } from '../model/install.ts'
import { slice } from '../publish/slice.ts'
import { findServed } from '../sources/kube/served.ts'
import { waypointClass } from '../translate/waypoints.ts'
import { openPodPorts, withCluster, type ClusterAccess } from './cluster.ts'
import { controllerSelector } from './installation.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'
import { readWholeLive, sayUnread, translateLive } from './live.ts'
import { differenceOf, keysOf, readSnapshot, type Difference } from './mesh/difference.ts'
import { pause } from './rollout.ts'
import { UsageError } from './usage.ts'
import { toYaml } from './yaml.ts'

export interface ConfigDumpOptions extends KubeChoice {
  /** Of the pod or Gateway; undefined: that of the context, for controllers the installation's usual one. */
  readonly namespace?: string | undefined
  readonly diff: boolean
  readonly output: 'yaml' | 'json'
}

export interface ConfigDumpAccess extends ClusterAccess {
  readonly podPorts?: PodPorts
}

/** Whose configuration is asked for. */
type Target =
  | { readonly kind: 'controller'; readonly pod: string | undefined }
  | { readonly kind: 'gateway'; readonly name: string }
  | { readonly kind: 'pod'; readonly pod: string }

/** Whose configuration is shown, and which part of the whole it should be. */
interface Found {
  readonly pod: PodName
  readonly role: 'controller' | 'waypoint' | 'agent'
}

/** Changes travel while both sides are read: what differs is looked at once more after this time, milliseconds. */
const settleMs = 1_500

/** `waymark config-dump`: the configuration that a pod really runs. @throws {UsageError} */
export async function configDump(what: string, options: ConfigDumpOptions, io: Io, access: ConfigDumpAccess = {}): Promise<number> {
  const target = parseTarget(what)
  return withCluster(options, access, io, 'config-dump', async (client) => {
    const podPorts = access.podPorts ?? (await openPodPorts(options))
    const found = await findPod(client, target, options.namespace)
    if (typeof found === 'string') {
      io.say(`waymark config-dump: ${found}`)
      return exitCodes.failed
    }
    const print = options.output === 'json' ? toJson : toYaml
    if (!options.diff) {
      io.out(print(Object.fromEntries(await readSnapshot(podPorts, found.pod))))
      io.say(`configuration of ${found.role} pod ${found.pod.namespace}/${found.pod.name}`)
      return exitCodes.fine
    }
    let difference = await compare(client, podPorts, found, io)
    if (keysOf(difference).length > 0) {
      await pause(access.clock ?? systemClock, settleMs)
      difference = await compare(client, podPorts, found, io)
    }
    if (keysOf(difference).length === 0) {
      io.say(`${found.role} pod ${found.pod.namespace}/${found.pod.name} runs what the cluster's objects mean now`)
      return exitCodes.fine
    }
    io.out(print(difference))
    io.say(`${found.role} pod ${found.pod.namespace}/${found.pod.name} runs something else than what the cluster's objects mean now; see waymark check and waymark status`)
    return exitCodes.failed
  })
}

function parseTarget(what: string): Target {
  const [kind, name, ...rest] = what.split('/')
  if (rest.length > 0 || name === '' || kind === '') throw new UsageError(`${what} is neither a pod nor gateway/NAME, controller or controller/POD`)
  if (kind === 'controller') return { kind, pod: name }
  if (name === undefined) return { kind: 'pod', pod: what }
  if (kind === 'gateway' || kind === 'gtw') return { kind: 'gateway', name }
  if (kind === 'pod') return { kind, pod: name }
  throw new UsageError(`${what} is neither a pod nor gateway/NAME, controller or controller/POD`)
}

/** @returns words that say why there is none */
async function findPod(client: KubeClient, target: Target, given: string | undefined): Promise<Found | string> {
  if (target.kind === 'controller') {
    const namespace = given ?? install.namespace
    const pod = target.pod ?? (await firstReady(client, namespace, controllerSelector))
    return pod === undefined ? `no controller is ready in namespace ${namespace}; see waymark check, or name another with -n` : { pod: { namespace, name: pod }, role: 'controller' }
  }
  const namespace = given ?? client.namespace
  if (target.kind === 'gateway') {
    const { apiVersion } = await findServed(client, 'Gateway')
    const gateway = await client.read({ apiVersion, kind: 'Gateway', namespace, name: target.name })
    if (gateway === undefined) return `there is no Gateway ${namespace}/${target.name}; waymark waypoint list -A shows those that are waypoints`
    const { gatewayClassName } = gateway['spec'] as Gateway['spec']
    if (gatewayClassName !== waypointClass) return `Gateway ${namespace}/${target.name} is no waypoint: its class is ${printable(gatewayClassName)}`
    const pod = await firstReady(client, namespace, `${managedByLabel}=${managedBy},${gatewayNameLabel}=${target.name}`)
    return pod === undefined ? `no pod of waypoint ${namespace}/${target.name} is ready; name one that is not by its own name, and see waymark check` : { pod: { namespace, name: pod }, role: 'waypoint' }
  }
  const pod = await client.read({ apiVersion: 'v1', kind: 'Pod', namespace, name: target.pod })
  const labels = pod?.metadata.labels
  if (pod === undefined) return `there is no pod ${namespace}/${target.pod}; waymark status lists those of the mesh`
  if (labels?.[managedByLabel] === managedBy && labels[gatewayNameLabel] !== undefined) return { pod: { namespace, name: target.pod }, role: 'waypoint' }
  if (labels?.['app.kubernetes.io/name'] === 'waymark' && labels['app.kubernetes.io/component'] === 'controller') return { pod: { namespace, name: target.pod }, role: 'controller' }
  if (labels?.['app.kubernetes.io/name'] === 'waymark' && labels['app.kubernetes.io/component'] === 'agent') return { pod: { namespace, name: target.pod }, role: 'agent' }
  return `pod ${namespace}/${target.pod} is neither a waypoint's, nor a controller's, nor an agent's; waymark status lists those`
}

interface PodListItem {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string }
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}

async function firstReady(client: KubeClient, namespace: string, labelSelector: string): Promise<string | undefined> {
  const { items } = (await client.get(`/api/v1/namespaces/${namespace}/pods`, { labelSelector })) as { readonly items: readonly PodListItem[] }
  const ready = items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true)
  return ready.map(({ metadata }) => metadata.name).sort()[0]
}

async function compare(client: KubeClient, podPorts: PodPorts, { pod, role }: Found, io: Io): Promise<Difference> {
  const [runs, live] = await Promise.all([readSnapshot(podPorts, pod), readWholeLive(client)])
  sayUnread(live, io)
  const { snapshot } = translateLive(live)
  return differenceOf(runs, role === 'controller' ? snapshot : slice(snapshot, { kind: role, namespace: pod.namespace }))
}
