import type { Pod } from '../../api/core.ts'
import { isMarkedCaptured, install } from '../../model/install.ts'
import { namespacedName } from '../../model/refs.ts'
import { hashOf } from '../../publish/hash.ts'
import { slice } from '../../publish/slice.ts'
import { isOver } from '../../translate/workloads.ts'
import type { Translation } from '../../translate/options.ts'
import type { LiveCluster } from '../live.ts'
import { argsOf, knowsAgents, type AgentPod } from '../mesh/agents.ts'
import type { MeshFacts } from '../mesh/facts.ts'
import { plaintextSeen } from '../mesh/plaintext.ts'
import { versionOf } from '../mesh/pods.ts'
import { count, failure, ok, some, warning, type Line } from './report.ts'

/** How long an agent may hear nothing of a controller, seconds. */
const silenceSeconds = 300
/** How much of a certificate's life must be left, seconds: it is renewed at half of it. */
const certificateSeconds = 600

type Facts = Pick<MeshFacts, 'agents' | 'controllers' | 'deployment'>

/** Whether each node has its agent, agents know what holds now, and every pod that shall be captured is. Empty if there are no agents and nothing is left of any. */
export function judgeAgents(facts: Facts, live: Pick<LiveCluster, 'resources'>, { snapshot }: Pick<Translation, 'snapshot'>, namespace: string): readonly Line[] {
  const { daemonSet, pods, desired, ready } = facts.agents
  const marked = [...live.resources.Pod.values()].filter((pod) => isMarkedCaptured(pod) && !isOver(pod))
  if (daemonSet === undefined && pods.length === 0) return judgeAbsence(knowsAgents(facts.deployment), marked)
  if (argsOf(daemonSet).includes('--retire')) return judgeRetirement(facts.agents, namespace)
  const lines: Line[] = []
  if (daemonSet === undefined) lines.push(failure(`the DaemonSet ${install.agent} is gone, and ${count(pods.length, 'agent')} of it still ${pods.length === 1 ? 'runs' : 'run'}`, 'wait for their end and look again; docs/agent.md says how agents are taken away'))
  if (!knowsAgents(facts.deployment)) lines.push(failure('there are agents, and the controllers do not reckon with them: nothing is captured', 'set agent.enabled of the chart, which switches both: helm upgrade … --set agent.enabled=true'))
  const see = `kubectl -n ${namespace} get pods -o wide -l app.kubernetes.io/component=agent; kubectl -n ${namespace} describe daemonset ${install.agent}`
  if (ready < desired) {
    const troubles = pods.filter((pod) => !pod.ready).map(({ name, node, trouble }) => `${name} on ${node ?? 'no node'}: ${trouble ?? 'it is not ready'}`)
    lines.push(failure(`${ready} of ${count(desired, 'node')} have an agent that is ready: where none is, captured pods are refused and pods of the mesh do not start`, see, troubles))
  }
  const bare = ready < desired ? [] : nodesWithout(pods, snapshot)
  if (bare.length > 0) lines.push(failure(`${count(bare.length, 'node')} with pods of the mesh ${bare.length === 1 ? 'has' : 'have'} no agent, and shall have none: captured pods are refused there, and others do not start`, `agent.nodeSelector and agent.tolerations of the chart say where agents run; ${see}`, some(bare)))
  lines.push(...judgeVersions(facts))
  const wanted = hashOf(slice(snapshot, { kind: 'agent', namespace }))
  for (const pod of pods) lines.push(...judgeAgent(pod, wanted, namespace))
  if (lines.length === 0) lines.push(ok(`${count(ready, 'node')} ${ready === 1 ? 'has an agent that is' : 'have agents that are'} ready, connected and up to date${plugin(facts)}`))
  return [...lines, ...judgePods(facts.agents.pods, live, snapshot, marked, see), ...judgeLeaving(pods), ...judgePlaintext(pods)]
}

/** Nodes with pods that shall be captured, and without an agent. */
function nodesWithout(pods: readonly AgentPod[], snapshot: Translation['snapshot']): readonly string[] {
  const needed = new Set([...snapshot.values()].flatMap((entry) => (entry.kind === 'workload' && entry.capture === true && entry.node !== undefined ? [entry.node] : [])))
  for (const { node } of pods) needed.delete(node ?? '')
  return [...needed].sort()
}

function plugin({ agents: { daemonSet } }: Facts): string {
  return argsOf(daemonSet).includes('--no-cni-plugin') ? '; the plugin of CNI is switched off' : ', with the plugin of CNI in place'
}

