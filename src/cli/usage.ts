import { InvalidArgumentError } from 'commander'
import { isTrustDomain, parseSpiffeId } from '../model/identity.ts'

/** The command was called wrongly: one line that says what to do, and exit code 2. */
export class UsageError extends Error {}

/** The folder is there and could not be read: exit code 1. */
export class CannotRead extends Error {}

/** A workload as `--from` and `--as` name it. */
export interface WorkloadName {
  readonly namespace: string
  readonly serviceAccount: string
}

/** Reads `namespace/service-account`. @throws {InvalidArgumentError} */
export function parseWorkload(text: string): WorkloadName {
  const [namespace, serviceAccount] = text.split('/')
  const identity = parseSpiffeId(`spiffe://td/ns/${namespace ?? ''}/sa/${serviceAccount ?? ''}`)
  if (text.split('/').length !== 2 || identity === undefined) {
    throw new InvalidArgumentError('Write NAMESPACE/SERVICE-ACCOUNT in lower case, for example shop/till.')
  }
  return { namespace: identity.namespace, serviceAccount: identity.serviceAccount }
}

/** A pod as `--from` names it. */
export interface PodRef {
  readonly namespace: string
  readonly pod: string
}

/** Reads `namespace/service-account` or `pod/NAME.NAMESPACE`. @throws {InvalidArgumentError} */
export function parseCaller(text: string): WorkloadName | PodRef {
  if (!text.startsWith('pod/')) return parseWorkload(text)
  const [, pod, namespace] = /^pod\/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)$/.exec(text) ?? []
  if (pod === undefined || namespace === undefined) throw new InvalidArgumentError('Write pod/NAME.NAMESPACE, for example pod/till-1.shop, or NAMESPACE/SERVICE-ACCOUNT.')
  return { namespace, pod }
}

/** Reads `namespace/service-account[@port]`; without a port any free one is taken (0). @throws {InvalidArgumentError} */
export function parseEntry(text: string): WorkloadName & { readonly port: number } {
  const at = text.indexOf('@')
  if (at === -1) return { ...parseWorkload(text), port: 0 }
  return { ...parseWorkload(text.slice(0, at)), port: portNumber(text.slice(at + 1), 'after the @') }
}

/** A port to listen on; 0 = any, none = off. */
export type PortChoice = number | 'none'

/** The port that was chosen; undefined: off. */
export function portOf(choice: PortChoice): number | undefined {
  return choice === 'none' ? undefined : choice
}

/** Reads `none` or a port, 0 for any free one. @throws {InvalidArgumentError} */
export function parsePort(text: string): PortChoice {
  return text === 'none' ? text : portNumber(text, 'or none')
}

function portNumber(text: string, where: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw new InvalidArgumentError(`Write a port from 1 to 65535, 0 for any free one, ${where}.`)
  return Number(text)
}

/** Reads a trust domain. @throws {InvalidArgumentError} */
export function parseTrustDomain(text: string): string {
  if (!isTrustDomain(text)) throw new InvalidArgumentError('Write lower-case letters, digits, dots and dashes, for example cluster.local.')
  return text
}

/** Reads `name: value` into a lower-case name and a value. @throws {InvalidArgumentError} */
export function parseHeader(text: string): readonly [name: string, value: string] {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0)).trim().toLowerCase()
  const value = text.slice(colon + 1).trim()
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new InvalidArgumentError("Write -H 'name: value'.")
  }
  return [name, value]
}

/** Reads a whole number of seconds, or of something else. */
export function seconds(least: number, most: number, what = 'whole seconds'): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`Write ${what} from ${least} to ${most}.`)
    return value
  }
}

/** Collects the values of an option that may be given several times. */
export function several<T>(parse: (text: string) => T): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before = []) => [...before, parse(text)]
}

/** What commander can not require of a verb without requiring it of those below as well. @throws {UsageError} */
export function requireOptions<Options extends object>(verb: string, options: Partial<Options>, names: readonly (keyof Options & string)[]): Options {
  for (const name of names) {
    if (options[name] === undefined) throw new UsageError(`required option '--${name} <name>' not specified; see \`waymark ${verb} --help\``)
  }
  return options as Options
}
