import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** The command as a process of its own. */
export interface CommandProcess {
  readonly child: ChildProcess
  readonly out: () => string
  readonly said: () => string
  /** Waits for a piece of stderr, at most 15 s, and gives what `pattern` found. Fails if the process ends first. */
  readonly untilSaid: (pattern: RegExp) => Promise<RegExpExecArray>
  /** Exit code; null if a signal ended it. */
  readonly ended: Promise<number | null>
}

/** Starts `node src/cli/main.ts …`. Whoever starts it ends it. */
export function startCommand(...args: readonly string[]): CommandProcess {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(child, 'close').then(() => child.exitCode)
  return {
    child, ended,
    out: () => out,
    said: () => said,
    untilSaid: async (pattern) => {
      const found = new Promise<RegExpExecArray>((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(said)
          if (match !== null) resolve(match)
        }
        child.stderr.on('data', look)
        look()
        void ended.then(() => reject(new Error(`it ended before it said ${String(pattern)}: ${said}`)))
        setTimeout(() => reject(new Error(`it did not say ${String(pattern)} within 15 s: ${said}`)), 15_000).unref()
      })
      return await found
    },
  }
}
