import { systemClock, type Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import { collectionPath, pathInfo, type KubeRef } from '../kube/paths.ts'
import { isMarkedCaptured, install as names } from '../model/install.ts'
import { controllerName } from '../model/status.ts'
import { controllerPods, pause } from './rollout.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { helmRelease, otherInstallation } from './install.ts'
import { gatewayApiDefinitions, installationObjects, leftovers, ownDefinitions } from './installation.ts'
import { exitCodes, type Io } from './io.ts'

export interface UninstallOptions extends KubeChoice {
  readonly namespace: string
  /** Goes on although waypoints, or with `crds` objects of Gateway API, are there. */
  readonly force: boolean
  /** Deletes Gateway API's CRDs too, and with them every object of theirs. */
  readonly crds: boolean
  /** Deletes the mesh's CA and the trust bundles too. */
  readonly ca: boolean
  /** Seconds to wait for the controllers to end. */
  readonly timeout: number
}

/** Milliseconds between two looks at pods that end. */
const pollMs = 500

/** `waymark uninstall`: takes away what `waymark install` made, last things first. */
export async function uninstall(options: UninstallOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'uninstall', (client) => removeAll(client, access.clock ?? systemClock, options, io))
}

async function removeAll(client: KubeClient, clock: Clock, options: UninstallOptions, io: Io): Promise<number> {
  const { namespace } = options
  const refusals = await whyNot(client, options)
  if (refusals.length > 0) {
    for (const line of refusals) io.say(`waymark uninstall: ${line}`)
    io.say('nothing was changed')
    return exitCodes.failed
  }
  for (const object of ours(namespace).toReversed()) if (!(await isAnothers(client, object))) await removeOne(client, refTo(object), io)
  if (!(await controllersEnded(client, clock, options))) {
    io.say(`waymark uninstall: controllers still run in ${namespace} after ${options.timeout} s; run this again when they are gone`)
    return exitCodes.failed
  }
  for (const ref of agentParts(namespace)) await removeOne(client, ref, io)
  await removeOne(client, leftovers.lease(namespace), io)
  if (options.ca) await removeCa(client, namespace, io)
  if (options.crds) {
    const policies = await ownObjects(client)
    if (policies.length > 0) io.say(`${policies.length === 1 ? 'a policy goes' : `${policies.length} policies go`} with the CRDs: ${named(policies)}`)
    for (const { apiVersion, kind, metadata } of [...gatewayApiDefinitions('standard'), ...ownDefinitions()]) await removeOne(client, { apiVersion, kind, name: metadata.name }, io)
  }
  for (const line of whatStays(options)) io.say(line)
  return exitCodes.fine
}

/** What an installation with any settings made, but its namespace, which may hold things of others. */
function ours(namespace: string): readonly KubeObject[] {
  const settings = { namespace, imagePullPolicy: 'IfNotPresent', imagePullSecret: [], replicas: 1, trustDomain: 'any', svidLifetime: 1, accessLog: 'none' } as const
  return installationObjects(settings).filter(({ kind }) => kind !== 'Namespace')
}

/** What only the chart makes, where it left something. */
function agentParts(namespace: string): readonly KubeRef[] {
  return [{ apiVersion: 'apps/v1', kind: 'DaemonSet', namespace, name: names.agent }, { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: names.agent }]
}

/** Whether it is a class of our name that somebody else looks after. */
async function isAnothers(client: KubeClient, { kind, metadata, apiVersion }: KubeObject): Promise<boolean> {
  if (kind !== 'GatewayClass') return false
  try {
    const present = await client.read({ apiVersion, kind, name: metadata.name })
    return present !== undefined && controllerOf(present) !== controllerName
  } catch (error) {
    if (isStatus(error, 404)) return false
    throw error
  }
}

function controllerOf(gatewayClass: KubeObject): string | undefined {
  return (gatewayClass['spec'] as { readonly controllerName?: string } | undefined)?.controllerName
}

/** Why nothing must be deleted yet; a line each. */
async function whyNot(client: KubeClient, { namespace, force, crds }: UninstallOptions): Promise<readonly string[]> {
  const other = await otherInstallation(client, namespace)
  if (other !== undefined) return [`the mesh is installed in the namespace ${other}: use --namespace ${other}`]
  const release = await helmRelease(client, namespace)
  // Helm asks nobody: what would be left behind is told before it is named.
  if (release !== undefined) return [...await capturedPods(client), `the mesh is the Helm release ${release}: take it away with helm uninstall ${release} -n ${namespace}`]
  if (force) return []
  const lines = [...await capturedPods(client, '; or use --force')]
  const waypoints = await waypointGateways(client)
  if (waypoints.length > 0) {
    lines.push(`${waypoints.length === 1 ? 'a waypoint is' : `${waypoints.length} waypoints are`} still there: ${named(waypoints)}`)
    lines.push('  delete them first: waymark waypoint delete NAME -n NAMESPACE; where a namespace asks for its own by a label: kubectl label namespace NAMESPACE waymark.dev/waypoint-')
    lines.push('  or use --force: their pods then stay, take no changes any more, and serve until their certificates end')
  }
  if (crds) {
    const others = await gatewayApiObjects(client)
    const policies = await ownObjects(client)
    if (policies.length > 0) {
      lines.push(`--crds would delete, with the CRDs, ${policies.length === 1 ? 'a policy' : `${policies.length} policies`} of who may do what: ${named(policies)}`)
      lines.push('  keep them first: kubectl get authorizationpolicies.policy.waymark.dev,mtlspolicies.policy.waymark.dev -A -o yaml; use --force if you do not need them any more')
    }
    if (others.length > 0) lines.push(`--crds would delete, with the CRDs, ${others.length} objects of Gateway API, also those of other controllers: ${named(others)}; use --force if that is what you want`)
  }
  return lines
}