/** No agents: is anything left that would need one? */
function judgeAbsence(expected: boolean, marked: readonly Pod[]): readonly Line[] {
  const lines: Line[] = []
  if (expected) {
    lines.push(failure(`the controllers reckon with agents, and there is no DaemonSet ${install.agent}: pods of the mesh do not start, and those that are captured are refused`, 'bring it back, or switch both off, with the chart: helm upgrade … --set agent.enabled=true, or false'))
  }
  if (marked.length > 0) {
    lines.push(warning(`there are no agents, and ${count(marked.length, 'pod')} ${marked.length === 1 ? 'is' : 'are'} marked as captured: unless the agents retired before they went, ${marked.length === 1 ? 'its' : 'their'} connections are refused`,
      'if they are, switch agents on again and let them retire (agent.retire), see docs/agent.md; new pods have neither the rules nor the mark', some(names(marked))))
  }
  return lines
}

/** Agents that only take away what others left. */
function judgeRetirement({ pods, desired, ready }: Facts['agents'], namespace: string): readonly Line[] {
  const troubles = pods.filter((pod) => !pod.ready).map(({ name, node, trouble }) => `${name} on ${node ?? 'no node'}: ${trouble ?? 'it is not ready'}`)
  if (ready < desired) return [warning(`agents retire on ${ready} of ${count(desired, 'node')}: on the others pods may still be captured, and are refused without an agent`, `kubectl rollout status -n ${namespace} daemonset/${install.agent}`, troubles)]
  return [warning(`agents retire on ${count(desired, 'node')}: nothing is captured, and traffic is in plain`, `when their logs say that nothing is left, they can go (agent.enabled=false); else take agent.retire back`)]
}

function judgeVersions({ agents: { pods }, controllers }: Facts): readonly Line[] {
  const own = new Set(controllers.map(versionOf).filter((each) => each !== undefined))
  const others = pods.filter((pod) => own.size > 0 && !own.has(versionOf(pod) ?? [...own][0] ?? ''))
  if (others.length === 0) return []
  return [warning(`agents are of another version than the controllers (${[...own].sort().join(', ')})`, 'wait for their rollout to end: kubectl rollout status of the DaemonSet', others.map((pod) => `${pod.name} on ${pod.node ?? 'no node'}: ${versionOf(pod) ?? 'unknown'}`))]
}

function judgeAgent({ name, node = 'no node', dump, ready }: AgentPod, wanted: string, namespace: string): readonly Line[] {
  if (dump === undefined) return []
  const logs = `see kubectl -n ${namespace} logs ${name}`
  const { controller, configuration, certificates, pluginProblem, nowMs } = dump
  const lines: Line[] = []
  const silence = Math.round(controller.silenceMs / 1000)
  if (!controller.connected && silence > silenceSeconds) lines.push(failure(`the agent of node ${node} has heard of no controller for ${silence} s: it goes on with what it knows, and no pod of the mesh starts there`, `can it reach ${install.controller} on port 15012? ${logs}`))
  else if (ready && configuration.hash !== wanted) lines.push(failure(`the agent of node ${node} does not run the present configuration`, `see what differs: waymark config-dump --diff -n ${namespace} ${name}; and ${logs.slice(4)}`))
  if (pluginProblem !== '') lines.push(failure(`node ${node}: the plugin of CNI is not in place: ${pluginProblem}`, `pods may start uncaptured there; see docs/agent.md, which nodes; ${logs}`))
  for (const { id, notAfterMs } of certificates) {
    const left = notAfterMs === undefined ? undefined : Math.round((notAfterMs - nowMs) / 1000)
    if (left !== undefined && left < certificateSeconds) lines.push((left <= 0 ? failure : warning)(`node ${node}: the certificate of ${id} ${left <= 0 ? 'has ended' : `ends in ${left} s and was not renewed`}`, logs))
  }
  return lines
}

