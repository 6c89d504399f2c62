import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { KubeObject } from '../../src/kube/object.ts'
import { install } from '../../src/model/install.ts'
import { anyCpu, startScript, stop, stopAll, type Child } from '../children.ts'
import { compileSources } from '../compile.ts'
import { cpuMs, hasProcfs } from '../procfs.ts'
import { watchStrangers } from './strangers.ts'
import type { ApiCommand, ApiDone } from './api.ts'
import { monotonicMs, sleep } from './clock.ts'
import { endPrograms, freePort, memoryOf, nodeOptions, startProgram, type Program } from './programs.ts'
import { controlReport, type ControlResults, type Rate } from './report.ts'
import { writeSection } from '../section.ts'
import { controlHeading } from './section.ts'
import type { SubscribersCommand, SubscribersEvent, SubscribersOptions } from './subscribers.ts'
import { goalSize, namespaceName, quickSize, type WorldSize } from './world.ts'

const help = `node bench/control/main.ts [--quick] [--out FILE] [--log FILE]
  The control plane of a large cluster, with a simulated API server: time to the first configuration, propagation of a change,
  processor time and memory. Replaces its section of FILE (default bench/RESULTS.md).
  --quick  a small cluster for a few seconds, to see that everything runs; its figures mean nothing and are only printed
  --log    what the processes say goes there and stays
`

const trustDomain = 'cluster.local'

interface Plan {
  readonly size: WorldSize
  readonly starts: number
  /** Edits of a route, one a second. */
  readonly edits: number
  /** Seconds of ten endpoint changes a second. */
  readonly churnSeconds: number
  readonly quietSeconds: number
}

const plans = {
  full: { size: goalSize, starts: 3, edits: 100, churnSeconds: 30, quietSeconds: 60 },
  quick: { size: quickSize, starts: 1, edits: 5, churnSeconds: 3, quietSeconds: 3 },
} as const satisfies Record<string, Plan>

/** What every step works with. */
interface Bench {
  readonly plan: Plan
  readonly directory: string
  readonly log: string
  readonly main: string
  readonly api: Child
  readonly port: number
}

/** Sends a command and waits for its answer; one at a time. */
async function ask(child: Child, command: ApiCommand): Promise<ApiDone> {
  const answer = new Promise<ApiDone>((resolve, reject) => {
    child.process.once('message', (message) => resolve(message as ApiDone))
    setTimeout(() => reject(new Error('the API server process does not answer')), 30_000).unref()
  })
  child.process.send(command)
  return answer
}

/** The next event of a type, or undefined after `timeoutMs`. */
function eventOf<T extends SubscribersEvent['type']>(
  child: Child, type: T, timeoutMs: number, fits: (event: Extract<SubscribersEvent, { type: T }>) => boolean = () => true,
): Promise<Extract<SubscribersEvent, { type: T }> | undefined> {
  return new Promise((resolve) => {
    const settle = (event: Extract<SubscribersEvent, { type: T }> | undefined): void => {
      clearTimeout(timer)
      child.process.off('message', listen)
      resolve(event)
    }
    const listen = (message: unknown): void => {
      const event = message as SubscribersEvent
      if (event.type === type && fits(event as Extract<SubscribersEvent, { type: T }>)) settle(event as Extract<SubscribersEvent, { type: T }>)
    }
    const timer = setTimeout(() => settle(undefined), timeoutMs)
    child.process.on('message', listen)
  })
}

function startController({ main, directory, log, port }: Bench): Program {
  const none = ['--admin-port', '--metrics-port', '--ready-port'].flatMap((option) => [option, 'none'])
  const command = [process.execPath, ...nodeOptions, main, 'controller', '--pod', 'bench', '--image', 'none', '--host', '127.0.0.1', '--control-port', String(port), ...none]
  return startProgram(command, { KUBECONFIG: join(directory, 'kubeconfig') }, log)
}

function startWaypoint({ main, directory, log, port }: Bench): Program {
  const ports = ['--admin-port', 'none', '--metrics-port', 'none', '--ready-port', 'none', '--hbone-port', '0', '--host', '127.0.0.1']
  const files = ['--token-file', join(directory, 'token-0'), '--bundle-file', join(directory, 'bundle.pem'), '--state', join(directory, 'waypoint-state')]
  const who = ['--namespace', namespaceName(0), '--name', 'waypoint', '--pod', 'bench-waypoint', '--controller', `127.0.0.1:${port}`]
  mkdirSync(join(directory, 'waypoint-state'))
  return startProgram([process.execPath, ...nodeOptions, main, 'waypoint', ...who, ...files, ...ports], {}, log)
}

