import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { NodePaths } from './agent.ts'
import { removePlugin } from './cni/install.ts'
import { namesIn } from './folder.ts'
import { keepMarks } from './pods/marks.ts'

export interface RetireOptions {
  readonly paths: NodePaths
  readonly clock: Clock
  /** How long connections that an agent has captured may go on, milliseconds; it may still be there, and be about to end. */
  readonly graceMs: number
  /** Told after each look how many pods still have rules; 0: nothing of the mesh is left on the node. */
  readonly onLook: (left: number) => void
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** Between looks, milliseconds: while pods have rules, and when nothing is left. An agent that is about to end puts rules back, and without it they refuse. */
const lookMs = { busy: 250, idle: 1_000 } as const

/**
 * Takes everything of agents away from a node while they are being removed for good, also where namespaces are still enrolled: the plugin of CNI, so
 * that pods start without asking; the rules in pods, so that they send as they would without a mesh; and then the node's own. It asks nobody, and
 * goes on until it is ended: an agent that has not gone yet may put some of it back.
 * @returns what ends it
 */
export async function retireNode({ paths, clock, graceMs, onLook, log }: RetireOptions): Promise<() => void> {
  const { dropNodeRules, hasPodRules, openPodNetwork } = await import('./native/pod-network.ts')
  const marks = keepMarks(`${paths.host}/marks`)
  /** When pods were found with rules first. */
  const since = new Map<string, number>()
  let cancel: Cancel = () => {}
  let closed = false

  const free = async (path: string): Promise<boolean> => {
    const name = basename(path)
    if (!(await hasPodRules(path))) return false
    const foundMs = since.get(name) ?? clock.now()
    since.set(name, foundMs)
    const network = openPodNetwork(path, { mark: marks.of(name), proc: paths.proc })
    try {
      if (clock.now() - foundMs < graceMs) await network.relax()
      else await network.release()
    } finally {
      network.close()
    }
    return clock.now() - foundMs < graceMs
  }

  /** @returns how many pods still have rules */
  const look = async (): Promise<number> => {
    let left = 0
    const attempt = async (what: string, work: () => unknown): Promise<void> => {
      try {
        await work()
      } catch (error) {
        left++
        log(`${what}: ${messageOf(error)}; it is tried again`)
      }
    }
    // Before rules: a pod that starts now must not wait for an agent.
    await attempt('namespaces of the mesh', () => {
      for (const name of namesIn(`${paths.host}/cni/namespaces`)) rmSync(join(paths.host, 'cni/namespaces', name), { force: true })
    })
    const { plugin } = paths
    if (plugin !== undefined) await attempt('the plugin of CNI', () => removePlugin(plugin))
    for (const name of namesIn(paths.namespaces)) {
      await attempt(`the rules in ${name}`, async () => {
        if (await free(join(paths.namespaces, name))) left++
      })
    }
    // Probes need them as long as a pod has rules.
    if (left === 0) await attempt('the node\'s own rules', dropNodeRules)
    onLook(left)
    return left
  }

  const lookOn = async (): Promise<void> => {
    const left = await look()
    if (!closed) cancel = clock.after(left > 0 ? lookMs.busy : lookMs.idle, () => void lookOn())
  }
  await lookOn()
  return () => {
    closed = true
    cancel()
  }
}
