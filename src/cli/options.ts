import { Option } from 'commander'
import type { Io } from './io.ts'
import { parsePort, parseTrustDomain } from './usage.ts'

/** Where a program's verbs speak and how it ends. */
export interface ProgramContext {
  readonly io: Io
  /** Called once by the verb that ran. */
  readonly onExit: (code: number) => void
}

/** The folder that a verb reads. */
export function folder(): Option {
  return new Option('-f, --file <dir>', 'folder with Kubernetes manifests, or one file')
}

/** How a verb prints. */
export function format(fallback: string): Option {
  return new Option('-o, --output <format>', 'how to print it; table is for people').choices(['table', 'json', 'yaml']).default(fallback)
}

export function trustDomain(): Option {
  return new Option('--trust-domain <name>', 'first part of every SPIFFE id').argParser(parseTrustDomain).default('cluster.local')
}

/** A port to listen on. */
export function port(flags: string, what: string, fallback: number): Option {
  return new Option(flags, `${what}; 0 = any, none = off`).argParser(parsePort).default(fallback)
}

/** The exit codes of a verb, for its help. */
export function codes(...lines: readonly string[]): string {
  return `\nExit codes:\n${lines.map((line) => `  ${line}\n`).join('')}`
}

/** Examples of a verb, for its help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`
}
