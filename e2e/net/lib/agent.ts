import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { nodeNamespace, pods, type PodName } from './topology.ts'
import { end } from './pods.ts'

/** The program that captures on a node. */
const program = join(import.meta.dirname, '../testing/splice-agent.ts')

/** What the program is given, as JSON in its first argument. */
export interface AgentSettings {
  readonly pods: readonly { readonly name: string; readonly netns: string; readonly mark: number; readonly addresses: readonly string[] }[]
  /** Refuse what comes in plaintext. */
  readonly strict: boolean
  /** How long connections may go on after SIGTERM, ms. */
  readonly drainMs: number
}

/** What the program says, one JSON line each. */
export type AgentEvent =
  | { readonly event: 'ready' }
  /** The answer to a line on stdin, once what it says is done (`relax`, `release`, or nothing): everything that happened before has been said. */
  | { readonly event: 'fence' }
  /** A connection was captured. `from` and `to` are addresses with ports. */
  | { readonly event: 'outbound' | 'inbound'; readonly pod: string; readonly from: string; readonly to: string }
  /** A connection was made straight to a listener. */
  | { readonly event: 'direct'; readonly pod: string }
  | { readonly event: 'failed'; readonly pod: string; readonly message: string }

export interface Agent {
  readonly events: readonly AgentEvent[]
  /** Every connection that was captured since the last call, as `outbound a → 10.96.0.4:80`: all that the agent saw before this was asked. */
  readonly captured: () => Promise<readonly string[]>
  /** `relax`: captures no new connections. `release`: takes its rules back, which breaks those that it has. */
  readonly tell: (what: 'relax' | 'release') => Promise<void>
  /** SIGTERM, and gone. */
  readonly stop: () => Promise<void>
  /** SIGKILL, and gone. */
  readonly kill: () => Promise<void>
}

const marks = new Map<PodName, number>()

/** The mark of a pod: random, and the same for each agent that captures it. */
export function markOf(pod: PodName): number {
  const mark = marks.get(pod) ?? (randomBytes(4).readUInt32LE() | 1) >>> 0
  marks.set(pod, mark)
  return mark
}

/** Starts an agent on a node, and waits until what it captures is captured. */
export async function startAgent(node: 1 | 2, captured: readonly PodName[], { strict = false, drainMs = 500 } = {}): Promise<Agent> {
  const settings: AgentSettings = {
    pods: captured.map((name) => ({ name, netns: `/run/netns/${name}`, mark: markOf(name), addresses: [pods[name].address, pods[name].address6] })),
    strict,
    drainMs,
  }
  const child = spawn('ip', ['netns', 'exec', nodeNamespace(node), process.execPath, program, JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const events: AgentEvent[] = []
  const fences: (() => void)[] = []
  const ready = Promise.withResolvers<undefined>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as AgentEvent
    events.push(said)
    if (said.event === 'ready') ready.resolve(undefined)
    if (said.event === 'fence') fences.shift()?.()
  })
  void once(child, 'exit').then(([code]) => ready.reject(new Error(`the agent of node ${node} ended (${String(code)})`)))
  await ready.promise
  let told = 0
  const tell = (what: string): Promise<void> => {
    const fence = Promise.withResolvers<undefined>()
    fences.push(() => fence.resolve(undefined))
    child.stdin.write(`${what}\n`)
    return fence.promise
  }
  return {
    events,
    captured: async () => {
      await tell('')
      const since = events.slice(told)
      told = events.length
      return since.flatMap((each) => (each.event === 'outbound' || each.event === 'inbound' ? [`${each.event} ${each.pod} → ${each.to}`] : []))
    },
    tell,
    stop: () => end(child, 'SIGTERM'),
    kill: () => end(child, 'SIGKILL'),
  }
}
