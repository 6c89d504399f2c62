import { backdateMs } from '../../ca/root.ts'
import type { Pod } from '../api/core.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeChoice } from '../kube/config.ts'
import { isStatus } from '../kube/errors.ts'
import type { PodPorts } from '../kube/port-forward.ts'
import { namespacedName } from '../model/refs.ts'
import type { AgentDump, DumpedPod } from '../node/dump.ts'
import { meshLabel } from '../translate/labels.ts'
import { openPodPorts, withCluster, type ClusterAccess } from './cluster.ts'
import { columns, formatAge } from './columns.ts'
import { exitCodes, type Io } from './io.ts'
import { toJson } from './json.ts'
import { agentSelector, readDaemonSet, readDump, whyLeftAlone } from './mesh/agents.ts'
import { inParallel, type Asking, type Note } from './mesh/pods.ts'

export interface AgentDumpOptions extends KubeChoice {
  /** Where the installation is. */
  readonly namespace: string
  /** Only the agent of this node. */
  readonly node?: string | undefined
  readonly output: 'table' | 'json' | 'yaml'
}

export interface AgentDumpAccess extends ClusterAccess {
  readonly podPorts?: PodPorts
}

interface PodItem {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly deletionTimestamp?: string }
  readonly spec?: { readonly nodeName?: string }
  readonly status?: { readonly phase?: string }
}

/** What is shown of one agent: what it says itself, and why it leaves alone whom it does. */
interface Shown extends Omit<AgentDump, 'others'> {
  readonly others: readonly (AgentDump['others'][number] & { readonly why: string })[]
}

/** `waymark agent dump`: what the agents of nodes know and do. */
export async function agentDump(options: AgentDumpOptions, io: Io, access: AgentDumpAccess = {}): Promise<number> {
  return withCluster(options, access, io, 'agent dump', async (client) => {
    const { namespace, node, output } = options
    const notes = new Map<string, Note>()
    const asking: Asking = { client, podPorts: access.podPorts ?? (await openPodPorts(options)), note: (note) => void notes.set(note.message, note) }
    const { items } = (await client.get(`/api/v1/namespaces/${namespace}/pods`, { labelSelector: agentSelector })) as { readonly items: readonly PodItem[] }
    const running = items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === 'Running')
    const wanted = running.filter(({ spec }) => node === undefined || spec?.nodeName === node)
    if (wanted.length === 0) {
      io.say(`waymark agent dump: ${await whyNone(client, options, running)}`)
      return exitCodes.failed
    }
    const dumps = (await inParallel(wanted, 8, async ({ metadata }) => readDump(asking, metadata))).filter((each) => each !== undefined)
    // While one agent of a node replaces another, both pods lead to the one that has the port.
    const unique = [...new Map(dumps.map((each) => [each.node, each])).values()].sort((a, b) => (a.node < b.node ? -1 : 1))
    const whyOf = unique.some(({ others }) => others.length > 0) ? await readPlacement(client) : undefined
    const shown = unique.map((dump) => ({
      ...dump, others: dump.others.map((each) => ({ ...each, why: whyOf?.(each) ?? (each.told ? 'it is not of the mesh' : 'no controller has told of it yet, or it is gone') })),
    }))
    if (output === 'table') io.out(shown.map((each) => table(each, io)).join('\n'))
    else io.out((output === 'json' ? toJson : (await import('./yaml.ts')).toYaml)(shown))
    for (const { message, advice } of notes.values()) io.say(`${message}; ${advice}`)
    return shown.length === 0 ? exitCodes.failed : exitCodes.fine
  })
}

async function whyNone(client: KubeClient, { namespace, node }: AgentDumpOptions, running: readonly PodItem[]): Promise<string> {
  if ((await readDaemonSet(client, namespace)) === undefined && running.length === 0) return `there are no agents in namespace ${namespace}; docs/agent.md says how to switch them on, --namespace names another installation`
  if (node === undefined) return 'no agent runs; see waymark check'
  return `no agent runs on node ${node}; ${running.length === 0 ? 'nor on any other: see waymark check' : `there is one on ${running.map(({ spec }) => spec?.nodeName ?? '').sort().join(', ')}`}`
}

