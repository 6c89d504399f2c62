import { InvalidArgumentError, Option, type Command } from 'commander'
import { suggest } from '../api/suggest.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { install, ports } from '../model/install.ts'
import type { Io } from './io.ts'
import { parsePort, parseTrustDomain, seconds, UsageError } from './usage.ts'

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

/** The options of every process that joins the mesh of a cluster. */
export function memberOptions(command: Command): Command {
  return command
    .addOption(trustDomain())
    .addOption(new Option('--controller <host:port>', 'where configuration and certificates come from').argParser(parseHostPort)
      .default({ host: `${install.controller}.${install.namespace}.svc`, port: ports.control }, `${install.controller}.${install.namespace}.svc:${ports.control}`))
    .addOption(new Option('--controller-id <spiffe-id>', 'who must answer there; the controller of the trust domain in its usual namespace if not given').argParser(parseId))
    .addOption(new Option('--token-file <path>', 'the projected token that proves this pod\'s service account').default(install.tokenFile))
    .addOption(new Option('--bundle-file <path>', 'the mesh\'s roots, PEM').default(install.bundleFile))
    .addOption(new Option('--state <dir>', 'keeps the last configuration and certificate here, to start with while no controller answers; private to the pod').default(install.stateDirectory))
}

function parseHostPort(text: string): { readonly host: string; readonly port: number } {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = found?.[1] ?? found?.[2]
  if (host === undefined || Number(found?.[3]) > 65535) throw new InvalidArgumentError('Write HOST:PORT, an IPv6 address in brackets.')
  return { host, port: Number(found?.[3]) }
}

function parseId(text: string): string {
  if (parseSpiffeId(text) === undefined) throw new InvalidArgumentError('Write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT.')
  return text
}

/** A word after a verb that runs a process and has verbs below it. */
export function verbBelow(verb: string, command: Command): UsageError {
  const meant = suggest(verb, command.commands.map((each) => each.name()))
  return new UsageError(`unknown command '${verb}'${meant === undefined ? '' : `; did you mean ${meant}?`}; see \`waymark ${command.name()} --help\``)
}
