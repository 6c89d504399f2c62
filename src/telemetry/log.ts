import type { LogLevel } from '../model/infra.ts'

/** What a process says of itself, by how much somebody wants to know. */
export interface Log {
  /** Something is wrong. */
  readonly error: (line: string) => void
  /** It begins, ends, or is what it was again. */
  readonly info: (line: string) => void
  /** For whoever looks for a fault; undefined: nobody wants to know, and nothing need be put into words. */
  readonly debug: ((line: string) => void) | undefined
}

/** @param say takes a line without its end */
export function createLog(level: LogLevel, say: (line: string) => void): Log {
  return {
    error: say,
    info: level === 'error' ? () => {} : say,
    debug: level === 'debug' ? (line) => say(`debug: ${line}`) : undefined,
  }
}