function judgePods(agents: readonly AgentPod[], { resources }: Pick<LiveCluster, 'resources'>, snapshot: Translation['snapshot'], marked: readonly Pod[], see: string): readonly Line[] {
  const told = new Map(agents.flatMap(({ dump }) => (dump?.pods ?? []).map((each) => [each.uid, each] as const)))
  const asked = new Set(agents.flatMap(({ dump }) => dump?.node ?? []))
  const missing: string[] = []
  const lost: string[] = []
  let expected = 0
  for (const entry of snapshot.values()) {
    if (entry.kind !== 'workload' || entry.capture !== true) continue
    const name = namespacedName(entry.namespace, entry.name)
    const pod = resources.Pod.get(name)
    // One that has not started has nothing to capture yet, and its Events say why it does not.
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) continue
    expected++
    const one = told.get(entry.uid ?? '')
    const node = entry.node ?? ''
    if (entry.enrolled) {
      if (asked.has(node) && one?.state !== 'captured') lost.push(`${name} on ${node}: ${one === undefined ? 'its agent does not know it' : one.problem === '' ? `its agent says ${one.state}` : one.problem}`)
    } else if (one !== undefined && one.problem !== '') missing.push(`${name} on ${node}: ${one.problem}`)
    else if (agents.some((each) => each.node === node)) missing.push(`${name} on ${node}: ${one === undefined ? 'its agent does not know it: it has not started, or is in a sandbox that the agent can not see' : 'it is being captured'}`)
    else missing.push(`${name} on ${node}: there is no agent on that node`)
  }
  const wanted = new Set([...snapshot.values()].flatMap((entry) => (entry.kind === 'workload' && entry.capture === true ? namespacedName(entry.namespace, entry.name) : [])))
  const leftover = marked.filter(({ metadata }) => !wanted.has(namespacedName(metadata.namespace ?? '', metadata.name)))
  const lines: Line[] = []
  if (missing.length > 0) lines.push(failure(`${missing.length} of ${count(expected, 'pod')} of the mesh ${missing.length === 1 ? 'is' : 'are'} not captured`, 'kubectl get events -A --field-selector reason=NotCaptured; waymark agent dump --node NODE', some(missing)))
  if (lost.length > 0) lines.push(failure(`${count(lost.length, 'pod')} should be captured by what ${lost.length === 1 ? 'its annotation says' : 'their annotations say'}, and ${lost.length === 1 ? 'its agent says' : 'their agents say'} otherwise: members reach ${lost.length === 1 ? 'it' : 'them'} by mutual TLS only`, see, some(lost)))
  if (leftover.length > 0) lines.push(warning(`${count(leftover.length, 'pod')} left the mesh and ${leftover.length === 1 ? 'is' : 'are'} still marked as captured`, 'a leading controller takes that back within a second: see above', some(names(leftover))))
  // Whoever has no agent is refused, whatever its annotation says.
  return lines.length > 0 || expected === 0 || nodesWithout(agents, snapshot).length > 0 ? lines : [ok(expected === 1 ? 'the pod that shall be captured is' : `all ${expected} pods that shall be captured are`)]
}

/** Pods that have left the mesh, and still have rules for the connections that were captured before. */
function judgeLeaving(agents: readonly AgentPod[]): readonly Line[] {
  const leaving = agents.flatMap(({ dump }) => (dump?.pods ?? []).filter(({ state }) => state === 'leaving').map(({ namespace, name }) => `${namespace}/${name}`))
  if (leaving.length === 0) return []
  const one = leaving.length === 1
  return [warning(`${count(leaving.length, 'pod')} ${one ? 'is' : 'are'} leaving the mesh: connections that were captured before go on for ten minutes at most, and then ${one ? 'its' : 'their'} rules are taken away`,
    'nothing to do but to wait, and to let agents stay until then; or let them retire (agent.retire), which waits for agent.drainSeconds only', some(leaving))]
}

/** Who would suffer from `Strict`, and who does. */
function judgePlaintext(agents: readonly AgentPod[]): readonly Line[] {
  const seen = plaintextSeen(agents)
  const [taken, refused] = [seen.filter((each) => each.taken > 0), seen.filter((each) => each.refused > 0)]
  return [
    ...(taken.length === 0 ? [] : [ok(`${taken.length === 1 ? '1 workload' : `${taken.length} workloads`} took connections in plain since the agents started, and ${taken.length === 1 ? 'is no candidate' : 'are no candidates'} for Strict yet: ${some(taken.map(({ workload }) => workload), 4).join(', ')}; waymark status says from whom`)]),
    ...(refused.length === 0 ? [] : [warning(`${refused.length === 1 ? '1 workload' : `${refused.length} workloads`} refused connections in plain since the agents started`, 'let those clients join the mesh, or set the MTLSPolicy to Permissive; nothing to do if they are strangers', some(refused.map(({ workload, refused: number, refusedFrom }) => `${workload}: ${number} from ${some(refusedFrom, 3).join(', ')}`)))]),
  ]
}

function names(pods: readonly Pod[]): readonly string[] {
  return pods.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`)
}
