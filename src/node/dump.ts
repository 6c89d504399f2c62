import { formatSpiffeId } from '../model/identity.ts'
import { hashOf } from '../publish/hash.ts'
import type { Agent } from './agent.ts'
import type { PodState } from './manager.ts'

/** What an agent knows and does; also the shape of its admin page. Times are milliseconds since the epoch. */
export interface AgentDump {
  readonly node: string
  readonly pod: string
  readonly version: string
  readonly nowMs: number
  readonly startedMs: number
  readonly controller: {
    readonly connected: boolean
    /** Since the last word of a controller, milliseconds. */
    readonly silenceMs: number
    /** `kept`: no controller has answered since the start. */
    readonly source: 'controller' | 'kept'
  }
  readonly configuration: {
    readonly hash: string
    /** When it was taken over; absent: there is none. */
    readonly sinceMs?: number
    /** How many entries there are of each kind. */
    readonly entries: Readonly<Record<string, number>>
  }
  /** Why the plugin of CNI is not in place; '' if it is, or is not wanted. */
  readonly pluginProblem: string
  /** The agent's own, then those of the node's service accounts. */
  readonly certificates: readonly DumpedCertificate[]
  readonly pods: readonly DumpedPod[]
  /** Pods of the node that are left alone; `told`: a controller has told of them. */
  readonly others: readonly { readonly uid: string; readonly namespace: string; readonly name: string; readonly told: boolean }[]
}

export interface DumpedCertificate {
  /** SPIFFE id. */
  readonly id: string
  /** Pods that use it. */
  readonly pods: number
  /** Absent: there is none yet. */
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

export interface DumpedPod extends Omit<PodState, 'traffic' | 'path'> {
  /** Which the pod's rules let pass; absent if it is not captured. */
  readonly mark?: number
  readonly traffic?: NonNullable<PodState['traffic']>
}

/** What the agent of this process knows and does. */
export function dumpOf(agent: Agent, about: Pick<AgentDump, 'node' | 'pod' | 'version' | 'nowMs' | 'startedMs'>): AgentDump {
  const { member, manager, identities } = agent
  const snapshot = agent.snapshot()
  const entries: Record<string, number> = {}
  for (const { kind } of snapshot.values()) entries[kind] = (entries[kind] ?? 0) + 1
  const sinceMs = agent.configuredAtMs()
  const own = member.credentials.current()
  const ownId = formatSpiffeId(own.identity)
  return {
    ...about,
    controller: { connected: member.connected(), silenceMs: member.staleMs(), source: member.source() },
    configuration: { hash: hashOf(snapshot), ...(sinceMs === undefined ? {} : { sinceMs }), entries },
    pluginProblem: agent.pluginProblem(),
    certificates: [
      { id: ownId, pods: 0, notBeforeMs: own.notBeforeMs, notAfterMs: own.notAfterMs },
      ...identities.list().map(({ id, holds, notBeforeMs, notAfterMs }) => ({
        id, pods: holds, ...(notBeforeMs === undefined ? {} : { notBeforeMs }), ...(notAfterMs === undefined ? {} : { notAfterMs }),
      })),
    ],
    pods: manager.pods().map(({ path, traffic, ...pod }) => ({
      ...pod, ...(pod.rules ? { mark: agent.markOf(path) } : {}), ...(traffic === undefined ? {} : { traffic }),
    })).sort(byName),
    others: [...manager.others()].sort(byName),
  }
}

interface Named {
  readonly namespace: string
  readonly name: string
}

function byName(a: Named, b: Named): number {
  return a.namespace === b.namespace ? (a.name < b.name ? -1 : 1) : a.namespace < b.namespace ? -1 : 1
}
