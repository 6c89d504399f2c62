import { startAgent, type Agent } from './agent.ts'
import { startPod, type PodProcess } from './pods.ts'
import { build, forgetCapture, pods, type PodName } from './topology.ts'

/** Everything that a case works with. */
export interface Rig {
  readonly pods: Readonly<Record<PodName, PodProcess>>
  /** A process in the node's own namespace, as the kubelet is. */
  readonly nodes: Readonly<Record<1 | 2, PodProcess>>
  /** The agents of both nodes that capture every pod but `plain` and `stranger`; they go on for the next case that asks for them. */
  readonly everywhere: () => Promise<Readonly<Record<1 | 2, Agent>>>
  /** Ends all agents and takes away what they put in force: for cases that begin before anything is captured. */
  readonly bare: () => Promise<void>
  /** Starts an agent, beside those that run. */
  readonly agent: typeof startAgent
  readonly close: () => Promise<void>
}

/** Builds the network and starts what runs in it. */
export async function startRig(): Promise<Rig> {
  build()
  const names = Object.keys(pods) as PodName[]
  const started = await Promise.all([...names, 'node1', 'node2'].map(startPod))
  const processes = Object.fromEntries(names.map((name, index) => [name, started[index]])) as Record<PodName, PodProcess>
  const [first, second] = started.slice(names.length)
  if (first === undefined || second === undefined) throw new Error('no processes on the nodes')
  const agents: Agent[] = []
  let shared: Readonly<Record<1 | 2, Agent>> | undefined
  const end = async (): Promise<void> => {
    shared = undefined
    await Promise.all(agents.splice(0).map((one) => one.kill()))
  }
  const start: typeof startAgent = async (...args) => {
    const one = await startAgent(...args)
    agents.push(one)
    return one
  }
  return {
    pods: processes,
    nodes: { 1: first, 2: second },
    agent: (...args) => {
      shared = undefined
      return start(...args)
    },
    everywhere: async () => {
      if (shared === undefined) {
        await end()
        const [one, two] = await Promise.all([start(1, ['a', 'k', 'b']), start(2, ['c'])])
        shared = { 1: one, 2: two }
      }
      return shared
    },
    bare: async () => {
      await end()
      forgetCapture()
    },
    close: async () => {
      await end()
      await Promise.all(started.map((each) => each.stop()))
    },
  }
}
