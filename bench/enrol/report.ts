import { cpus } from 'node:os'
import { cpuModel } from '../procfs.ts'
import { formatSpread, markdownTable, spreadOf } from '../table.ts'
import { enrolHeading } from './section.ts'

/** What enrolling all pods of a node took, round by round. */
export interface Enrolment {
  /** Whose service accounts the pods have, in words. */
  readonly what: string
  /** From the label on the namespace to the annotation on the first and on the last pod, milliseconds. */
  readonly firstMs: number[]
  readonly allMs: number[]
  /** CPU time of the agent meanwhile, milliseconds. */
  readonly cpuMs: number[]
  /** Memory of the agent before and after, MiB. */
  readonly beforeMib: number[]
  readonly afterMib: number[]
  /** CPU of the agent afterwards, with nothing to do, milliseconds a second. */
  readonly idleMs: number[]
}

/** What the enrolment of a node's pods may take, milliseconds. */
const goalMs = 5_000

/** The section of RESULTS.md about enrolment. */
export function enrolReport(enrolments: readonly Enrolment[], { pods, busy }: { readonly pods: number; readonly busy: number }): string {
  const shown = (values: readonly number[], digits: number, per = 1): string => formatSpread(spreadOf(values.map((value) => value / per)), digits)
  const rows = enrolments.map(({ what, firstMs, allMs, cpuMs, beforeMib, afterMib, idleMs }) => [
    what, `≤ ${goalMs / 1000}`, shown(allMs, 2, 1000), spreadOf(allMs).median <= goalMs ? 'met' : '**missed**', shown(firstMs, 2, 1000), shown(cpuMs, 2, 1000), shown(beforeMib, 0), shown(afterMib, 0), shown(idleMs, 1),
  ])
  return [
    enrolHeading,
    `Written by \`npm run bench:enrol\`; ${process.version}, ${cpus().length} processors, ${cpuModel()}; median of ${enrolments[0]?.allMs.length ?? 0} rounds (least–greatest). From the label on a namespace with ${pods} pods on one node to the annotation \`waymark.dev/captured\` on the last of them: ` +
      'certificates, listeners, rules and the controller\'s answer, by a real agent and a real controller in network namespaces, on the same processors as a simulated API server. Both run from TypeScript, which costs memory that the image does not need.',
    markdownTable(['whose pods', 'wanted, s', `all ${pods}, s`, '', 'the first, s', 'CPU of the agent, s', 'its memory before, MiB', 'and after', 'CPU then, idle, ms a second'], rows),
    `The processors were in use to ${(busy * 100).toFixed(0)} %: others beside ours make these figures worse.`,
  ].join('\n\n') + '\n'
}
