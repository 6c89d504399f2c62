import { columns, formatAge } from './columns.ts'
import type { Io } from './io.ts'
import type { AgentPod } from './mesh/agents.ts'
import type { MeshFacts } from './mesh/facts.ts'
import { plaintextSeen, type PlaintextSeen } from './mesh/plaintext.ts'
import { describePod, readiness, type PodRecord } from './mesh/pod-record.ts'

/** What `status` shows of the agents of nodes; what is not known is absent. */
export interface AgentsRecord {
  /** Nodes that shall have an agent, and that have one that is ready. */
  readonly desired: number
  readonly ready: number
  readonly nodes: readonly AgentRecord[]
  /** Pods that shall be captured and are not. */
  readonly notCaptured: readonly { readonly pod: string; readonly node: string; readonly why: string }[]
  /** Workloads that were reached in plain. */
  readonly plaintext: readonly PlaintextSeen[]
}

interface AgentRecord extends PodRecord {
  readonly connectedTo: string | undefined
  readonly connected: boolean | undefined
  /** Content hash of the configuration that it runs. */
  readonly config: string | undefined
  readonly configAgeSeconds: number | undefined
  readonly certificateExpirySeconds: number | undefined
  readonly captured: number | undefined
  /** Pods that shall be captured, those that are included. */
  readonly wanted: number | undefined
  /** Why the plugin of CNI is not in place; '' if nothing is wrong. */
  readonly pluginProblem: string | undefined
}

/** Puts together what is known of agents. */
export function describeAgents({ agents: { desired, ready, pods }, subscriptions }: Pick<MeshFacts, 'agents' | 'subscriptions'>): AgentsRecord {
  return {
    desired, ready,
    nodes: pods.map((pod) => describeAgent(pod, subscriptions)).sort((a, b) => ((a.node ?? '') < (b.node ?? '') ? -1 : 1)),
    notCaptured: pods.flatMap(({ dump }) => (dump?.pods ?? []).filter(({ state }) => state === 'waiting').map(({ namespace, name, problem }) => (
      { pod: `${namespace}/${name}`, node: dump?.node ?? '', why: problem === '' ? 'it is being captured' : problem }))),
    plaintext: plaintextSeen(pods),
  }
}

function describeAgent(pod: AgentPod, subscriptions: MeshFacts['subscriptions']): AgentRecord {
  const { dump } = pod
  const { nowMs = 0, configuration, certificates, pods } = dump ?? {}
  const [own] = certificates ?? []
  return {
    ...describePod(pod),
    connectedTo: subscriptions?.find((each) => each.kind === 'agent' && each.pod === pod.name)?.controller,
    connected: dump?.controller.connected,
    config: configuration?.hash,
    configAgeSeconds: configuration?.sinceMs === undefined ? undefined : (nowMs - configuration.sinceMs) / 1000,
    certificateExpirySeconds: own?.notAfterMs === undefined ? undefined : (own.notAfterMs - nowMs) / 1000,
    captured: pods?.filter(({ state }) => state === 'captured').length,
    wanted: pods?.filter(({ state }) => state !== 'leaving').length,
    pluginProblem: dump?.pluginProblem,
  }
}

/** Tables for people. */
export function agentTables({ desired, ready, nodes, notCaptured, plaintext }: AgentsRecord, { paint }: Io): readonly string[] {
  const summary = `${ready} of ${desired} nodes have an agent that is ready\n`
  const rows = nodes.map((each) => [
    each.node, each.pod, each.version, each.connectedTo ?? (each.connected === undefined ? undefined : each.connected ? 'a controller' : 'none'), each.config?.slice(0, 8), formatAge(each.configAgeSeconds),
    formatAge(each.certificateExpirySeconds), each.captured === undefined ? undefined : `${each.captured}/${each.wanted ?? 0}`, each.pluginProblem === '' ? 'no problem' : each.pluginProblem, readiness(each),
  ])
  const plain = plaintext.map(({ workload, taken, refused, from }) => [workload, taken, refused, from.length <= 4 ? from.join(', ') : `${from.slice(0, 4).join(', ')} and ${from.length - 4} more`])
  return [
    rows.length === 0 ? summary : summary + columns(['NODE', 'AGENT POD', 'VERSION', 'CONNECTED TO', 'CONFIG', 'CONFIG AGE', 'CERTIFICATE FOR', 'CAPTURED', 'CNI PLUGIN', 'READY'], rows, paint),
    ...(notCaptured.length === 0 ? [] : [columns(['NOT CAPTURED', 'NODE', 'WHY'], notCaptured.map(({ pod, node, why }) => [pod, node, why]), paint)]),
    ...(plain.length === 0 ? [] : [columns(['REACHED IN PLAIN', 'TAKEN', 'REFUSED', 'FROM'], plain, paint)]),
  ]
}
