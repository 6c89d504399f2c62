import type { CaInfo } from '../control/ca/info.ts'
import { systemClock } from '../kit/clock.ts'
import type { KubeChoice } from '../kube/config.ts'
import type { PodPorts } from '../kube/port-forward.ts'
import { openPodPorts, withCluster, type ClusterAccess } from './cluster.ts'
import { columns, formatAge } from './columns.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'
import { readFacts, type MeshFacts, type WaypointFacts } from './mesh/facts.ts'
import { describePod, readiness, type PodRecord } from './mesh/pod-record.ts'
import type { MeshPod } from './mesh/pods.ts'
import { agentTables, describeAgents, type AgentsRecord } from './status-agents.ts'

export interface StatusOptions extends KubeChoice {
  /** Where the installation is. */
  readonly namespace: string
  readonly output: 'table' | 'json' | 'yaml'
}

export interface StatusAccess extends ClusterAccess {
  readonly podPorts?: PodPorts
}

/** `waymark status`: what runs in a cluster. */
export async function status(options: StatusOptions, io: Io, access: StatusAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'status', async (client) => {
    const facts = await readFacts(client, access.podPorts ?? (await openPodPorts(options)), options.namespace)
    if (facts.deployment === undefined) {
      io.say(`waymark status: the mesh is not installed in namespace ${options.namespace}; see waymark check, or name another with --namespace`)
      return exitCodes.failed
    }
    const described = describeStatus(facts, (access.clock ?? systemClock).now())
    if (options.output === 'table') io.out(table(described, io))
    else io.out(options.output === 'json' ? toJson(described) : (await import('./yaml.ts')).toYaml(described))
    for (const { message, advice } of facts.notes) io.say(`${message}; ${advice}`)
    return exitCodes.fine
  })
}

/** What `status` shows; what is not known is absent. */
interface Described {
  readonly controllers: readonly ControllerRecord[]
  readonly waypoints: readonly WaypointRecord[] | undefined
  /** Absent: there are none. */
  readonly agents?: AgentsRecord
  readonly ca: CaRecord | undefined
}

interface ControllerRecord extends PodRecord {
  readonly leads: boolean | undefined
  /** Processes that get their configuration from it. */
  readonly waypoints: number | undefined
  readonly entries: number | undefined
  readonly agents: number | undefined
}

interface WaypointPodRecord extends PodRecord {
  /** Pod of the controller that serves it. */
  readonly connectedTo: string | undefined
  readonly connected: boolean | undefined
  /** Content hash of the configuration that it runs. */
  readonly config: string | undefined
  readonly configAgeSeconds: number | undefined
  readonly certificateExpirySeconds: number | undefined
}

interface WaypointRecord {
  readonly namespace: string
  readonly gateway: string
  /** `True`, or the status and reason. */
  readonly programmed: string
  readonly addresses: readonly string[]
  readonly readyPods: number
  readonly pods: readonly WaypointPodRecord[]
}

interface CaRecord {
  readonly trustDomain: string
  readonly phase: CaInfo['phase']
  readonly generation: number
  /** RFC 3339: when the first of the trusted roots ends. */
  readonly rootsValidUntil: string | undefined
  readonly roots: number
  readonly problems: readonly string[]
}

function describeStatus(facts: MeshFacts, nowMs: number): Described {
  return {
    controllers: facts.controllers.map((pod) => {
      const subscribers = pod.metrics?.sums('waymark_subscribers', 'kind')
      return {
        ...describePod(pod),
        leads: leads(facts.lease, pod, nowMs),
        waypoints: subscribers === undefined ? undefined : (subscribers['waypoint'] ?? 0),
        entries: subscribers === undefined ? undefined : (subscribers['entry'] ?? 0),
        agents: subscribers === undefined ? undefined : (subscribers['agent'] ?? 0),
      }
    }),
    waypoints: facts.waypoints?.map((each) => describeWaypoint(each, facts)),
    ...(facts.agents.daemonSet === undefined && facts.agents.pods.length === 0 ? {} : { agents: describeAgents(facts) }),
    ca: facts.ca === undefined ? undefined : describeCa(facts.ca),
  }
}

function leads(lease: MeshFacts['lease'], { name }: MeshPod, nowMs: number): boolean | undefined {
  if (lease === 'unknown') return undefined
  return lease?.holder === name && lease.renewedMs + lease.durationMs > nowMs - clockSkewMs
}

