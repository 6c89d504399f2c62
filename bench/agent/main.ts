import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { issueCertificates, type Certificates } from '../certificates.ts'
import { anyCpu, aroundCpu, next, proxyCpu, runBenchmark, startScript, stop, stopAll, type Child } from '../children.ts'
import { compileSources, imageOptions } from '../compile.ts'
import { cpuMs, hasProcfs, peakMib, systemBusyMs } from '../procfs.ts'
import { resultsFile, writeSection } from '../section.ts'
import type { AgentAnswer, AgentCommand } from './agent.ts'
import type { LoadCommand, LoadResult } from './load.ts'
import { agentReport, noFigures, type BesideBulk, type Measured, type Memory } from './report.ts'
import { agentHeading } from './section.ts'

const help = `node bench/agent/main.ts [--quick] [--node PATH] [--rounds N] [--print]
  What the node agent's data plane costs: CPU of each end for a kept request, a new connection and bulk; small requests beside bulk;
  memory of captured pods. Plain sockets on loopback stand for the pods' namespaces.
  --quick      to see that everything runs; its figures mean nothing and are only printed
  --node PATH  another Node binary
  --print      print the section, do not write it into RESULTS.md
`

export type Side = 'outbound' | 'inbound'

interface Pair {
  /** The agent whose CPU time counts. */
  readonly measured: Child
  readonly load: Child
  readonly all: readonly Child[]
}

/** The scripts of this folder, compiled, and started as the image starts Node. */
interface Programs {
  readonly start: (cpu: string, script: 'agent' | 'bare' | 'backend' | 'load', options: unknown, nodeOptions?: readonly string[]) => Promise<Child>
}

function compile(directory: string, node: string): Programs {
  const program = compileSources(join(directory, 'program'), ['bench/agent', 'bench/children.ts'])
  return { start: (cpu, script, options, nodeOptions = []) => startScript(cpu, node, join(program, `bench/agent/${script}.js`), options, [...imageOptions, ...nodeOptions]) }
}

const connections = 32
const mib = 1024 * 1024

/** An outbound agent, an inbound one with its application, and a load; the agent that is measured has a processor of its own. */
async function startPair(side: Side, { start: begin }: Programs, { client, proxy }: Certificates, script: 'agent' | 'bare' = 'agent'): Promise<Pair> {
  const start = (which: Side): Promise<Child> =>
    begin(which === side ? proxyCpu : aroundCpu, script, { credentials: which === 'outbound' ? client : proxy, pods: 1 })
  const [outbound, inbound] = [await start('outbound'), await start('inbound')]
  const { address, identity, hbonePort } = await tell(inbound, {})
  const backend = await begin(aroundCpu, 'backend', { host: address })
  const { address: from } = await tell(outbound, { to: { address, port: backend.port, identity, hbonePort } })
  const load = await begin(aroundCpu, 'load', { host: from, port: outbound.port })
  return { measured: side === 'outbound' ? outbound : inbound, load, all: [load, backend, outbound, inbound] }
}

async function tell(agent: Child, command: AgentCommand): Promise<AgentAnswer> {
  const answer = next<AgentAnswer>(agent.process, 'agent', 30_000)
  agent.process.send(command)
  return answer
}

async function run({ load }: Pair, command: LoadCommand): Promise<LoadResult> {
  const answer = next<LoadResult>(load.process, command.kind, 180_000)
  load.process.send(command)
  return answer
}

/** @returns CPU time of the measured agent, milliseconds */
async function cpuOfRun(pair: Pair, command: LoadCommand): Promise<number> {
  const before = cpuMs(pair.measured.pid)
  await run(pair, command)
  return cpuMs(pair.measured.pid) - before
}

