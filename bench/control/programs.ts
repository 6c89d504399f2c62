import { spawn, type ChildProcess } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { imageOptions } from '../compile.ts'
import { monotonicMs } from './clock.ts'

const root = new URL('../..', import.meta.url).pathname

/** Memory that the chart gives to a controller's pod, MiB. */
export const podMemory = Number(/^ *limits:\n *memory: (\d+)Mi$/m.exec(readFileSync(join(root, 'deploy/helm/waymark/values.yaml'), 'utf8'))?.[1] ?? NaN)

/** What Node is started with here: as in the image, and with the heap that it allows itself in such a pod, half of its memory. Source: V8, Heap::OldGenerationSizeFromPhysicalMemory. */
export const nodeOptions: readonly string[] = [...imageOptions, `--max-old-space-size=${podMemory / 2}`]

/** A `waymark` process. */
export interface Program {
  readonly pid: number
  readonly ended: () => boolean
  /** Ends it with a signal, and waits until it has. */
  readonly end: () => Promise<void>
}

const running = new Set<ChildProcess>()

/** Starts a command that ends with this process, however that ends. @param log file for what it says */
export function startProgram(command: readonly string[], env: Readonly<Record<string, string>>, log: string): Program {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const startedMs = monotonicMs()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => appendFileSync(log, `${(monotonicMs() - startedMs).toFixed(0)} ms: ${line}\n`))
  }
  running.add(child)
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      running.delete(child)
      resolve()
    })
  })
  if (child.pid === undefined) throw new Error('setpriv could not be started; install the package util-linux')
  return {
    pid: child.pid,
    ended: () => !running.has(child),
    end: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Ends every program that still runs. */
export function endPrograms(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Memory that a process holds, MiB: now, and at most so far. Source: proc_pid_status(5), VmRSS and VmHWM. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (found: RegExpExecArray | null): number => Number(found?.[1] ?? NaN) / 1024
  return { now: read(/^VmRSS:\s+(\d+) kB/m.exec(status)), peak: read(/^VmHWM:\s+(\d+) kB/m.exec(status)) }
}
