import type { EntryKey, WorkloadEntry } from '../../model/entries.ts'
import type { PolicyEntry } from '../../model/policy.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { Attributes } from '../../policy/attributes.ts'
import { compilePolicies, type GuardingPolicy, type Judge, type Verdict } from '../../policy/compile.ts'

/** What guards one pod: policies, and waypoints that alone may reach some of its ports. */
export interface PodGuards {
  readonly workload: WorkloadEntry
  /** SPIFFE ids of the only peers that may reach a port; undefined: no such rule. */
  readonly onlyVia: (port: number) => readonly string[] | undefined
  /** Judges a connection to one of the pod's ports. Lets nobody in where a policy is named that is not there. */
  readonly judge: (port: number, connection: Omit<Attributes, 'ports' | 'request'>) => Verdict
  /** Whether a later snapshot says the same of it. */
  readonly holds: (workload: WorkloadEntry, snapshot: Snapshot) => boolean
}

interface GuardedPort {
  readonly ports: readonly number[]
  readonly judge: Judge | undefined
}

const unknownPolicy = (key: EntryKey): Verdict => ({ allowed: false, policy: '', reason: `${key} is not known`, audit: [] })

/** What guards a pod by a snapshot. */
export function guardsOf(workload: WorkloadEntry, snapshot: Snapshot): PodGuards {
  const keys = new Set([...(workload.policies ?? []), ...(workload.ports ?? []).flatMap(({ policies, routePolicies = [] }) => [...policies, ...routePolicies])])
  const entries = new Map([...keys].map((key) => [key, snapshot.get(key)]))
  const missing = [...keys].find((key) => entries.get(key)?.kind !== 'policy')
  const compiled = new Map<number, GuardedPort>()

  const portOf = (port: number): GuardedPort => {
    const guard = workload.ports?.find((each) => each.port === port)
    // All ports that nothing is said of are guarded alike.
    const at = guard === undefined ? 0 : port
    let found = compiled.get(at)
    if (found === undefined) {
      const guarding = [
        ...policiesOf([...(workload.policies ?? []), ...(guard?.policies ?? [])], entries),
        ...policiesOf(guard?.routePolicies ?? [], entries).map((each) => ({ ...each, scope: 'route' as const })),
      ]
      found = { ports: guard === undefined ? [] : [port, ...guard.servicePorts], judge: guarding.length === 0 ? undefined : compilePolicies(guarding) }
      compiled.set(at, found)
    }
    return found
  }
  return {
    workload,
    onlyVia: (port) => workload.ports?.find((each) => each.port === port)?.onlyVia,
    judge: (port, connection) => {
      if (missing !== undefined) return unknownPolicy(missing)
      const { ports, judge } = portOf(port)
      return judge === undefined ? unguarded : judge.judge({ ...connection, ports: ports.length === 0 ? [port] : ports, request: undefined })
    },
    holds: (next, later) => next === workload && [...entries].every(([key, entry]) => later.get(key) === entry),
  }
}

const unguarded: Verdict = { allowed: true, policy: '', reason: '', audit: [] }

function policiesOf(keys: readonly EntryKey[], entries: ReadonlyMap<EntryKey, unknown>): GuardingPolicy[] {
  return [...new Set(keys)].map((key) => ({ entry: entries.get(key) as PolicyEntry }))
}
