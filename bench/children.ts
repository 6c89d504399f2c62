import { spawn, type ChildProcess } from 'node:child_process'

/** The processor of the proxies under test, that of everything around them, and both, as `taskset` names them. */
export const proxyCpu = '0'
export const aroundCpu = '1'
export const anyCpu = '0,1'

/** A process pinned to one processor. */
export interface Child {
  readonly pid: number
  /** The port that it said it listens on; 0 if it was not asked. */
  readonly port: number
  readonly process: ChildProcess
}

const running = new Set<ChildProcess>()

/**
 * Starts a command on one processor, to be ended with this process, however that ends. `taskset` and `setpriv` become the command,
 * so the pid is the command's own.
 */
function spawnPinned(cpu: string, command: readonly string[], ipc: boolean): ChildProcess {
  const child = spawn('taskset', ['-c', cpu, 'setpriv', '--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'inherit', 'inherit', ...(ipc ? ['ipc' as const] : [])] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * Starts a script of ours that sends `{ port }` once it is ready.
 * @param script path within this folder
 * @param options handed over as its one argument, as JSON
 */
export async function startScript(cpu: string, node: string, script: string, options: unknown, nodeOptions: readonly string[] = []): Promise<Child> {
  const command = [node, ...nodeOptions, new URL(script, import.meta.url).pathname, JSON.stringify(options)]
  const child = spawnPinned(cpu, command, true)
  const message = await next<{ readonly port: number }>(child, script, 60_000)
  return { pid: pidOf(child), port: message.port, process: child }
}

/** Starts any other server and waits until `port` takes connections. */
export async function startServer(cpu: string, command: readonly string[], port: number, answers: (port: number) => Promise<boolean>): Promise<Child> {
  const child = spawnPinned(cpu, command, false)
  for (let tries = 0; tries < 100; tries++) {
    if (child.exitCode !== null) break
    if (await answers(port)) return { pid: pidOf(child), port, process: child }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${command[0] ?? ''} does not listen on ${port}; run it by hand to see why: ${command.join(' ')}`)
}

/** Waits for the next message of a script of ours. */
export function next<T>(child: ChildProcess, what: string, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
    }
    const onMessage = (message: unknown): void => {
      settle()
      const failed = (message as { readonly failed?: string }).failed
      if (failed === undefined) resolve(message as T)
      else reject(new Error(`${what}: ${failed}`))
    }
    const onExit = (code: number | null, signal: string | null): void => {
      settle()
      reject(new Error(`${what} ended (${signal ?? code ?? 'unknown'})`))
    }
    const timer = setTimeout(() => {
      settle()
      reject(new Error(`${what} did not answer within ${timeoutMs / 1000} s`))
    }, timeoutMs)
    child.once('message', onMessage)
    child.once('exit', onExit)
  })
}

/** Ends one of the processes. */
export function stop({ process: child }: Child): void {
  child.kill('SIGKILL')
}

/** Ends every process that was started here and still runs. */
export function stopAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('taskset could not be started; install the package util-linux')
  return child.pid
}

/** Runs a script's main part: what it throws goes to whoever started the script. */
export function runScript<T>(main: (options: T) => Promise<{ readonly port: number }>, options = JSON.parse(process.argv[2] ?? '{}') as T): void {
  process.once('disconnect', () => process.exit(0))
  main(options).then(
    (ready) => process.send?.(ready),
    (error: unknown) => process.send?.({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
}

/** Runs a benchmark's main part, and ends this process and all that were started here with it, however it ends. */
export function runBenchmark(main: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopAll()
      process.exit(1)
    })
  }
  main().then(
    // The processes' channels would keep this one alive for a moment longer.
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
      process.exit(1)
    },
  )
}
