import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { issueCertificates } from './certificates.ts'
import { anyCpu, runBenchmark, startScript, stop, stopAll, type Child } from './children.ts'
import { loadOf } from './load-commands.ts'
import { measuredDestination, measuredPath, type Shape } from './manifests.ts'
import { measureInTurns, type Contestant } from './rounds.ts'
import { formatSpread, markdownTable, ratioOf, spreadOf } from './table.ts'

const help = `node bench/workers.ts [--rounds N]
  CPU per request of a waypoint with one worker and with two, and memory with one, two and three. It only prints.
  Waypoint, load generator and backend share all processors: ratios mean something, the figures themselves little.
`

/** As the image starts Node. */
const nodeOptions = ['--max-semi-space-size=8']
const connections = 32
const workerCounts = [1, 2, 3] as const
const shapes: readonly { readonly shape: Shape; readonly words: string }[] = [{ shape: 'one-route', words: 'one route' }, { shape: 'many-services', words: '5,000 Services with a route each' }]

/** Memory of a process that is resident, MiB. Source: proc_pid_status(5). */
function residentMiB({ pid }: Child): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' }, help: { type: 'boolean', default: false } } })
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  try {
    const { client, proxy: credentials } = await issueCertificates(directory)
    const backend = await startScript(anyCpu, process.execPath, 'backend.ts', {})
    const loadChild = await startScript(anyCpu, process.execPath, 'load.ts', { credentials: client })
    const load = loadOf(loadChild)
    const memory: string[][] = []
    for (const { shape, words } of shapes) {
      const contestants: Contestant[] = []
      for (const workers of workerCounts) {
        const child = await startScript(anyCpu, process.execPath, 'proxies/waymark.ts', { credentials, shape, backendPort: backend.port, workers }, nodeOptions)
        const { service, authority } = measuredDestination(shape)
        const name = `${words}, ${workers}`
        // A session for each caller: one alone would go to one thread.
        await load.open(name, { kind: 'hbone', port: child.port, path: measuredPath, hostHeader: `${service}.bench`, authority, peer: credentials.identity, sessions: 'one-each' }, connections)
        contestants.push({ name, child })
      }
      const { measured } = await measureInTurns(contestants, load, { warmUp: 20_000, requests: 6_000, rounds: Number(values.rounds), around: [backend, loadChild], say })
      const [one = [], two = [], three = []] = [...measured.values()].map(({ cpuUs }) => cpuUs)
      process.stdout.write(`${words}: µs CPU per request ${formatSpread(spreadOf(one), 1)} with 1 worker, ${formatSpread(spreadOf(two), 1)} with 2, ratio ${formatSpread(ratioOf(two, one), 2)}; with 3, ratio ${formatSpread(ratioOf(three, one), 2)}\n`)
      memory.push([words, ...contestants.map(({ child }) => residentMiB(child).toFixed(0))])
      for (const { child } of contestants) stop(child)
    }
    process.stdout.write(`\n${markdownTable(['MiB resident after the load', ...workerCounts.map((count) => `${count} workers`)], memory)}\n`)
  } finally {
    stopAll()
    rmSync(directory, { recursive: true, force: true })
  }
}

runBenchmark(main)
