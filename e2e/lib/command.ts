import { spawn, type ChildProcess } from 'node:child_process'
import { environment } from './config.ts'

export interface CommandOptions {
  /** Milliseconds until it is killed; a minute by default. */
  readonly timeoutMs?: number
  readonly input?: string
  readonly cwd?: string
  /** Besides the environment of the suite. */
  readonly env?: Readonly<Record<string, string>>
  /** Ends it. */
  readonly signal?: AbortSignal
}

/** A command that did not end well; the message has what it said. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly stdout: string
  readonly stderr: string
  constructor(message: string, stderr: string, stdout = '') {
    super(message)
    this.stderr = stderr
    this.stdout = stdout
  }
}

/** Starts a program in a process group of its own, so that a Ctrl-C on the terminal is ours to handle. */
export function start(program: string, args: readonly string[], options: Pick<CommandOptions, 'cwd' | 'env'> = {}): ChildProcess {
  return spawn(program, [...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true, cwd: options.cwd, env: { ...environment, ...options.env } })
}

/** Ends a process and those that it started. */
export function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    child.kill(signal)
  }
}

/**
 * Runs a program to its end, never longer than its time limit.
 * @throws {CommandError} if it can't start, fails, takes too long or is ended
 */
export async function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const { timeoutMs = 60_000, signal } = options
  const what = `${program} ${args.slice(0, 6).join(' ')}`
  if (signal?.aborted === true) throw new CommandError(`${what}: not begun, the run is being stopped`, '')
  const child = start(program, args, options)
  let stdout = ''
  let stderr = ''
  let why: string | undefined
  const stop = (reason: string): void => {
    why ??= reason
    end(child)
  }
  const onAbort = (): void => stop('was stopped')
  const timer = setTimeout(() => stop(`took longer than ${timeoutMs / 1000} s`), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) =>
        reject(new CommandError(error.code === 'ENOENT' ? `${program} is not in PATH; install it, or add its folder to PATH` : `${what}: ${error.message}`, '')))
      child.once('close', resolve)
    })
    if (why !== undefined) throw new CommandError(`${what} ${why}${tail(stderr)}`, stderr)
    if (code !== 0) throw new CommandError(`${what} ended with ${code ?? 'a signal'}${tail(stderr === '' ? stdout : stderr)}`, stderr, stdout)
    return { stdout, stderr }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The last lines of what a command said, as they go into a message. */
function tail(text: string): string {
  const lines = text.trim().split('\n').slice(-12).join('\n')
  return lines === '' ? '' : `:\n${lines}`
}
