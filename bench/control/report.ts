import { cpus, release, totalmem } from 'node:os'
import { cpuModel } from '../procfs.ts'
import { formatSpread, markdownTable, spreadOf } from '../table.ts'
import { podMemory } from './programs.ts'
import { controlHeading } from './section.ts'
import { servicesOf, type WorldSize } from './world.ts'

/** The controller over some seconds. */
export interface Rate {
  /** Share of one processor, 0..1 and above. */
  readonly cores: number
  /** Share of all processors that other processes used meanwhile, 0..1. */
  readonly strangers: number
  /** MiB. */
  readonly memory: { readonly now: number; readonly peak: number }
  /** Endpoint changes that were made. */
  readonly changes: number
  readonly seconds: number
  /** To all subscribers, TLS and all. */
  readonly bytes: number
  /** To the API server, but for Events. */
  readonly writes: number
  readonly events: number
}

export interface ControlResults {
  readonly size: WorldSize
  /** The first start of all, when no object has a status yet. */
  readonly first: ControlResults['starts'][number]
  /**
   * Later ones: from the start of the process until one subscriber had its first snapshot, until every one had, and the controller's
   * processor time until then, milliseconds.
   */
  readonly starts: readonly { readonly firstMs: number; readonly tookMs: number; readonly cpuMs: number; readonly strangers: number }[]
  /** Entries of all first snapshots together. */
  readonly entries: number
  readonly subscribers: number
  readonly quiet: Rate
  /** Milliseconds from a write to the subscriber, each edit; the controller's processor time for an edit. */
  readonly route: { readonly times: readonly number[]; readonly cpuMs: number; readonly strangers: number }
  readonly churn: Rate
  readonly waypoint: { readonly samples: readonly number[]; readonly peak: number }
}

/** What is to be reached. */
const goals = { startMs: 5_000, p50Ms: 20, p99Ms: 60, memory: 350, cores: 0.25, bytesEach: 5_000, waypointMemory: 110 } as const

/** The value below which that share of `values` lies. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? NaN
}

/** The section of RESULTS.md about the control plane. */
export function controlReport(results: ControlResults, quick: boolean): string {
  const { size, churn, quiet, waypoint } = results
  const namespaces = Array.from({ length: size.namespaces }, (_, index) => index)
  const services = namespaces.reduce((sum, index) => sum + servicesOf(size, index), 0)
  const routes = services * size.routesEach
  return [
    controlHeading,
    ...(quick ? ['A quick run, to see that everything works: its figures mean nothing.'] : []),
    `Written by \`npm run bench:control\`: ${size.namespaces} namespaces with a waypoint each, ${services} Services, ${services * size.podsEach} pods with an endpoint each, \
${routes} HTTPRoutes (a fifth of them consumer routes), served by a simulated API server in a process of its own to a real \`waymark controller\`, with ${results.subscribers} subscribers over mTLS in a third process. \
Node has the options of the image, and the heap that it takes in a pod with the chart's limit of ${podMemory} MiB.`,
    [
      `- Date: ${new Date().toISOString().slice(0, 10)}`,
      `- Machine: ${cpus().length} processors, ${cpuModel()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.versions.node}`,
      `- Other processes used ${meanwhile(results)} of the processors meanwhile: times grow with that, processor time hardly`,
    ].join('\n'),
    goalsTable(results),
    `The controller's processor time: ${formatSpread(spreadOf(results.starts.map(({ cpuMs }) => cpuMs)), 0)} ms for a start, \
${results.route.cpuMs.toFixed(1)} ms for a route edit, \
statuses and signs of life included, ${((churn.cores / churn.changes) * churn.seconds * 1000).toFixed(1)} ms for an endpoint change. \
The first start of all, when ${routes} routes have no status yet and all of them are written meanwhile, took ${results.first.tookMs.toFixed(0)} ms, ${results.first.cpuMs.toFixed(0)} ms of it processor time.`,
    `In a quiet minute the controller uses ${(quiet.cores * 100).toFixed(1)} % of a processor and writes ${quiet.writes} times, but for ${quiet.events} Events. Its memory was ${churn.memory.peak.toFixed(0)} MiB at most, \
when it started; the waypoint's ${waypoint.peak.toFixed(0)} MiB. One changed endpoint sends ${perChange(results).toFixed(0)} bytes to all subscribers together, of which those get it that have the \
Service in their slice: its own namespace's waypoint and one with consumer routes to it.`,
    lost,
  ].join('\n\n') + '\n'
}

const lost = `What is lost against the ideal, and what is not measured here:

- A route that changes travels with its whole table (all rules of one level on one Service port), an endpoint with all endpoints of its Service: the entry is the unit that travels.
- A change waits for its neighbours for a moment (debounce) before it is translated; under a stream of changes without a pause that is the greater part of the time.
- One namespace's edit costs the controller a pass over the keys of the whole cluster, though not over its content.
- The simulated API server answers faster than a real one with etcd behind it, and everything runs on one machine, on loopback.
- The leader's writes of statuses and Events after a first start (some for each route) are not within the figures for steady state.`

function perChange({ churn, quiet }: ControlResults): number {
  // What is sent anyway, as signs of life, is not the changes'.
  return (churn.bytes - (quiet.bytes / quiet.seconds) * churn.seconds) / churn.changes
}

/** What others used, in the parts whose times count. */
function meanwhile({ starts, route, churn }: ControlResults): string {
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
  return `${formatSpread(spreadOf(starts.map(({ strangers }) => strangers * 100)), 0)} % (starts), ${percent(route.strangers)} (route edits), ${percent(churn.strangers)} (endpoint changes)`
}

function goalsTable(results: ControlResults): string {
  const { starts, route, churn, waypoint } = results
  const row = (goal: string, wanted: string, got: string, met: boolean): readonly string[] => [goal, wanted, got, met ? 'met' : '**missed**']
  const [start, all] = [spreadOf(starts.map(({ firstMs }) => firstMs)), spreadOf(starts.map(({ tookMs }) => tookMs))]
  const [p50, p99] = [quantile(route.times, 0.5), quantile(route.times, 0.99)]
  const memory = spreadOf(waypoint.samples)
  const bytes = perChange(results)
  return markdownTable(['goal', 'wanted', 'got', ''], [
    row('start of the process until a subscriber has its first full configuration', `≤ ${goals.startMs} ms`, formatSpread(start, 0), start.median <= goals.startMs),
    [`the same, until all ${results.subscribers} have theirs`, '', formatSpread(all, 0), ''],
    row('one route edit a second, until the subscriber has it: p50', `≤ ${goals.p50Ms} ms`, p50.toFixed(1), p50 <= goals.p50Ms),
    row('the same: p99', `≤ ${goals.p99Ms} ms`, p99.toFixed(1), p99 <= goals.p99Ms),
    row('processors at ten endpoint changes a second', `≤ ${goals.cores}`, churn.cores.toFixed(3), churn.cores <= goals.cores),
    row('memory of the controller then (RSS)', `≤ ${goals.memory} MiB`, churn.memory.now.toFixed(0), churn.memory.now <= goals.memory),
    row('bytes sent for one changed endpoint, all subscribers together', `≤ ${goals.bytesEach}`, bytes.toFixed(0), bytes <= goals.bytesEach),
    row('memory of a waypoint of the largest namespace (RSS)', `≤ ${goals.waypointMemory} MiB`, formatSpread(memory, 0), memory.median <= goals.waypointMemory),
  ])
}
