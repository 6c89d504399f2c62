import type { Gateway, GatewayClass } from '../api/gateway.ts'
import type { StatusCondition } from '../api/meta.ts'
import { help } from '../control/findings.ts'
import { systemClock, type Clock } from '../kit/clock.ts'
import { printable } from '../kit/printable.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import type { KubeObject } from '../kube/object.ts'
import { collectionPath, pathInfo, type KubeRef } from '../kube/paths.ts'
import { ports } from '../model/install.ts'
import { controllerName } from '../model/status.ts'
import { findServed } from '../sources/kube/served.ts'
import { meshLabel, waypointLabel } from '../translate/labels.ts'
import { waypointClass } from '../translate/waypoints.ts'
import { withCluster, type ClusterAccess } from './cluster.ts'
import { columns, formatAge } from './columns.ts'
import { cliFieldManager } from './installation.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'
import { pause } from './rollout.ts'

export interface WaypointApplyOptions extends KubeChoice {
  readonly name: string
  /** Labels the namespace as one of the mesh too. */
  readonly enrollNamespace: boolean
  /** Shows what would be applied, and changes nothing. */
  readonly dryRun: boolean
  readonly wait: boolean
  /** Seconds that `wait` waits. */
  readonly timeout: number
}

export interface WaypointListOptions extends KubeChoice {
  /** Default: that of the context. */
  readonly namespace?: string | undefined
  readonly allNamespaces: boolean
  readonly output: 'table' | 'json' | 'yaml'
}

export interface WaypointDeleteOptions extends KubeChoice {
  readonly namespace?: string | undefined
  readonly wait: boolean
  readonly timeout: number
}

/** Milliseconds between two looks. */
const pollMs = 500

/** `waymark waypoint apply`: makes or mends the Gateway that gives a namespace its waypoint. */
export async function waypointApply(given: string | undefined, options: WaypointApplyOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'waypoint apply', async (client) => {
    const namespace = given ?? client.namespace
    const apiVersion = await gatewayVersion(client)
    const refusal = apiVersion === undefined ? noGatewayApi : await whyNotApply(client, apiVersion, namespace, options.name)
    if (apiVersion === undefined || refusal !== undefined) return refused('apply', refusal ?? noGatewayApi, io)
    const gateway = {
      apiVersion, kind: 'Gateway', metadata: { namespace, name: options.name },
      spec: { gatewayClassName: waypointClass, listeners: [{ name: 'mesh', port: ports.hbone, protocol: 'HBONE' }] },
    }
    if (options.dryRun) {
      io.out((await import('./yaml.ts')).toYaml(gateway))
      if (options.enrollNamespace) io.say(`Namespace ${namespace} would be labelled ${meshLabel}=enabled`)
      io.say('nothing was changed')
      return exitCodes.fine
    }
    if (options.enrollNamespace) await enroll(client, namespace, io)
    const before = await client.read({ apiVersion, kind: 'Gateway', namespace, name: options.name })
    const applied = await client.apply(gateway, cliFieldManager)
    const isSame = before?.metadata.resourceVersion === applied.metadata.resourceVersion
    io.say(isSame ? `Gateway ${namespace}/${options.name} is there already, as it should be` : `applied Gateway ${namespace}/${options.name}`)
    if (!options.wait) return exitCodes.fine
    return (await untilProgrammed(client, access.clock ?? systemClock, applied, options.timeout, io)) ? exitCodes.fine : exitCodes.failed
  })
}

/** `waymark waypoint list`: the Gateways of class waypoint. */
export async function waypointList(options: WaypointListOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'waypoint list', async (client) => {
    const namespace = options.allNamespaces ? undefined : (options.namespace ?? client.namespace)
    const apiVersion = await gatewayVersion(client)
    if (apiVersion === undefined) {
      io.say(`waymark waypoint list: ${noGatewayApi}`)
      return exitCodes.failed
    }
    const nowMs = (access.clock ?? systemClock).now()
    const waypoints = (await listGateways(client, apiVersion, namespace)).filter(isWaypoint).map((gateway) => describeWaypoint(gateway, nowMs))
    if (options.output !== 'table') io.out(options.output === 'json' ? toJson({ waypoints }) : (await import('./yaml.ts')).toYaml({ waypoints }))
    else if (waypoints.length > 0) {
      io.out(columns(['NAMESPACE', 'NAME', 'ACCEPTED', 'PROGRAMMED', 'ADDRESS', 'AGE'], waypoints.map((each) =>
        [each.namespace, each.name, each.accepted, each.programmed, each.addresses.join(','), formatAge(each.ageSeconds)]), io.paint))
    }
    if (waypoints.length === 0) io.say(`no waypoints${namespace === undefined ? '' : ` in namespace ${namespace}; -A lists those of every namespace`}`)
    return exitCodes.fine
  })
}