/** The agent and the bare legs in turns, so that what disturbs one disturbs the other. */
async function measureCosts(side: Side, programs: Programs, certificates: Certificates, quick: boolean, rounds: number, say: (line: string) => void): Promise<Measured> {
  const pairs = { agent: await startPair(side, programs, certificates), bare: await startPair(side, programs, certificates, 'bare') }
  const figures = { agent: noFigures(), bare: noFigures() }
  const [requests, churned, bytes] = quick ? [500, 100, 16 * mib] : [8_000, 1_600, 256 * mib]
  for (const pair of Object.values(pairs)) {
    await run(pair, { kind: 'keep-alive', connections, requests: quick ? 100 : 20_000 })
    await run(pair, { kind: 'churn', connections: 8, total: quick ? 50 : 2_000 })
    await run(pair, { kind: 'down', connections: 4, bytes })
  }
  const names = ['agent', 'bare'] as const
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const [pair, { requestUs, connectionUs, downMBs, upMBs }] = [pairs[name], figures[name]]
      requestUs.push((await cpuOfRun(pair, { kind: 'keep-alive', connections, requests }) * 1000) / requests)
      connectionUs.push((await cpuOfRun(pair, { kind: 'churn', connections: 8, total: churned }) * 1000) / churned)
      downMBs.push(bytes / 1e3 / (await cpuOfRun(pair, { kind: 'down', connections: 4, bytes })))
      upMBs.push(bytes / 1e3 / (await cpuOfRun(pair, { kind: 'up', connections: 4, bytes })))
      const last = Object.entries<readonly number[]>({ ...figures[name] }).map(([what, values]) => `${what} ${values.at(-1)?.toFixed(1) ?? ''}`)
      say(`${side}, ${name}, round ${round + 1} of ${rounds}: ${last.join(' · ')}`)
    }
  }
  const peaks = { agent: peakMib(pairs.agent.measured.pid), bare: peakMib(pairs.bare.measured.pid) }
  for (const pair of Object.values(pairs)) for (const child of pair.all) stop(child)
  return { ...figures, peakMib: peaks }
}

async function measureBeside(programs: Programs, certificates: Certificates, quick: boolean): Promise<readonly BesideBulk[]> {
  const found: BesideBulk[] = []
  for (const [name, bulk, bulkFirst] of [['alone', 0, true], ['opened after the bulk', 4, true], ['opened before the bulk, in its session', 4, false]] as const) {
    const pair = await startPair('outbound', programs, certificates)
    await run(pair, { kind: 'keep-alive', connections: 4, requests: quick ? 50 : 5_000 })
    const { ms, latencies = [], bulkBytes = 0 } = await run(pair, { kind: 'beside', connections: 8, bulk, bulkFirst, ms: quick ? 200 : 4_000 })
    const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN
    found.push({ name, requests: latencies.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), bulkMBs: bulkBytes / 1e3 / ms })
    for (const child of pair.all) stop(child)
  }
  return found
}

async function measureMemory({ start }: Programs, { client }: Certificates, quick: boolean): Promise<Memory> {
  const sizes: number[] = []
  const many = quick ? 20 : 200
  for (const pods of [1, many + 1]) {
    const agent = await start(anyCpu, 'agent', { credentials: client, pods }, ['--expose-gc'])
    sizes.push((await tell(agent, {})).rss)
    stop(agent)
  }
  const [one = NaN, all = NaN] = sizes
  return { baseMiB: one / mib, podKiB: (all - one) / many / 1024, pods: many }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'quick': { type: 'boolean', default: false }, 'node': { type: 'string', default: process.execPath }, 'rounds': { type: 'string', default: '10' },
      'print': { type: 'boolean', default: false }, 'help': { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    return
  }
  if (!hasProcfs() || cpus().length < 2) throw new Error('the benchmark needs Linux with /proc and two processors: one for the agent, one for the rest')
  const { quick, node } = values
  const rounds = quick ? 1 : Number(values.rounds)
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  try {
    const certificates = await issueCertificates(directory)
    const programs = compile(directory, node)
    const start = { wallMs: performance.now(), busyMs: systemBusyMs() }
    const outbound = await measureCosts('outbound', programs, certificates, quick, rounds, say)
    const inbound = await measureCosts('inbound', programs, certificates, quick, rounds, say)
    const busy = (systemBusyMs() - start.busyMs) / ((performance.now() - start.wallMs) * cpus().length)
    const load = loadavg()[0] ?? NaN
    const beside = await measureBeside(programs, certificates, quick)
    const memory = await measureMemory(programs, certificates, quick)
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
    const section = agentReport({ outbound, inbound, beside, memory, version, quick, rounds, connections, busy, load })
    process.stdout.write(section)
    if (!quick && !values.print) writeSection(resultsFile, agentHeading, section)
  } finally {
    stopAll()
    rmSync(directory, { recursive: true, force: true })
  }
}

runBenchmark(main)
