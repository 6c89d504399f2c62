import { cpus, release, totalmem } from 'node:os'
import packages from '../package.json' with { type: 'json' }
import { cpuModel } from './procfs.ts'
import type { ReloadResult, ReloadTimes } from './reload.ts'
import type { Measured } from './rounds.ts'
import { formatSpread, markdownTable, ratioOf, spreadOf, type Spread } from './table.ts'

/** A Node binary. */
export interface Runtime {
  readonly path: string
  readonly version: string
  /** `Node 24`. */
  readonly label: string
}

export interface RuntimeReload {
  readonly runtime: Runtime
  readonly result: ReloadResult
}

export interface ReportInput {
  readonly runtimes: readonly Runtime[]
  /** By the contestants' names, in the order of measurement. */
  readonly measured: ReadonlyMap<string, Measured>
  /** Share of the processors that other processes used meanwhile, 0..1. */
  readonly strangers: number
  readonly reload: readonly RuntimeReload[]
  readonly missing: readonly string[]
  /** Of the native proxies. */
  readonly versions: readonly string[]
  /** Too few requests for figures that mean anything. */
  readonly quick: boolean
  readonly requests: number
  readonly rounds: number
  readonly connections: number
}

/** What is to be reached. */
const goals = { cpuUs: 48, timesFewer: 1.6, reloadMs: 1_000, manyRoutes: 1.1 } as const

const verdict = (met: boolean): string => (met ? 'met' : '**missed**')

function series(input: ReportInput, name: string): readonly number[] {
  const found = input.measured.get(name)
  if (found === undefined) throw new Error(`${name} was not measured`)
  return found.cpuUs
}

/** The whole of RESULTS.md. */
export function report(input: ReportInput): string {
  return [
    '# Benchmark results',
    ...(input.quick ? ['A quick run, to see that everything works: its figures mean nothing.'] : []),
    'Written by `npm run bench`; read `bench/main.ts` for what is measured. Figures of one run on one machine: compare within a table, not between machines.',
    machine(input),
    '## CPU time of the proxy per request',
    requestsTable(input),
    ...input.missing.map((name) => `${name} was not installed and is left out.`),
    '## Goals',
    goalsTable(input),
    '## What we win and what we lose',
    comparison(input),
    ...(input.reload.length > 0 ? ['## Reload of 5,000 HTTPRoutes', reloadTable(input)] : []),
    '## What is measured, and what is not',
    method(input),
  ].join('\n\n') + '\n'
}

