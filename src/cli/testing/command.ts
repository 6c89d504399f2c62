import { runCommand } from '../command.ts'
import { plain } from '../io.ts'

/** What a command line gave. */
export interface Ran {
  readonly code: number
  readonly out: string
  /** Lines of talk. */
  readonly said: readonly string[]
}

/** Runs the command in this process. Paths are relative to the repository's root. */
export async function runInProcess(...args: readonly string[]): Promise<Ran> {
  let out = ''
  const said: string[] = []
  const code = await runCommand(args, { out: (text) => (out += text), say: (line) => void said.push(line), paint: plain })
  return { code, out, said }
}
