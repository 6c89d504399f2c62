import { parseArgs } from 'node:util'
import { messageOf } from '../../src/kit/message.ts'

/** What a run of the suite was asked for. */
export interface SuiteOptions {
  /** Name of the kind cluster. */
  readonly cluster: string
  /** kind's node image; undefined: kind's own. */
  readonly nodeImage: string | undefined
  /** How kube-proxy does its work; undefined: as kind has it. A cluster that is there stays as it is. */
  readonly kubeProxy: 'iptables' | 'nftables' | undefined
  /** Threads of each node agent. */
  readonly agentWorkers: number
  /** What the images are built from. */
  readonly imageBase: string
  /** The cluster stays, and one of that name is taken if it is there. */
  readonly keep: boolean
  /** The cluster, its images and its installation are taken as they are. */
  readonly reuse: boolean
  /** Cases whose name, group or a feature contains one of these, ignoring case; empty: all. */
  readonly only: readonly string[]
  /** Cases that run at once. */
  readonly parallel: number
  /** Seconds for the whole run. */
  readonly timeLimit: number
  readonly help: boolean
}

export const usage = `usage: npm run e2e -- [options]
  --cluster NAME      name of the kind cluster; default waymark-e2e
  --node-image IMAGE  kind's node image; default: the one that kind brings
  --kube-proxy MODE   iptables or nftables, in a cluster that is made; default: as kind has it
  --agent-workers N   threads of each node agent; default 1, as the chart has it
  --image-base IMAGE  what the images are built from; default node:24-bookworm-slim
  --keep              leave the cluster at the end, and use it if it is there already
  --reuse             like --keep, and neither build nor install: for working on cases
  --only PATTERN      run cases whose name, group or feature contains it; may be repeated
  --parallel N        cases that run at once; default 4
  --time-limit S      seconds after which everything is stopped; default 2700`

/** @throws {UsageError} with what is wrong */
export function parseSuiteArgs(args: readonly string[]): SuiteOptions {
  let values
  try {
    values = parseArgs({
      args: [...args],
      options: {
        'cluster': { type: 'string', default: 'waymark-e2e' },
        'node-image': { type: 'string' },
        'kube-proxy': { type: 'string' },
        'agent-workers': { type: 'string', default: '1' },
        'image-base': { type: 'string', default: 'node:24-bookworm-slim' },
        'keep': { type: 'boolean', default: false },
        'reuse': { type: 'boolean', default: false },
        'only': { type: 'string', multiple: true, default: [] },
        'parallel': { type: 'string', default: '4' },
        'time-limit': { type: 'string', default: '2700' },
        'help': { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(values.cluster)) throw new UsageError(`--cluster ${values.cluster}: kind takes lower-case letters, digits, dots and dashes`)
  return {
    cluster: values.cluster,
    nodeImage: values['node-image'],
    kubeProxy: proxyMode(values['kube-proxy']),
    agentWorkers: positive('--agent-workers', values['agent-workers']),
    imageBase: values['image-base'],
    keep: values.keep || values.reuse,
    reuse: values.reuse,
    only: values.only,
    parallel: positive('--parallel', values.parallel),
    timeLimit: positive('--time-limit', values['time-limit']),
    help: values.help,
  }
}

/** Wrong use of the command. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

function proxyMode(mode: string | undefined): SuiteOptions['kubeProxy'] {
  if (mode === undefined || mode === 'iptables' || mode === 'nftables') return mode
  throw new UsageError(`--kube-proxy ${mode}: iptables or nftables`)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`${name} ${text}: a whole number from 1 on`)
  return value
}

/** Whether a case is among those that were asked for. */
export function isChosen(one: { readonly name: string; readonly features: readonly string[]; readonly group: string }, only: readonly string[]): boolean {
  const words = [one.name, one.group, ...one.features].map((word) => word.toLowerCase())
  return only.length === 0 || only.some((pattern) => words.some((word) => word.includes(pattern.toLowerCase())))
}
