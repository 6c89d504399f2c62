import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Entry } from '../../src/model/entries.ts'
import { translate } from '../../src/translate/translate.ts'
import type { AgentAnswer, AgentCommand, AgentOptions } from '../agent/agent.ts'
import { issueCertificates, trustDomain } from '../certificates.ts'
import { anyCpu, next, runBenchmark, startScript, stopAll, type Child } from '../children.ts'
import { compileSources, imageOptions } from '../compile.ts'
import { measuredDestination, measuredPath, namespace, resourcesOf, waypointName } from '../manifests.ts'
import { cpuMs, hasProcfs, systemBusyMs } from '../procfs.ts'
import { resultsFile, writeSection } from '../section.ts'
import type { ClientCommand, ClientResult } from './client.ts'
import { chainReport, ways, type Latencies, type Way } from './report.ts'
import { chainHeading } from './section.ts'

const help = `node bench/chain/main.ts [--quick] [--node PATH] [--rounds N] [--print]
  What the mesh adds to the time of a request: from pod to pod directly, through both agents, and through both agents and a waypoint.
  --quick      to see that everything runs; its figures mean nothing and are only printed
  --node PATH  another Node binary
  --print      print the section, do not write it into RESULTS.md
`

const connections = 32
const rate = 1_000

type Place = Pick<ClientCommand, 'host' | 'port'>

interface Chain {
  readonly places: Readonly<Record<Way, Place>>
  readonly client: Child
  readonly hops: Readonly<Record<'outbound' | 'waypoint' | 'inbound', Child>>
}

/** The application behind its agent, a waypoint before it, and two pods that send: one to the Service with the waypoint, one past it. */
async function startChain(directory: string, node: string): Promise<Chain> {
  const program = compileSources(join(directory, 'program'), ['bench/agent', 'bench/chain', 'bench/children.ts'])
  const start = (script: string, options: unknown): Promise<Child> => startScript(anyCpu, node, join(program, `bench/${script}.js`), options, imageOptions)
  const { client: credentials, proxy } = await issueCertificates(directory)
  const [host, port] = measuredDestination('one-route').authority.split(':')
  const startAgent = (): Promise<Child> => start('agent/agent', { credentials, pods: 1, going: { host: host ?? '', port: Number(port) } } satisfies AgentOptions)
  const inbound = await startAgent()
  const pod = await tell(inbound, {})
  const backend = await start('agent/backend', { host: pod.address })
  const to = { address: pod.address, port: backend.port, identity: pod.identity, hbonePort: pod.hbonePort }
  const waypoint = await start('chain/waypoint', { credentials: proxy })
  const entries = entriesOf(to, waypoint.port)
  await ask(waypoint, { entries })
  const [outbound, past] = [await startAgent(), await startAgent()]
  const [sender, other] = [await tell(outbound, { entries }), await tell(past, { to })]
  return {
    places: { direct: { host: pod.address, port: backend.port }, agents: { host: other.address, port: past.port }, chain: { host: sender.address, port: outbound.port } },
    client: await start('chain/client', {}),
    hops: { outbound, waypoint, inbound },
  }
}

/** The configuration that the objects of a namespace with a waypoint make, with the one endpoint behind an agent. */
function entriesOf(to: NonNullable<AgentCommand['to']>, waypointPort: number): Entry[] {
  const waypointAddresses = new Map([[`${namespace}/${waypointName}`, [{ host: '127.0.0.1', port: waypointPort }]]])
  const { snapshot } = translate(resourcesOf('one-route', to.port), { trustDomain, waypointAddresses })
  const endpoint = { address: to.address, port: to.port, condition: 'ready', transport: { kind: 'hbone', port: to.hbonePort ?? 15008, identity: to.identity } } as const
  return [...snapshot.values()].map((entry) => (entry.kind === 'endpoints' ? { ...entry, ports: entry.ports.map((each) => ({ ...each, endpoints: [endpoint] })) } : entry))
}

async function ask<T>({ process: child }: Child, message: object): Promise<T> {
  const answer = next<T>(child, 'a process of the benchmark', 120_000)
  child.send(message)
  return answer
}

const tell = (agent: Child, command: AgentCommand): Promise<AgentAnswer> => ask(agent, command)

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
  if (!hasProcfs()) throw new Error('processor time is read from /proc, which is not here; run it on Linux')
  const { quick, node } = values
  const [rounds, roundMs] = quick ? [1, 300] : [Number(values.rounds), 4_000]
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  try {
    const { places, client, hops } = await startChain(directory, node)
    const run = (way: Way, ms: number): Promise<ClientResult> => ask(client, { ...places[way], path: measuredPath, connections, rate, ms } satisfies ClientCommand)
    for (const way of ways) await run(way, quick ? 300 : 10_000)
    const none = (): Latencies => ({ p50: [], p99: [] })
    const figures = { direct: none(), agents: none(), chain: none() }
    const cpuUs = { outbound: [] as number[], waypoint: [] as number[], inbound: [] as number[] }
    let waited = 0
    let requests = 0
    const start = { wallMs: performance.now(), busyMs: systemBusyMs() }
    for (let round = 0; round < rounds; round++) {
      for (const way of [...ways.slice(round % ways.length), ...ways.slice(0, round % ways.length)]) {
        const before = { outbound: cpuMs(hops.outbound.pid), waypoint: cpuMs(hops.waypoint.pid), inbound: cpuMs(hops.inbound.pid) }
        const result = await run(way, roundMs)
        const { latencies } = result
        const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN
        figures[way].p50.push(at(0.5))
        figures[way].p99.push(at(0.99))
        waited += result.waited
        requests += latencies.length
        if (way === 'chain') for (const name of ['outbound', 'waypoint', 'inbound'] as const) cpuUs[name].push(((cpuMs(hops[name].pid) - before[name]) * 1000) / latencies.length)
      }
      process.stderr.write(`round ${round + 1} of ${rounds}: ${ways.map((way) => `${way} ${figures[way].p50.at(-1)?.toFixed(2) ?? ''} / ${figures[way].p99.at(-1)?.toFixed(2) ?? ''} ms`).join(' · ')}\n`)
    }
    const busy = (systemBusyMs() - start.busyMs) / ((performance.now() - start.wallMs) * cpus().length)
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
    const section = chainReport({ figures, cpuUs, waited: waited / requests, version, quick, rounds, roundMs, rate, connections, busy })
    process.stdout.write(section)
    if (!quick && !values.print) writeSection(resultsFile, chainHeading, section)
  } finally {
    stopAll()
    rmSync(directory, { recursive: true, force: true })
  }
}

runBenchmark(main)