/** Why pods are left alone, by what the cluster knows of them; undefined: that may not be listed. */
async function readPlacement(client: KubeClient): Promise<((pod: AgentDump['others'][number]) => string | undefined) | undefined> {
  try {
    const [namespaces, pods] = (await Promise.all([client.get('/api/v1/namespaces'), client.get('/api/v1/pods')])) as readonly { readonly items: readonly Pod[] }[]
    const members = new Set((namespaces?.items ?? []).filter(({ metadata }) => metadata.labels?.[meshLabel] === 'enabled').map(({ metadata }) => metadata.name))
    const known = new Map((pods?.items ?? []).map((pod) => [namespacedName(pod.metadata.namespace ?? '', pod.metadata.name), pod]))
    return ({ namespace, name }) => {
      const pod = known.get(namespacedName(namespace, name))
      return pod && whyLeftAlone(pod, (each) => members.has(each))
    }
  } catch (error) {
    if (!isStatus(error, 403)) throw error
    return undefined
  }
}

function table(dump: Shown, { paint }: Io): string {
  const { node, pod, version, nowMs, startedMs, controller, configuration, pluginProblem, certificates, pods, others } = dump
  const since = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : formatAge((nowMs - ms) / 1000))
  const { entries } = configuration
  const known = Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, number]) => `${number} ${kind}`).join(', ')
  const parts = [
    columns(['NODE', 'AGENT POD', 'VERSION', 'UP FOR', 'CONTROLLER', 'CONFIG', 'CONFIG AGE', 'CNI PLUGIN'], [[
      node, pod, version, since(startedMs), controller.connected ? 'connected' : `none for ${formatAge(controller.silenceMs / 1000) ?? ''}`, configuration.hash.slice(0, 8), since(configuration.sinceMs),
      pluginProblem === '' ? 'no problem' : pluginProblem,
    ]], paint),
    `knows ${known === '' ? 'nothing yet' : known}\n`,
    pods.length === 0 ? 'captures no pods\n' : columns(
      ['NAMESPACE', 'POD', 'STATE', 'RULES', 'LISTENERS', 'MARK', 'ADDRESSES', 'CONNECTIONS', 'SESSIONS IN/OUT', 'IDENTITY', 'UID', 'PROBLEM'],
      pods.map((each) => [
        each.namespace, each.name, each.state, each.rules ? 'in force' : 'none', listeners(each), each.mark === undefined ? undefined : `0x${each.mark.toString(16).padStart(8, '0')}`, each.addresses.join(','),
        each.traffic?.connections, each.traffic === undefined ? undefined : `${each.traffic.sessionsIn}/${each.traffic.sessionsOut}`, each.identity, each.uid, each.problem,
      ]), paint),
    columns(['CERTIFICATE OF', 'PODS', 'AGE', 'VALID FOR'], certificates.map(({ id, pods: users, notBeforeMs, notAfterMs }, at) => [
      id, at === 0 ? 'the agent itself' : users, since(notBeforeMs === undefined ? undefined : notBeforeMs + backdateMs), notAfterMs === undefined ? 'there is none yet' : formatAge((notAfterMs - nowMs) / 1000),
    ]), paint),
    ...(others.length === 0 ? [] : [columns(['NOT CAPTURED', 'WHY'], others.map(({ namespace, name, why }) => [`${namespace}/${name}`, why]), paint)]),
  ]
  return parts.join('\n')
}

function listeners({ traffic }: DumpedPod): string {
  if (traffic === undefined || traffic.phase === 'new' || traffic.phase === 'closed') return 'none'
  if (traffic.phase !== 'capturing') return traffic.phase
  return traffic.certified ? '15001,15006,15008' : '15001,15006'
}
