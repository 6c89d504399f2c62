import type { AgentPod } from './agents.ts'

/** What reached a captured workload in plain since the agents of its pods started. */
export interface PlaintextSeen {
  /** `namespace/name` */
  readonly workload: string
  /** Connections that were let in. */
  readonly taken: number
  /** Connections that were reset, for only mutual TLS is taken or a waypoint must be passed. */
  readonly refused: number
  /** From whom, `namespace/name` as far as it is known. */
  readonly from: readonly string[]
  /** Whose connections were reset. */
  readonly refusedFrom: readonly string[]
}

/** Adds up what agents counted, in the order of the workloads' names. */
export function plaintextSeen(agents: readonly Pick<AgentPod, 'metrics'>[]): readonly PlaintextSeen[] {
  const seen = new Map<string, { taken: number; refused: number; readonly from: Set<string>; readonly refusedFrom: Set<string> }>()
  for (const { metrics } of agents) {
    for (const { label, value } of metrics?.all('waymark_agent_connections_total') ?? []) {
      const outcome = label('outcome')
      if (label('direction') !== 'plaintext' || label('destination_workload') === '' || value === 0 || (outcome !== 'allowed' && outcome !== 'refused')) continue
      const workload = `${label('destination_namespace')}/${label('destination_workload')}`
      const one = seen.get(workload) ?? { taken: 0, refused: 0, from: new Set<string>(), refusedFrom: new Set<string>() }
      seen.set(workload, one)
      one[outcome === 'allowed' ? 'taken' : 'refused'] += value
      const from = label('source_workload') === '' ? 'an unknown client' : `${label('source_namespace')}/${label('source_workload')}`
      one.from.add(from)
      if (outcome === 'refused') one.refusedFrom.add(from)
    }
  }
  return [...seen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([workload, { taken, refused, from, refusedFrom }]) => (
    { workload, taken, refused, from: [...from].sort(), refusedFrom: [...refusedFrom].sort() }))
}
