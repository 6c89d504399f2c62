import { cpus } from 'node:os'
import { cpuModel } from '../procfs.ts'
import { formatSpread, markdownTable, ratioOf, spreadOf } from '../table.ts'
import { agentHeading } from './section.ts'

/** What one end costs, round by round. */
export interface AgentFigures {
  /** CPU microseconds for a request on a kept connection. */
  readonly requestUs: number[]
  /** CPU microseconds for a new connection with one request. */
  readonly connectionUs: number[]
  /** Megabytes per second of CPU time, to the client and from it. */
  readonly downMBs: number[]
  readonly upMBs: number[]
}

export function noFigures(): AgentFigures {
  return { requestUs: [], connectionUs: [], downMBs: [], upMBs: [] }
}

/** The agent, and both legs without anything else, in the same rounds. */
export interface Measured {
  readonly agent: AgentFigures
  readonly bare: AgentFigures
  /** The most memory that either held under all of this load, MiB. */
  readonly peakMib: { readonly agent: number; readonly bare: number }
}

/** Small requests beside bulk transfers between the same two pods. */
export interface BesideBulk {
  readonly name: string
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Megabytes a second that the transfers moved meanwhile. */
  readonly bulkMBs: number
}

export interface Memory {
  /** Resident set of an agent with one captured pod. */
  readonly baseMiB: number
  /** What each further captured pod adds, without traffic. */
  readonly podKiB: number
  readonly pods: number
}

export interface AgentReportInput {
  readonly outbound: Measured
  readonly inbound: Measured
  readonly beside: readonly BesideBulk[]
  readonly memory: Memory
  readonly version: string
  readonly quick: boolean
  readonly rounds: number
  readonly connections: number
  /** Share of the processors that was in use, 0..1, and how many processes wanted one. */
  readonly busy: number
  readonly load: number
}

/** What is to be reached. */
const goals = { requestUs: 20, connectionUs: 220, bulkMBs: 650, baseMiB: 80, podKiB: 60 } as const

const verdict = (met: boolean): string => (met ? 'met' : '**missed**')

/** The section of RESULTS.md about the node agent. */
export function agentReport({ outbound, inbound, beside, memory, version, quick, rounds, connections, busy, load }: AgentReportInput): string {
  const rows: string[][] = []
  for (const [name, { agent, bare, peakMib }] of [['outbound', outbound], ['inbound', inbound]] as const) {
    const add = (what: string, of: keyof AgentFigures, goal: string, met: (median: number) => boolean, digits: number): void => {
      const spread = spreadOf(agent[of])
      rows.push([`${name}: ${what}`, goal, formatSpread(spread, digits), formatSpread(spreadOf(bare[of]), digits), formatSpread(ratioOf(agent[of], bare[of]), 2), verdict(met(spread.median))])
    }
    add(`CPU µs per request, ${connections} kept connections`, 'requestUs', `≤ ${goals.requestUs}`, (value) => value <= goals.requestUs, 1)
    add('CPU µs per new connection with one request', 'connectionUs', `≤ ${goals.connectionUs}`, (value) => value <= goals.connectionUs, 0)
    add('bulk to the client, MB/s per core', 'downMBs', `≥ ${goals.bulkMBs}`, (value) => value >= goals.bulkMBs, 0)
    add('bulk from the client, MB/s per core', 'upMBs', `≥ ${goals.bulkMBs}`, (value) => value >= goals.bulkMBs, 0)
    rows.push([`${name}: memory at most, under this load, MiB`, '', peakMib.agent.toFixed(0), peakMib.bare.toFixed(0), (peakMib.agent / peakMib.bare).toFixed(2), ''])
  }
  rows.push(['memory with one captured pod, without traffic, MiB', `≤ ${goals.baseMiB}`, memory.baseMiB.toFixed(0), '', '', verdict(memory.baseMiB <= goals.baseMiB)])
  rows.push([`memory of each further one, of ${memory.pods}, KiB`, `≤ ${goals.podKiB}`, memory.podKiB.toFixed(0), '', '', verdict(memory.podKiB <= goals.podKiB)])
  return [
    agentHeading,
    ...(quick ? ['A quick run, to see that everything works: its figures mean nothing.'] : []),
    `Written by \`npm run bench:agent\`; ${version}, ${cpus().length} processors, ${cpuModel()}; median of ${rounds} rounds (least–greatest). Policies and metrics are on, one agent at a time has a processor of its own. Plain sockets on loopback stand ` +
      'for the pods\' namespaces: what the kernel adds there (`setns`, `SO_ORIGINAL_DST`, redirects, the client\'s source address) is not in these figures.',
    markdownTable(['', 'wanted', 'agent', 'bare legs', 'agent / bare, round by round', ''], rows),
    `The bare legs are a socket, an HBONE tunnel and a splice, without decision, judgement, metrics and records: what they cost, HTTP/2, TLS and the kernel do. Meanwhile the processors were in use to ${(busy * 100).toFixed(0)} % and ${load.toFixed(0)} ` +
      'processes wanted one at the end: others beside ours make all figures of CPU time worse, but not the ratios.',
    'Code and options of Node are those of the image. Memory without traffic is what is left after a collection; an agent lets some 64 MiB of read buffers gather between two, for the CPU time that collections of bulk would take. Not measured: more than one worker.',
    'Small requests beside four bulk transfers between the same two pods, both agents and all else on two processors. New connections keep away from sessions with bulk in them:',
    markdownTable(['8 kept connections, one request each at a time', 'requests/s', 'p50 ms', 'p99 ms', 'max ms', 'bulk MB/s'],
      beside.map(({ name, requests, p50Ms, p99Ms, maxMs, bulkMBs }) => [name, (requests / 4).toFixed(0), p50Ms.toFixed(2), p99Ms.toFixed(2), maxMs.toFixed(1), bulkMBs.toFixed(0)])),
  ].join('\n\n') + '\n'
}