function machine({ runtimes, versions, strangers }: ReportInput): string {
  const lines = [
    `Date: ${new Date().toISOString().slice(0, 10)}`,
    `Machine: ${cpus().length} processors, ${cpuModel()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
    `Other processes used ${(strangers * 100).toFixed(0)} % of the processors meanwhile${strangers > 0.1 ? ': wide ranges come from them' : ''}`,
    `Versions: ${[...runtimes.map(({ version }) => `Node ${version.slice(1)}`), ...versions, `http-proxy-3 ${packages.dependencies['http-proxy-3']}`].join(', ')}`,
  ]
  return lines.map((line) => `- ${line}`).join('\n')
}

function requestsTable({ measured, requests, rounds, connections }: ReportInput): string {
  const table = markdownTable(
    ['proxy', 'µs CPU per request, median (min–max)', 'requests/s', 'processor in use'],
    [...measured].map(([name, { cpuUs, rate, busy }]) => [
      name, formatSpread(spreadOf(cpuUs), 1), spreadOf(rate).median.toFixed(0), `${(spreadOf(busy).median * 100).toFixed(0)} %`,
    ]),
  )
  return `${table}\n\n${connections} connections, ${requests} requests a round, ${rounds} rounds in turns, GET with a 13-byte answer.`
}

function goalsTable(input: ReportInput): string {
  const rows: string[][] = []
  for (const { label } of input.runtimes) {
    const own = series(input, `waymark (${label})`)
    const cpu = spreadOf(own)
    const fewer = ratioOf(series(input, `http-proxy-3 (${label})`), own)
    rows.push([`${label}: CPU per request`, `≤ ${goals.cpuUs} µs`, formatSpread(cpu, 1), verdict(cpu.median <= goals.cpuUs)])
    rows.push([`${label}: times fewer than http-proxy-3`, `≥ ${goals.timesFewer}`, formatSpread(fewer, 2), verdict(fewer.median >= goals.timesFewer)])
    for (const [name, what] of [['waymark, 5,000 Services', 'one each on 5,000 Services'], ['waymark, 5,000 on one', 'all on one Service']] as const) {
      const ratio = ratioOf(series(input, `${name} (${label})`), own)
      rows.push([`${label}: 5,000 routes, ${what}, against one route`, `≤ ${goals.manyRoutes}`, formatSpread(ratio, 2), verdict(ratio.median <= goals.manyRoutes)])
    }
    for (const times of input.reload.find(({ runtime }) => runtime.label === label)?.result.shapes ?? []) {
      const all = spreadOf(times.all)
      rows.push([`${label}: reload of 5,000 routes, ${shapeInWords(times)}`, `≤ ${goals.reloadMs} ms`, formatSpread(all, 0), verdict(all.median <= goals.reloadMs)])
    }
  }
  return markdownTable(['goal', 'wanted', 'got, median (min–max)', ''], rows)
}

const withNatives = 'What makes up for the difference between JavaScript and C is that tunnels share TLS records and system calls. The column with a session \
for each caller is the like for like: there nginx and HAProxy, written in C, are ahead, and both could be tuned further than here. Whoever needs nothing \
that a waypoint decides is better served by them.'
const withoutNatives = 'nginx and HAProxy, written in C, were not there to compare with; without a shared session they need less than a waypoint.'

function comparison(input: ReportInput): string {
  const rows: string[][] = []
  for (const { label } of input.runtimes) {
    for (const name of input.measured.keys()) {
      if (name.startsWith('waymark') || (name.includes('(Node') && !name.includes(label))) continue
      const against = (own: string): string => inWords(ratioOf(series(input, `${own} (${label})`), series(input, name)))
      rows.push([`${label}, against ${name.replace(/ \(.*/, '')}`, against('waymark'), against('waymark, 32 sessions')])
    }
  }
  return `${markdownTable(['CPU per request of a waypoint', 'callers share a session', 'a session for each caller'], rows)}

${input.versions.length === 0 ? withoutNatives : withNatives}`
}

/** @param ratio of ours to theirs */
function inWords({ median }: Spread): string {
  if (median > 0.95 && median < 1.05) return `about the same (${median.toFixed(2)})`
  return median < 1 ? `${(1 / median).toFixed(2)} times **less**` : `${median.toFixed(2)} times **more**`
}

function shapeInWords({ shape }: ReloadTimes): string {
  return shape === 'one-service' ? 'all on one Service' : 'one each on 5,000 Services'
}

function reloadTable({ reload }: ReportInput): string {
  const stages = [
    ['every route changed, until waypoint and entry run it', 'all'], ['its CPU time, garbage collection included', 'allCpu'],
    ['one route edited, until they run it', 'one'], ['its CPU time', 'oneCpu'],
    ['of this: translate', 'translate'], ['of this: compile, every rule new', 'compileAll'], ['of this: compile, one rule new', 'compileOne'],
  ] as const
  const columns = reload.flatMap(({ runtime, result }) => result.shapes.map((times) => ({ title: `${runtime.label}, ${shapeInWords(times)}`, times })))
  const rows = stages.map(([what, key]) => [what, ...columns.map(({ times }) => formatSpread(spreadOf(times[key]), 0))])
  const loads = reload.map(({ runtime, result }) => `${(result.loadMs / 1000).toFixed(1)} s (${runtime.label})`).join(', ')
  return `${markdownTable(['milliseconds, median (min–max)', ...columns.map(({ title }) => title)], rows)}

Before a first start from a folder come reading and validating: 15,002 objects in files of 1,000 took ${loads}; later only files that changed are read.`
}

function method({ versions }: ReportInput): string {
  return `- CPU time is the user and system time of the proxy's process with all its threads, from \`/proc/PID/task/*/schedstat\`. The proxy is pinned to one processor; the load generator and the backend (both small Node programs) to the other.
- One request is on its way on each connection at a time. Where the proxy did not fill its processor (last column), load generator and backend were the limit: its events then come in smaller bunches, which costs the faster proxies${versions.length > 0 ? ` (${versions.map((each) => each.split(' ')[0] ?? '').join(', ')})` : ''} something. The column of requests a second says nothing about what they can do at most.
- All use the same P-256 certificates and TLS 1.3 with TLS_AES_128_GCM_SHA256, and ask the client for its certificate. The waypoint gets 32 tunnels in one HBONE session, as from one node, and in a second row a session for each tunnel, as from 32 nodes; the others get 32 TLS connections, as they would from 32 workloads or one node without HBONE. That is a difference of the designs and part of the result.
- The waypoint matches a route, sets a header, checks and sets identity headers, arms a request timeout and counts metrics; access log and tracing are off. The others only pass the request on: no route, no identity header, no metrics.
- Reloads start from changed objects in memory and end when the waypoint and an entry in the same process run them. They wait for nothing, so their CPU time is about what they take on an idle machine. In a cluster a wire and watches come on top.
- Not measured: new sessions and handshakes, large bodies, HTTP/2 and gRPC, HBONE to the endpoint, latency, memory, more than one worker, and anything on more than one machine.`
}
