import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { agentHeading } from './agent/section.ts'
import { issueCertificates, type Certificates } from './certificates.ts'
import { chainHeading } from './chain/section.ts'
import { anyCpu, aroundCpu, next, proxyCpu, runBenchmark, startScript, stop, stopAll, type Child } from './children.ts'
import { controlHeading } from './control/section.ts'
import { enrolHeading } from './enrol/section.ts'
import { loadOf, type Load, type Target } from './load-commands.ts'
import { measuredDestination, measuredPath, type Shape } from './manifests.ts'
import { hasProcfs } from './procfs.ts'
import { nativeProxies } from './proxies/native.ts'
import type { ReloadResult } from './reload.ts'
import { report, type Runtime, type RuntimeReload } from './report.ts'
import { measureInTurns, type Contestant } from './rounds.ts'
import { sectionOf, withSection } from './section.ts'

const help = `node bench/main.ts [--quick] [--node PATH]... [--rounds N] [--out FILE] [--no-reload]
  CPU per request of a waypoint beside http-proxy-3, nginx and HAProxy, and the time of a reload.
  --quick      a few requests, to see that everything runs; its figures mean nothing and are only printed
  --node PATH  another Node binary to measure the waypoint and http-proxy-3 with, in the same rounds
`

const connections = 32

interface Setting {
  readonly certificates: Certificates
  readonly backendPort: number
  readonly directory: string
  readonly load: Load
}

const waypoints: readonly { readonly name: string; readonly shape: Shape; readonly sessions: 'shared' | 'one-each' }[] = [
  { name: 'waymark', shape: 'one-route', sessions: 'shared' },
  { name: 'waymark, 5,000 Services', shape: 'many-services', sessions: 'shared' },
  { name: 'waymark, 5,000 on one', shape: 'one-service', sessions: 'shared' },
  // Reached as if every caller sat on another node.
  { name: 'waymark, 32 sessions', shape: 'one-route', sessions: 'one-each' },
]

/** The waypoint with its several configurations, and http-proxy-3, under one Node. */
async function startNode({ path, label }: Runtime, { certificates, backendPort, load }: Setting): Promise<Contestant[]> {
  const started: Contestant[] = []
  const credentials = certificates.proxy
  const add = async (name: string, child: Child, target: Target): Promise<void> => {
    await load.open(`${name} (${label})`, target, connections)
    started.push({ name: `${name} (${label})`, child })
  }
  for (const { name, shape, sessions } of waypoints) {
    const child = await startScript(proxyCpu, path, 'proxies/waymark.ts', { credentials, shape, backendPort })
    const { service, authority } = measuredDestination(shape)
    const peer = credentials.identity
    await add(name, child, { kind: 'hbone', port: child.port, path: measuredPath, hostHeader: `${service}.bench`, authority, peer, sessions })
  }
  const child = await startScript(proxyCpu, path, 'proxies/http-proxy.ts', { credentials, backendPort })
  await add('http-proxy-3', child, plainTarget(child.port))
  return started
}

function plainTarget(port: number): Target {
  return { kind: 'tls', port, path: measuredPath, hostHeader: `${measuredDestination('one-route').service}.bench` }
}

async function startNative({ certificates, backendPort, directory, load }: Setting, missing: string[], versions: string[]): Promise<Contestant[]> {
  const started: Contestant[] = []
  for (const proxy of nativeProxies()) {
    if (proxy.version === undefined) {
      missing.push(proxy.name)
      continue
    }
    const child = await proxy.start({ certificates, backendPort, directory })
    await load.open(proxy.name, plainTarget(child.port), connections)
    started.push({ name: proxy.name, child })
    versions.push(`${proxy.name} ${proxy.version}`)
  }
  return started
}

async function reloads(runtimes: readonly Runtime[], repeats: number, say: (line: string) => void): Promise<RuntimeReload[]> {
  const results: RuntimeReload[] = []
  for (const runtime of runtimes) {
    say(`reload of 5,000 routes (${runtime.label}) …`)
    const child = await startScript(anyCpu, runtime.path, 'reload.ts', { repeats })
    const done = next<ReloadResult>(child.process, 'reload', 180_000)
    child.process.send({})
    results.push({ runtime, result: await done })
    stop(child)
  }
  return results
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'quick': { type: 'boolean', default: false }, 'node': { type: 'string', multiple: true, default: [] }, 'rounds': { type: 'string', default: '30' },
      'out': { type: 'string' }, 'no-reload': { type: 'boolean', default: false }, 'help': { type: 'boolean', default: false },
    },
  })
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  if (values.help) {
    process.stdout.write(help)
    return
  }
  if (!hasProcfs() || cpus().length < 2) throw new Error('the benchmark needs Linux with /proc and two processors: one for the proxy, one for the rest')
  const { quick } = values
  const runtimes = [process.execPath, ...values.node].map((path): Runtime => {
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim()
    return { path, version, label: `Node ${version.slice(1).split('.')[0] ?? ''}` }
  })
  const rounds = quick ? 1 : Number(values.rounds)
  const requests = quick ? 1_000 : 6_000
  const directory = mkdtempSync(join(tmpdir(), 'waymark-bench-'))
  const missing: string[] = []
  const versions: string[] = []
  try {
    const certificates = await issueCertificates(directory)
    const backend = await startScript(aroundCpu, process.execPath, 'backend.ts', {})
    const loadChild = await startScript(aroundCpu, process.execPath, 'load.ts', { credentials: certificates.client })
    const setting: Setting = { certificates, backendPort: backend.port, directory, load: loadOf(loadChild) }
    const contestants: Contestant[] = []
    for (const runtime of runtimes) contestants.push(...(await startNode(runtime, setting)))
    contestants.push(...(await startNative(setting, missing, versions)))
    for (const name of missing) say(`${name} is not installed and is left out; install it with: apt-get install ${name.toLowerCase()}`)
    const around = [backend, loadChild]
    const { measured, strangers } = await measureInTurns(contestants, setting.load, { warmUp: quick ? 500 : 20_000, requests, rounds, around, say })
    for (const { child } of contestants) stop(child)
    const reload = values['no-reload'] ? [] : await reloads(runtimes, quick ? 1 : 5, say)
    const text = report({ runtimes, measured, strangers, reload, missing, versions, quick, requests, rounds, connections })
    process.stdout.write(text)
    const out = values.out ?? join(import.meta.dirname, 'RESULTS.md')
    // These sections are measured apart.
    const apart = [controlHeading, agentHeading, chainHeading, enrolHeading]
    const before = existsSync(out) ? readFileSync(out, 'utf8') : ''
    if (!quick) writeFileSync(out, apart.reduce((all, heading) => withSection(all, heading, sectionOf(before, heading)), text))
  } finally {
    stopAll()
    rmSync(directory, { recursive: true, force: true })
  }
}

runBenchmark(main)