/** What becomes of pods that agents have captured; empty: there are none. @param orElse what else may be done */
async function capturedPods(client: KubeClient, orElse = ''): Promise<readonly string[]> {
  const captured = (await listAll(client, 'Pod')).filter(isMarkedCaptured)
  if (captured.length === 0) return []
  return [
    `${captured.length === 1 ? 'a pod is' : `${captured.length} pods are`} marked as captured by agents of nodes: ${named(captured)}`,
    `  unless the agents retired before they went, their connections are refused from then on: take the label waymark.dev/mesh away from their namespaces, or switch agents on and let them retire, see docs/agent.md${orElse}`,
  ]
}

/** Gateways of classes that are ours. */
async function waypointGateways(client: KubeClient): Promise<readonly KubeObject[]> {
  const classes = new Set(['waypoint'])
  for (const each of await listAll(client, 'GatewayClass')) {
    if (controllerOf(each) === controllerName) classes.add(each.metadata.name)
    else classes.delete(each.metadata.name)
  }
  return (await listAll(client, 'Gateway')).filter((gateway) => classes.has((gateway['spec'] as { readonly gatewayClassName: string }).gatewayClassName))
}

const gatewayApiKinds = ['Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant'] as const

async function gatewayApiObjects(client: KubeClient): Promise<readonly KubeObject[]> {
  const found: KubeObject[] = []
  for (const kind of gatewayApiKinds) found.push(...(await listAll(client, kind)).map((object) => ({ ...object, kind })))
  return found
}

const ownKinds = ['AuthorizationPolicy', 'MTLSPolicy'] as const

/** The mesh's own policies, as `Kind namespace/name`. */
async function ownObjects(client: KubeClient): Promise<readonly KubeObject[]> {
  const found = await Promise.all(ownKinds.map(async (kind) => (await listAll(client, kind)).map((object) => ({ ...object, kind }))))
  return found.flat()
}

/** All objects of a kind; none if the cluster does not know it. */
async function listAll(client: KubeClient, kind: string, query: Readonly<Record<string, string>> = {}): Promise<readonly KubeObject[]> {
  const info = pathInfo(kind)
  if (info === undefined) return []
  try {
    const { items } = (await client.get(collectionPath(info), query)) as { readonly items: readonly KubeObject[] }
    return items
  } catch (error) {
    if (isStatus(error, 404)) return []
    throw error
  }
}

/** Names of objects, the first few. */
function named(objects: readonly KubeObject[]): string {
  const most = 8
  const list = objects.slice(0, most).map(({ metadata }) => (metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`))
  return `${list.join(', ')}${objects.length > most ? ` and ${objects.length - most} more` : ''}`
}

/** A controller that still runs would make bundles and Leases anew. */
async function controllersEnded(client: KubeClient, clock: Clock, { namespace, timeout }: UninstallOptions): Promise<boolean> {
  const endMs = clock.now() + timeout * 1000
  while ((await controllerPods(client, namespace)).length > 0) {
    if (clock.now() >= endMs) return false
    await pause(clock, pollMs)
  }
  return true
}

async function removeCa(client: KubeClient, namespace: string, io: Io): Promise<void> {
  // The bundle of the own namespace is last: it remembers that there is a CA, should this end halfway.
  const bundles = await listAll(client, 'ConfigMap', { fieldSelector: `metadata.name=${names.bundleConfigMap}` })
  await removeOne(client, leftovers.caSecret(namespace), io)
  for (const { metadata } of bundles) if (metadata.namespace !== undefined && metadata.namespace !== namespace) await removeOne(client, leftovers.bundle(metadata.namespace), io)
  await removeOne(client, leftovers.bundle(namespace), io)
}

async function removeOne(client: KubeClient, ref: KubeRef, io: Io): Promise<void> {
  try {
    if ((await client.read(ref)) === undefined) return
    await client.remove(ref)
  } catch (error) {
    // The kind itself may be gone.
    if (isStatus(error, 404)) return
    throw error
  }
  io.say(`deleted ${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`)
}

function whatStays({ namespace, ca, crds }: UninstallOptions): readonly string[] {
  return [
    `the namespace ${namespace} stays, for it may hold other things: kubectl delete namespace ${namespace}`,
    ...(ca ? [] : [`the mesh's CA stays (Secret ${namespace}/${names.caSecret}, ConfigMaps ${names.bundleConfigMap}), so that another installation goes on with it; --ca deletes it`]),
    ...(crds ? [] : ['the CRDs of Gateway API stay, others may use them, and so do the mesh\'s own with its policies; --crds deletes them and every object of theirs']),
  ]
}

function refTo({ apiVersion, kind, metadata }: KubeObject): KubeRef {
  return { apiVersion, kind, namespace: metadata.namespace, name: metadata.name }
}
