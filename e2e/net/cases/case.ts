import assert from 'node:assert/strict'
import type { Rig } from '../lib/rig.ts'
import type { Reply } from '../testing/protocol.ts'

/** What the suite runs: a rule, and how to see that it holds. */
export interface NetCase {
  /** The rule, in words. */
  readonly name: string
  /** Throws if the rule does not hold. What it starts through `rig.agent` is stopped for it. */
  readonly run: (rig: Rig) => Promise<void>
}

/** A list of cases. */
export const netCases = (cases: readonly NetCase[]): readonly NetCase[] => cases

/** An answer came from `pod`, which saw `peer`. */
export function answered(reply: Reply, pod: string, peer: string): void {
  assert.ok(!('error' in reply), `no answer: ${JSON.stringify(reply)}`)
  assert.deepEqual({ pod: reply.pod, peer: reply.peer }, { pod, peer })
}

/** No connection, or one that was reset at once: both are a refusal, which of them shows is a question of time. */
export function refused(reply: Reply): void {
  assert.ok('error' in reply && ['ECONNREFUSED', 'ECONNRESET', 'closed', 'EPIPE'].includes(reply.error), `not refused: ${JSON.stringify(reply)}`)
}

/** Nothing of what `work` does arrives at the applications of `pod`. */
export async function nothingArrives(rig: Rig, pod: 'a' | 'c', work: () => Promise<void>): Promise<void> {
  const before = await rig.pods[pod].ask('accepted', {})
  await work()
  assert.equal(await rig.pods[pod].ask('accepted', {}), before)
}
