import { Option, type Command } from 'commander'
import { install } from '../model/install.ts'
import type { Io } from './io.ts'
import { parsePort, parseTrustDomain, seconds } from './usage.ts'

/** Where a program's verbs speak and how it ends. */
export interface ProgramContext {
  readonly io: Io
  /** Called once by the verb that ran. */
  readonly onExit: (code: number) => void
}

/** The folder that a verb reads. */
export function folder(): Option {
  return new Option('-f, --file <dir>', 'folder with Kubernetes manifests, or one file; the cluster if not given')
}

/** How a verb prints. */
export function format(fallback: string): Option {
  return new Option('-o, --output <format>', 'how to print it; table is for people').choices(['table', 'json', 'yaml']).default(fallback)
}

export function trustDomain(): Option {
  return new Option('--trust-domain <name>', 'first part of every SPIFFE id').argParser(parseTrustDomain).default('cluster.local')
}

/** The trust domain of a verb that reads a folder or a cluster. */
export function sourceTrustDomain(): Option {
  return new Option('--trust-domain <name>', 'first part of every SPIFFE id; cluster.local if not given, in a cluster the mesh\'s own').argParser(parseTrustDomain)
}

/** Which cluster. */
export function clusterChoice(command: Command): Command {
  return command
    .addOption(new Option('--kubeconfig <path>', 'as kubectl finds it if not given').conflicts('file'))
    .addOption(new Option('--context <name>', 'of the kubeconfig; the current one if not given').conflicts('file'))
}

/** Which cluster, and where in it the installation is. */
export function clusterOptions(command: Command): Command {
  return clusterChoice(command).addOption(new Option('--namespace <name>', 'where the installation is').default(install.namespace))
}

/** How long a verb waits, seconds. */
export function timeout(what: string, fallback: number): Option {
  return new Option('--timeout <seconds>', `how long to wait ${what}`).argParser(seconds(1, 3600)).default(fallback)
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