/** How far this machine's clock may be off, milliseconds. */
const clockSkewMs = 60_000

function describeWaypoint({ namespace, name, conditions, addresses, pods }: WaypointFacts, { subscriptions }: MeshFacts): WaypointRecord {
  const programmed = conditions.find(({ type }) => type === 'Programmed')
  return {
    namespace,
    gateway: name,
    programmed: programmed === undefined ? 'Unknown' : programmed.status === 'True' ? 'True' : `${programmed.status} (${programmed.reason})`,
    addresses,
    readyPods: pods.filter(({ ready }) => ready).length,
    pods: pods.map((pod) => {
      const subscription = subscriptions?.find((each) => each.kind === 'waypoint' && each.namespace === namespace && each.pod === pod.name)
      const connected = pod.metrics?.value('waymark_controller_connected')
      return {
        ...describePod(pod),
        connectedTo: subscription?.controller,
        connected: connected === undefined ? undefined : connected === 1,
        config: subscription?.hash === '' ? undefined : subscription?.hash,
        configAgeSeconds: pod.metrics?.value('waymark_config_age_seconds'),
        certificateExpirySeconds: pod.metrics?.value('waymark_certificate_expiry_seconds'),
      }
    }),
  }
}

function describeCa({ trustDomain, phase, generation, roots, problems }: CaInfo): CaRecord {
  const first = Math.min(...roots.map(({ notAfterMs }) => notAfterMs))
  return { trustDomain, phase, generation, rootsValidUntil: Number.isFinite(first) ? new Date(first).toISOString().replace(/\.\d+Z$/, 'Z') : undefined, roots: roots.length, problems }
}

function waypointTables(waypoints: readonly WaypointRecord[], { paint }: Io): readonly string[] {
  if (waypoints.length === 0) return ['no waypoints yet: waymark waypoint apply NAMESPACE gives a namespace one\n']
  const summary = columns(['NAMESPACE', 'WAYPOINT', 'PODS READY', 'ADDRESS', 'PROGRAMMED'], waypoints.map((each) =>
    [each.namespace, each.gateway, `${each.readyPods}/${each.pods.length}`, each.addresses.join(','), each.programmed]), paint)
  const rows = waypoints.flatMap(({ namespace, pods }) => pods.map((pod) => [
    namespace, pod.pod, pod.version, connection(pod), pod.config?.slice(0, 8), formatAge(pod.configAgeSeconds), formatAge(pod.certificateExpirySeconds), readiness(pod),
  ]))
  return [summary, ...(rows.length === 0 ? [] : [columns(['NAMESPACE', 'WAYPOINT POD', 'VERSION', 'CONNECTED TO', 'CONFIG', 'CONFIG AGE', 'CERTIFICATE FOR', 'READY'], rows, paint)])]
}

function table({ controllers, waypoints, agents, ca }: Described, io: Io): string {
  const { paint } = io
  const parts = [
    controllers.length === 0 ? `${paint('red', 'no controller runs')}: see waymark check\n` : columns(['CONTROLLER', 'LEADS', 'VERSION', 'IMAGE', 'NODE', 'RESTARTS', 'WAYPOINTS', 'ENTRIES', ...(agents === undefined ? [] : ['AGENTS']), 'READY'], controllers.map((each) =>
      [each.pod, each.leads === undefined ? undefined : each.leads ? 'yes' : 'no', each.version, each.image, each.node, each.restarts, each.waypoints, each.entries, ...(agents === undefined ? [] : [each.agents]), readiness(each)]), paint),
    ...(waypoints === undefined ? [] : waypointTables(waypoints, io)),
    ...(agents === undefined ? [] : agentTables(agents, io)),
    ca === undefined
      ? paint('red', 'no CA has told of itself yet: does a controller lead?') + '\n'
      : columns(['CA OF', 'PHASE', 'GENERATION', 'ROOTS', 'VALID UNTIL', 'PROBLEMS'], [[ca.trustDomain, ca.phase, ca.generation, ca.roots, ca.rootsValidUntil, ca.problems.join('; ') || 'none']], paint),
  ]
  return parts.join('\n')
}

function connection({ connectedTo, connected }: WaypointPodRecord): string | undefined {
  if (connectedTo !== undefined) return connectedTo
  return connected === undefined ? undefined : connected ? 'a controller' : 'none'
}