/** `waymark waypoint delete`: takes a Gateway of class waypoint away. */
export async function waypointDelete(name: string, options: WaypointDeleteOptions, io: Io, access: ClusterAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'waypoint delete', async (client) => {
    const namespace = options.namespace ?? client.namespace
    const apiVersion = await gatewayVersion(client)
    if (apiVersion === undefined) return refused('delete', noGatewayApi, io)
    const gateway = await client.read({ apiVersion, kind: 'Gateway', namespace, name })
    if (gateway === undefined) {
      io.say(`Gateway ${namespace}/${name} is not there`)
      return exitCodes.fine
    }
    if (!isWaypoint(gateway)) return refused('delete', `Gateway ${namespace}/${name} is no waypoint: its class is ${printable(classOf(gateway))}`, io)
    const place = await readIfAllowed(client, { apiVersion: 'v1', kind: 'Namespace', name: namespace })
    if (place !== 'forbidden' && place?.metadata.labels?.[waypointLabel] === 'auto') {
      return refused('delete', `the namespace asks for its waypoint by a label, and the controller would make it anew; take the label away first: kubectl label namespace ${namespace} ${waypointLabel}-`, io)
    }
    await client.remove({ apiVersion, kind: 'Gateway', namespace, name }, gateway.metadata.uid)
    io.say(`deleted Gateway ${namespace}/${name}; the controller ends its pods`)
    return !options.wait || (await untilGone(client, access.clock ?? systemClock, { namespace, name, timeout: options.timeout }, io)) ? exitCodes.fine : exitCodes.failed
  })
}

async function enroll(client: KubeClient, namespace: string, io: Io): Promise<void> {
  const ref = { apiVersion: 'v1', kind: 'Namespace', name: namespace }
  if ((await client.read(ref))?.metadata.labels?.[meshLabel] === 'enabled') return
  await client.patch(ref, { metadata: { labels: { [meshLabel]: 'enabled' } } })
  io.say(`labelled Namespace ${namespace} ${meshLabel}=enabled`)
}

const noGatewayApi = 'the cluster has no Gateway API; see waymark check --pre'

function refused(verb: string, why: string, io: Io): number {
  io.say(`waymark waypoint ${verb}: ${why}; nothing was changed`)
  return exitCodes.failed
}

/** The version under which Gateways are served; undefined: they are not. */
async function gatewayVersion(client: KubeClient): Promise<string | undefined> {
  try {
    return (await findServed(client, 'Gateway')).apiVersion
  } catch (error) {
    if (isStatus(error, 404)) return undefined
    throw error
  }
}

