import { until, type Line, type Mesh, type Process } from '../lib/mesh.ts'
import type { Rig } from '../lib/rig.ts'
import type { PodName } from '../lib/topology.ts'
import type { Reply, Target } from '../testing/protocol.ts'

/** What cases of the whole mesh work with. They run in their order, each goes on where the one before has ended. */
export interface MeshWorld {
  readonly rig: Rig
  readonly mesh: Mesh
  /** The agents that run. */
  readonly agents: Record<1 | 2, Process>
}

export interface MeshCase {
  /** The rule, in words. */
  readonly name: string
  readonly run: (world: MeshWorld) => Promise<void>
}

/** A list of cases. */
export const meshCases = (cases: readonly MeshCase[]): readonly MeshCase[] => cases

/** Asks until the answer is as wanted: what the controller was told takes a moment to arrive. */
export async function settles({ rig }: MeshWorld, from: PodName, target: Target, wanted: (reply: Reply) => boolean): Promise<void> {
  let last: Reply | undefined
  await until(() => `${from} to ${target.host} port ${target.port}: ${JSON.stringify(last)}`, async () => wanted(last = await rig.pods[from].ask('ask', target)))
}

/** One line of an agent's log, as far as cases speak of it: `outbound front/a → 10.96.0.4:80 mtls endpoint`. */
export function short({ direction, source, source_id, destination_address, transport, via, outcome, reason }: Line): string {
  // Who opened it is proven only where a certificate was shown, or by the listener that took it.
  const who = transport === 'plain' && direction === 'plaintext' ? '?' : (source ?? source_id ?? '?')
  return [direction, who, '→', destination_address ?? '', transport ?? '', via ?? '', outcome === 'allowed' ? '' : `${outcome} ${reason ?? ''}`].filter((part) => part !== '').join(' ')
}

/** What both agents tell of connections since `work` began, sorted, once there are `count` lines. @param about only those with this text */
export async function tells({ agents }: MeshWorld, count: number, work: () => Promise<void>, about = ''): Promise<readonly string[]> {
  const before = { 1: agents[1].lines.length, 2: agents[2].lines.length }
  const told = (): readonly string[] => ([1, 2] as const).flatMap((node) => agents[node].lines.slice(before[node])).map(short).filter((line) => line.includes(about)).sort()
  await work()
  await until(() => `${told().length} of ${count} connections: ${told().join('; ')}`, () => told().length >= count)
  return told()
}
