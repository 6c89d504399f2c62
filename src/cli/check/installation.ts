import type { GatewayClass } from '../../api/gateway.ts'
import type { Clock } from '../../kit/clock.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { PodPorts } from '../../kube/port-forward.ts'
import { controllerName } from '../../model/status.ts'
import { waypointClass } from '../../translate/waypoints.ts'
import { otherInstallation } from '../install.ts'
import { forbiddenKinds, readLive, translateLive } from '../live.ts'
import { readFacts, waypointClassOf, type MeshFacts } from '../mesh/facts.ts'
import { pause } from '../rollout.ts'
import { versions } from '../version.ts'
import { judgeAgents } from './agents.ts'
import { judgeCertificates } from './certificates.ts'
import { judgeControllers, judgeLeader, judgeVersions } from './controllers.ts'
import { checkDefinitions, checkOwnDefinitions } from './gateway-api.ts'
import { reach } from './kubernetes.ts'
import { judgeNamespaces } from './namespaces.ts'
import { checkControllerRights } from './rbac.ts'
import { countLines, failure, ok, section, unlessForbidden, warning, type Line, type Section } from './report.ts'
import { judgePolicies } from './policies.ts'
import { judgeRoutes } from './routes.ts'
import { findBehind, judgeWaypoints } from './waypoints.ts'

export interface InstallationCheckOptions {
  readonly client: KubeClient
  readonly podPorts: PodPorts
  readonly namespace: string
  /** Undefined: as the mesh's own account of its CA says. */
  readonly trustDomain: string | undefined
  readonly clock: Clock
}

/** Changes travel while the pods are asked: what seems wrong is looked at once more after this time, milliseconds. */
const settleMs = 1_500

/** Looks how the installation of a cluster is. Changes nothing. */
export async function checkInstallation(options: InstallationCheckOptions): Promise<readonly Section[]> {
  const { client, podPorts, namespace, clock } = options
  const { lines, reachable } = await reach(client)
  const kubernetes: Section = { name: 'kubernetes', lines }
  if (!reachable) return [kubernetes]
  const found: { facts?: MeshFacts } = {}
  const installation = await section('installation', 'the installation', async () => {
    const facts = await readFacts(client, podPorts, namespace)
    if (facts.deployment === undefined) return [await notInstalled(client, namespace)]
    found.facts = facts
    return [
      ...judgeControllers(facts), ...judgeLeader(facts, clock.now()), ...judgeVersions(facts, versions().version),
      ...(await checkControllerRights(client, namespace, facts.deployment, facts.agents.daemonSet !== undefined)),
      ...facts.notes.map(({ message, advice }) => warning(message, advice)),
    ]
  })
  const { facts } = found
  const gatewayApi = await section('gateway api', 'Gateway API', async () => [...(await checkDefinitions(client)), ...(await checkOwnDefinitions(client)), ...(facts === undefined ? [] : await checkClass(client))])
  return [kubernetes, gatewayApi, installation, ...(facts === undefined ? [] : await checkMesh(options, facts))]
}

/** What the cluster's objects make of the mesh. */
async function checkMesh({ client, podPorts, namespace, trustDomain, clock }: InstallationCheckOptions, first: MeshFacts): Promise<readonly Section[]> {
  const look = async (facts: MeshFacts): Promise<readonly Section[]> => {
    const live = await readLive(client, trustDomain)
    const translation = translateLive(live)
    const unread = live.problems.filter(({ reason }) => reason === 'forbidden').map(({ line }) => warning(line, 'use a context with that right: what depends on it is not looked at'))
    const certificates: Section = { name: 'certificates', lines: judgeCertificates(facts, live, translation, namespace, clock.now()) }
    const forbidden = forbiddenKinds(live)
    if (forbidden.length > 0) {
      const message = `waypoints, routes and namespaces can not be looked at: you may not list ${forbidden.join(', ')} in all namespaces`
      return [certificates, { name: 'mesh', lines: [failure(message, 'use a context whose user may read this, or ask for the right')] }]
    }
    return [
      certificates,
      { name: 'waypoints', lines: judgeWaypoints(facts, await findBehind(facts, translation, podPorts)) },
      { name: 'agents', lines: judgeAgents(facts, live, translation, namespace) },
      { name: 'routes', lines: [...unread, ...judgeRoutes(live, translation)] },
      { name: 'policies', lines: judgePolicies(live) },
      { name: 'namespaces', lines: judgeNamespaces(live, translation) },
    ]
  }
  let found: readonly Section[] = []
  const failed = await section('mesh', 'the mesh', async () => {
    found = await look(first)
    if (countLines(found).errors > 0) {
      await pause(clock, settleMs)
      found = await look(await readFacts(client, podPorts, namespace))
    }
    return []
  })
  return failed.lines.length > 0 ? [failed] : found
}

async function notInstalled(client: KubeClient, namespace: string): Promise<Line> {
  const other = await otherInstallation(client, namespace).catch(() => undefined)
  if (other !== undefined) return failure(`the mesh is not installed in namespace ${namespace}, but in ${other}`, `waymark check --namespace ${other}`)
  return failure(`the mesh is not installed in namespace ${namespace}`, 'waymark check --pre says whether it can be; then waymark install --apply, or the Helm chart')
}

function checkClass(client: KubeClient): Promise<readonly Line[]> {
  return unlessForbidden(`the GatewayClass ${waypointClass}`, async () => [judgeClass(await waypointClassOf(client))])
}

function judgeClass(found: GatewayClass | undefined): Line {
  if (found === undefined) return failure(`the GatewayClass ${waypointClass} is not there`, 'apply the installation again: waymark install --apply, or helm upgrade')
  if (found.spec.controllerName !== controllerName) {
    return failure(`the GatewayClass ${waypointClass} is that of another controller, ${found.spec.controllerName}`, `take it away (kubectl delete gatewayclass ${waypointClass}) and apply the installation again`)
  }
  const accepted = found.status?.conditions?.find(({ type }) => type === 'Accepted')
  if (accepted?.status === 'True') return ok(`the GatewayClass ${waypointClass} is accepted`)
  return failure(`the GatewayClass ${waypointClass} is not accepted${accepted === undefined ? ': no controller has looked at it' : `: ${accepted.reason}: ${accepted.message}`}`, 'see the controllers above and their logs')
}