async function listGateways(client: KubeClient, apiVersion: string, namespace: string | undefined): Promise<readonly KubeObject[]> {
  const info = pathInfo('Gateway')
  if (info === undefined) return []
  const { items } = (await client.get(collectionPath(info, namespace, apiVersion.replace(/^.*\//, '')))) as { readonly items: readonly KubeObject[] }
  return items
}

function classOf(gateway: KubeObject): string {
  return (gateway['spec'] as Partial<Gateway['spec']> | undefined)?.gatewayClassName ?? ''
}

function isWaypoint(gateway: KubeObject): boolean {
  return classOf(gateway) === waypointClass
}

async function whyNotApply(client: KubeClient, apiVersion: string, namespace: string, name: string): Promise<string | undefined> {
  if ((await readIfAllowed(client, { apiVersion: 'v1', kind: 'Namespace', name: namespace })) === undefined) return `there is no namespace ${namespace}: kubectl create namespace ${namespace}`
  const gatewayClass = await readIfAllowed(client, { apiVersion, kind: 'GatewayClass', name: waypointClass })
  if (gatewayClass === undefined) return 'the mesh is not installed: there is no GatewayClass waypoint; see waymark check'
  const owner = gatewayClass === 'forbidden' ? controllerName : (gatewayClass['spec'] as Partial<GatewayClass['spec']> | undefined)?.controllerName
  if (owner !== controllerName) return `the GatewayClass waypoint is that of another controller, ${printable(owner ?? '')}`
  for (const gateway of await listGateways(client, apiVersion, namespace)) {
    if (gateway.metadata.name === name && !isWaypoint(gateway)) return `Gateway ${namespace}/${name} is there with the class ${printable(classOf(gateway))}: use another --name`
    if (gateway.metadata.name !== name && isWaypoint(gateway)) {
      return `namespace ${namespace} has the waypoint ${gateway.metadata.name}, and of several only the oldest is active: use --name ${gateway.metadata.name}`
    }
  }
  return undefined
}

/** Who may make Gateways in one namespace may not always read what is the cluster's. */
async function readIfAllowed(client: KubeClient, ref: KubeRef): Promise<KubeObject | 'forbidden' | undefined> {
  try {
    return await client.read(ref)
  } catch (error) {
    if (isStatus(error, 403)) return 'forbidden'
    throw error
  }
}

/** A waypoint as `list` shows it. */
interface WaypointRecord {
  readonly namespace: string
  readonly name: string
  /** `True`, or the reason why not. */
  readonly accepted: string
  readonly programmed: string
  readonly addresses: readonly string[]
  readonly ageSeconds: number | undefined
}

function describeWaypoint({ metadata, status: given }: KubeObject, nowMs: number): WaypointRecord {
  const status = given as Gateway['status']
  const state = (type: string): string => {
    const found = conditionOf(status?.conditions, type)
    return found === undefined ? 'Unknown' : found.status === 'True' ? 'True' : `${found.status} (${found.reason})`
  }
  const ageSeconds = (nowMs - Date.parse(metadata.creationTimestamp ?? '')) / 1000
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    accepted: state('Accepted'),
    programmed: state('Programmed'),
    addresses: (status?.addresses ?? []).map(({ value }) => value),
    ageSeconds: Number.isNaN(ageSeconds) ? undefined : Math.max(0, Math.round(ageSeconds)),
  }
}

function conditionOf(conditions: readonly StatusCondition[] | undefined, type: string): StatusCondition | undefined {
  return conditions?.find((each) => each.type === type)
}

async function untilProgrammed(client: KubeClient, clock: Clock, applied: KubeObject, timeoutSeconds: number, io: Io): Promise<boolean> {
  const { apiVersion, metadata: { namespace = '', name, generation = 1 } } = applied
  const endMs = clock.now() + timeoutSeconds * 1000
  let said = ''
  for (;;) {
    const status = (await client.read({ apiVersion, kind: 'Gateway', namespace, name }))?.['status'] as Gateway['status']
    const [accepted, programmed] = ['Accepted', 'Programmed'].map((type) => conditionOf(status?.conditions, type))
    const isNow = (programmed?.observedGeneration ?? 0) >= generation
    if (isNow && programmed?.status === 'True') {
      io.say(`waypoint ${namespace}/${name} is programmed`)
      return true
    }
    const known = isNow ? (accepted?.status === 'False' ? accepted : programmed) : undefined
    const line = known === undefined ? 'no controller has looked at it yet' : `${known.type}=${known.status} (${known.reason}): ${printable(known.message)}`
    if (line !== said) io.say(`waiting: ${line}`)
    said = line
    if (clock.now() >= endMs) {
      const advice = known === undefined ? '' : (help[known.reason]?.advice ?? '')
      io.say(`waymark waypoint apply: not programmed after ${timeoutSeconds} s${advice === '' ? '' : `; ${advice}`}; see waymark check, and kubectl -n ${namespace} describe gateway ${name}`)
      return false
    }
    await pause(clock, pollMs)
  }
}

async function untilGone(client: KubeClient, clock: Clock, { namespace, name, timeout }: { readonly namespace: string; readonly name: string; readonly timeout: number }, io: Io): Promise<boolean> {
  const endMs = clock.now() + timeout * 1000
  while ((await client.read({ apiVersion: 'apps/v1', kind: 'Deployment', namespace, name })) !== undefined) {
    if (clock.now() >= endMs) {
      io.say(`waymark waypoint delete: Deployment ${namespace}/${name} is still there after ${timeout} s; does a controller run? See waymark check`)
      return false
    }
    await pause(clock, pollMs)
  }
  return true
}