/** The first start makes the CA; everybody else needs its bundle. */
async function makeCa(bench: Bench): Promise<void> {
  const controller = startController(bench)
  const url = `http://127.0.0.1:${bench.api.port}/api/v1/namespaces/${install.namespace}/configmaps/${install.bundleConfigMap}`
  for (let tries = 0; tries < 300; tries++) {
    const answer = await fetch(url)
    if (answer.ok) {
      const { data } = (await answer.json()) as KubeObject & { readonly data: Readonly<Record<string, string>> }
      writeFileSync(join(bench.directory, 'bundle.pem'), data[install.bundleKey] ?? '')
      await controller.end()
      return
    }
    if (controller.ended()) break
    await sleep(100)
  }
  throw new Error(`the controller makes no trust bundle; it said:\n${readFileSync(bench.log, 'utf8').slice(-2000)}`)
}

interface Start {
  readonly controller: Program
  readonly subscribers: Child
  /** Until the first of them had its snapshot, and until all had. */
  readonly firstMs: number
  readonly tookMs: number
  /** Processor time of the controller until then, milliseconds. */
  readonly cpuMs: number
  /** Share of all processors that others used meanwhile. */
  readonly strangers: number
  readonly entries: number
}

/** Starts a controller while subscribers wait for it. */
async function firstSnapshot(bench: Bench): Promise<Start> {
  const { plan, directory, port } = bench
  const options: SubscribersOptions = {
    trustDomain, controllerPort: port, bundleFile: join(directory, 'bundle.pem'), directory: mkdtempSync(join(directory, 'subscribers-')),
    namespaces: Array.from({ length: plan.size.namespaces }, (_, index) => index),
  }
  for (const namespace of options.namespaces) {
    const { token } = await ask(bench.api, { type: 'token', namespace, pod: `bench-${namespace}` })
    writeFileSync(join(options.directory, `token-${namespace}`), token ?? '')
    mkdirSync(join(options.directory, `state-${namespace}`))
  }
  const subscribers = await startScript(anyCpu, process.execPath, 'control/subscribers.ts', options)
  subscribers.process.on('message', (event: SubscribersEvent) => {
    if (event.type === 'trouble') writeFileSync(bench.log, `subscriber: ${event.message}\n`, { flag: 'a' })
  })
  const first = eventOf(subscribers, 'first', 120_000)
  const startedMs = monotonicMs()
  const controller = startController(bench)
  const strangers = watchStrangers([process.pid, bench.api.pid, subscribers.pid], [controller.pid])
  subscribers.process.send({ type: 'join' } satisfies SubscribersCommand)
  const event = await first
  if (event === undefined) throw new Error(`not every subscriber got a snapshot; the log ends with:\n${readFileSync(bench.log, 'utf8').slice(-3000)}`)
  return { controller, subscribers, firstMs: event.firstAtMs - startedMs, tookMs: event.atMs - startedMs, cpuMs: cpuMs(controller.pid), strangers: strangers(), entries: event.entries }
}

/** Edits one route a second. */
async function propagation({ api, plan }: Bench, controller: Program, subscribers: Child): Promise<ControlResults['route']> {
  const times: number[] = []
  const strangers = watchStrangers([process.pid, api.pid, subscribers.pid, controller.pid])
  const cpuBefore = cpuMs(controller.pid)
  for (let edition = 1; edition <= plan.edits; edition++) {
    const arrived = eventOf(subscribers, 'edition', 30_000, (event) => event.edition === edition)
    const { atMs } = await ask(api, { type: 'route', edition })
    const event = await arrived
    if (event === undefined) throw new Error(`edition ${edition} did not arrive within 30 s`)
    times.push(event.atMs - atMs)
    await sleep(Math.max(0, 1000 - (monotonicMs() - atMs)))
  }
  return { times, cpuMs: (cpuMs(controller.pid) - cpuBefore) / plan.edits, strangers: strangers() }
}

async function bytesOf(subscribers: Child): Promise<number> {
  const answer = eventOf(subscribers, 'bytes', 10_000)
  subscribers.process.send({ type: 'bytes' } satisfies SubscribersCommand)
  return (await answer)?.bytes ?? NaN
}

