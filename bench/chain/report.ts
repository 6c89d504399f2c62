import { cpus } from 'node:os'
import { cpuModel } from '../procfs.ts'
import { formatSpread, markdownTable, spreadOf } from '../table.ts'
import { chainHeading } from './section.ts'

/** The ways that are compared: pod to pod, with both agents between, with both agents and a waypoint between. */
export const ways = ['direct', 'agents', 'chain'] as const
export type Way = (typeof ways)[number]

/** What one way took, round by round, milliseconds. */
export interface Latencies {
  readonly p50: number[]
  readonly p99: number[]
}

export interface ChainReportInput {
  readonly figures: Readonly<Record<Way, Latencies>>
  /** CPU microseconds for a request of the whole way, round by round. */
  readonly cpuUs: Readonly<Record<'outbound' | 'waypoint' | 'inbound', readonly number[]>>
  /** Share of all requests that had to wait for a connection, 0..1. */
  readonly waited: number
  readonly version: string
  readonly quick: boolean
  readonly rounds: number
  readonly roundMs: number
  readonly rate: number
  readonly connections: number
  /** Share of the processors that was in use, 0..1. */
  readonly busy: number
}

/** What both agents and a waypoint may add, milliseconds. */
const goals = { p50: 0.6, p99: 3 } as const

const names: Readonly<Record<Way, string>> = {
  direct: 'pod → pod', agents: 'pod → agent → agent → pod', chain: 'pod → agent → waypoint → agent → pod',
}

/** The section of RESULTS.md about the whole way. */
export function chainReport({ figures, cpuUs, waited, version, quick, rounds, roundMs, rate, connections, busy }: ChainReportInput): string {
  const added = (way: Way, of: keyof Latencies): readonly number[] => figures[way][of].map((value, round) => value - (figures.direct[of][round] ?? NaN))
  const rows = ways.map((way) => [
    names[way],
    ...(['p50', 'p99'] as const).flatMap((of) => [formatSpread(spreadOf(figures[way][of]), 2), way === 'direct' ? '' : formatSpread(spreadOf(added(way, of)), 2)]),
  ])
  const verdicts = (['p50', 'p99'] as const).map((of) => {
    const { median } = spreadOf(added('chain', of))
    return [`added at ${of}, ms`, `≤ ${goals[of]}`, median.toFixed(2), median <= goals[of] ? 'met' : '**missed**']
  })
  const cost = Object.entries(cpuUs).map(([name, values]) => `${name} ${formatSpread(spreadOf(values), 0)}`)
  return [
    chainHeading,
    ...(quick ? ['A quick run, to see that everything works: its figures mean nothing.'] : []),
    `Written by \`npm run bench:chain\`; ${version}, ${cpus().length} processors, ${cpuModel()}; median of ${rounds} rounds (least–greatest), in turns, ${roundMs / 1000} s of ${rate} requests a second each, over ${connections} kept connections. ` +
      'Everything runs on the same processors: client, application, two agents and a waypoint with a route that has a path, a filter and a timeout; policies, mutual TLS and metrics are on, code and options of Node are the image\'s. Loopback stands for the network.',
    markdownTable(['', 'p50 ms', 'added to p50', 'p99 ms', 'added to p99'], rows),
    markdownTable(['goal', 'wanted', 'got', ''], verdicts),
    `CPU µs for a request of the whole way: ${cost.join(', ')}; at so low a rate nothing is batched. The processors were in use to ${(busy * 100).toFixed(0)} %, and ${(waited * 100).toFixed(1)} % of the requests waited for a connection: ` +
      'others beside ours make all of these figures worse.',
  ].join('\n\n') + '\n'
}
