import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { replyMark } from '../rules/pod.ts'

/**
 * The marks by which each pod's rules know the agent's own packets. They are random, so that an application that may set marks can not guess one, and kept
 * in files, so that an agent that takes over uses the same: with another one, the rules would capture the older agent's packets while it drains.
 */
export interface Marks {
  /** The mark of a sandbox: 32 bits, made if there is none. @throws if it can not be kept */
  readonly of: (sandbox: string) => number
  /** Drops the marks of all sandboxes but these. */
  readonly keepOnly: (sandboxes: Iterable<string>) => void
}

/** @param directory of the agent on the node; made with mode 0700 if it is not there */
export function keepMarks(directory: string): Marks {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const known = new Map<string, number>()
  const read = (sandbox: string): number | undefined => {
    try {
      const text = readFileSync(join(directory, sandbox), 'utf8')
      return /^\d{1,10}\n$/.test(text) && isGood(Number(text)) ? Number(text) : undefined
    } catch {
      return undefined
    }
  }
  /** In one piece, and only if another agent has not just done the same: then its mark it is. */
  const keep = (sandbox: string, mark: number): number => {
    const path = join(directory, sandbox)
    const draft = join(directory, `.${sandbox}.${process.pid}`)
    writeFileSync(draft, `${mark}\n`, { mode: 0o600 })
    try {
      linkSync(draft, path)
      return mark
    } catch {
      const other = read(sandbox)
      if (other !== undefined) return other
      // What is there is no mark.
      renameSync(draft, path)
      return mark
    } finally {
      rmSync(draft, { force: true })
    }
  }
  return {
    of: (sandbox) => {
      if (!/^[\w][\w.-]*$/.test(sandbox)) throw new TypeError(`${sandbox} is no name of a sandbox`)
      let mark = known.get(sandbox) ?? read(sandbox)
      mark ??= keep(sandbox, draw())
      known.set(sandbox, mark)
      return mark
    },
    keepOnly: (sandboxes) => {
      const kept = new Set(sandboxes)
      for (const name of readdirSync(directory)) {
        if (kept.has(name)) continue
        known.delete(name)
        rmSync(join(directory, name), { force: true })
      }
    },
  }
}

function draw(): number {
  for (;;) {
    const mark = randomBytes(4).readUInt32LE()
    if (isGood(mark)) return mark
  }
}

/** 0 is no mark; small ones are what others use. */
function isGood(mark: number): boolean {
  return mark > 0xffff && mark <= 0xffffffff && mark !== replyMark
}