/** Measures the controller for some seconds in which `changes` endpoint changes a second are made. */
async function rateOf({ api }: Bench, controller: Program, subscribers: Child, seconds: number, changes: number): Promise<Rate> {
  const [cpuBefore, bytesBefore, before] = [cpuMs(controller.pid), await bytesOf(subscribers), await ask(api, { type: 'count' })]
  const strangers = watchStrangers([process.pid, api.pid, subscribers.pid, controller.pid])
  const startedMs = monotonicMs()
  for (let step = 0; step < seconds * changes; step++) {
    await sleep(Math.max(0, startedMs + (step * 1000) / changes - monotonicMs()))
    await ask(api, { type: 'endpoint', step })
  }
  await sleep(Math.max(0, startedMs + seconds * 1000 - monotonicMs()))
  const elapsedMs = monotonicMs() - startedMs
  const after = await ask(api, { type: 'count' })
  const cores = (cpuMs(controller.pid) - cpuBefore) / elapsedMs
  return {
    cores, strangers: strangers(), memory: memoryOf(controller.pid), changes: seconds * changes, seconds: elapsedMs / 1000,
    bytes: (await bytesOf(subscribers)) - bytesBefore, writes: after.writes - before.writes, events: after.events - before.events,
  }
}

/** Memory of a real waypoint that serves the large namespace. */
async function waypointMemory(bench: Bench): Promise<ControlResults['waypoint']> {
  const { token } = await ask(bench.api, { type: 'token', namespace: 0, pod: 'bench-waypoint' })
  writeFileSync(join(bench.directory, 'token-0'), token ?? '')
  const waypoint = startWaypoint(bench)
  const samples: number[] = []
  for (let second = 0; second < 20; second++) {
    await sleep(1000)
    if (waypoint.ended()) throw new Error(`the waypoint ended; the log ends with:\n${readFileSync(bench.log, 'utf8').slice(-2000)}`)
    if (second >= 10) samples.push(memoryOf(waypoint.pid).now)
  }
  const { peak } = memoryOf(waypoint.pid)
  await waypoint.end()
  return { samples, peak }
}

/** Waits until nothing is written any more. */
async function settled({ api }: Bench): Promise<void> {
  for (let before = -1, tries = 0; tries < 120; tries++) {
    const { writes } = await ask(api, { type: 'count' })
    if (writes === before) return
    before = writes
    await sleep(2000)
  }
}

async function measure(bench: Bench): Promise<ControlResults> {
  const { plan } = bench
  await makeCa(bench)
  const end = async ({ controller, subscribers }: Start): Promise<void> => {
    await controller.end()
    stop(subscribers)
  }
  // The first start of all finds no statuses and writes thousands; later ones, and all that is measured afterwards, find them in place.
  const first = await firstSnapshot(bench)
  await settled(bench)
  await end(first)
  const starts: Start[] = []
  for (let start = 0; start < plan.starts; start++) {
    const last = starts.at(-1)
    if (last !== undefined) await end(last)
    starts.push(await firstSnapshot(bench))
  }
  const running = starts.at(-1)
  if (running === undefined) throw new Error('the plan has no start')
  const { controller, subscribers, entries } = running
  console.error(`first snapshot after ${starts.map(({ firstMs, tookMs }) => `${firstMs.toFixed(0)} (all: ${tookMs.toFixed(0)})`).join(', ')} ms, at the very first start after ${first.tookMs.toFixed(0)} ms`)
  await settled(bench)
  const quiet = await rateOf(bench, controller, subscribers, plan.quietSeconds, 0)
  const route = await propagation(bench, controller, subscribers)
  const churn = await rateOf(bench, controller, subscribers, plan.churnSeconds, 10)
  const waypoint = await waypointMemory(bench)
  return { size: plan.size, first, starts, entries, subscribers: plan.size.namespaces, quiet, route, churn, waypoint }
}

async function run(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, out: { type: 'string', default: 'bench/RESULTS.md' }, log: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } } })
  if (values.help) {
    process.stdout.write(help)
    return
  }
  if (!hasProcfs()) throw new Error('processor time and memory are read from /proc, which is not here; run it on Linux')
  const plan: Plan = values.quick ? plans.quick : plans.full
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  try {
    const main = join(compileSources(join(directory, 'program')), 'src/cli/main.js')
    const api = await startScript(anyCpu, process.execPath, 'control/api.ts', plan.size)
    const { config } = await ask(api, { type: 'config' })
    writeFileSync(join(directory, 'kubeconfig'), config ?? '')
    const results = await measure({ plan, directory, log: values.log ?? join(directory, 'log'), main, api, port: await freePort() })
    const section = controlReport(results, values.quick)
    process.stdout.write(section)
    if (!values.quick) writeSection(values.out, controlHeading, section)
  } finally {
    endPrograms()
    stopAll()
    rmSync(directory, { recursive: true, force: true })
  }
}

await run()
