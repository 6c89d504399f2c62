import { cpus } from 'node:os'
import type { Child } from './children.ts'
import type { Load } from './load-commands.ts'
import { cpuMs, systemBusyMs } from './procfs.ts'

/** One proxy under test with its connections open. */
export interface Contestant {
  readonly name: string
  readonly child: Child
}

export interface RoundOptions {
  readonly warmUp: number
  readonly requests: number
  readonly rounds: number
  /** The processes around the proxies: load generator and backend. */
  readonly around: readonly Child[]
  readonly say: (line: string) => void
}

/** What the rounds of one contestant gave, round by round. */
export interface Measured {
  /** CPU time of the proxy per request, microseconds. */
  readonly cpuUs: readonly number[]
  /** Requests a second. */
  readonly rate: readonly number[]
  /** Share of its processor that the proxy used, 0..1. */
  readonly busy: readonly number[]
}

export interface Measurement {
  readonly measured: ReadonlyMap<string, Measured>
  /** Share of all processors that processes other than ours used meanwhile, 0..1: what disturbed the figures. */
  readonly strangers: number
}

/** Warms each contestant up, then measures them in turns, each round beginning with another one: A B C, B C A, … */
export async function measureInTurns(contestants: readonly Contestant[], load: Load, options: RoundOptions): Promise<Measurement> {
  const { warmUp, requests, rounds, around, say } = options
  const results = new Map(contestants.map(({ name }) => [name, { cpuUs: [] as number[], rate: [] as number[], busy: [] as number[] }]))
  for (const { name } of contestants) await load.run(name, warmUp)
  const ours = (): number => [...contestants.map(({ child }) => child), ...around].reduce((sum, { pid }) => sum + cpuMs(pid), cpuMs(process.pid))
  const start = { wallMs: performance.now(), busyMs: systemBusyMs(), oursMs: ours() }
  for (let round = 0; round < rounds; round++) {
    const first = round % contestants.length
    for (const { name, child } of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const before = cpuMs(child.pid)
      const wallMs = await load.run(name, requests)
      const usedMs = cpuMs(child.pid) - before
      const result = results.get(name)
      result?.cpuUs.push((usedMs * 1000) / requests)
      result?.rate.push((requests * 1000) / wallMs)
      result?.busy.push(usedMs / wallMs)
    }
    say(`round ${round + 1} of ${rounds}, µs CPU per request: ${[...results].map(([name, { cpuUs }]) => `${name} ${cpuUs.at(-1)?.toFixed(1) ?? ''}`).join(' · ')}`)
  }
  const elsewhereMs = systemBusyMs() - start.busyMs - (ours() - start.oursMs)
  return { measured: results, strangers: Math.max(0, elsewhereMs / ((performance.now() - start.wallMs) * cpus().length)) }
}
