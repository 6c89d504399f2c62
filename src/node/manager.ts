import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { WorkloadEntry } from '../model/entries.ts'
import { parseSpiffeId } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { Captures } from '../publish/acks.ts'
import { openCapture, type Capture } from './capture.ts'
import type { Identities } from './identities.ts'
import { createLookout, createPatience, type Patience, type Repairs } from './lookout.ts'
import { NetworkError, type CapturableNetwork } from './network.ts'
import type { TrafficPlane } from './traffic/plane.ts'
import type { PodStats } from './traffic/pod.ts'
import { workloadsOn } from './traffic/view.ts'

/** A pod's network namespace on this node, as the container runtime made it. */
export interface Sandbox {
  /** Of the pod. */
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** Where the namespace can be opened. */
  readonly path: string
  readonly addresses: readonly string[]
}

export interface ManagerOptions {
  readonly node: string
  readonly clock: Clock
  readonly random?: () => number
  readonly plane: TrafficPlane
  readonly identities: Identities
  /** Opens a pod's namespace. @throws NetworkError */
  readonly open: (sandbox: Sandbox) => CapturableNetwork
  /** Switches off what an agent that is gone has left in a pod that is not to be captured. Default: there is nothing. */
  readonly free?: (sandbox: Sandbox) => Promise<void>
  /** Lets the node itself, and so the kubelet's probes, reach these addresses of captured pods whatever their rules say. */
  readonly letNodeReach: (addresses: readonly string[]) => Promise<void>
  /** Whether somebody has taken away what `letNodeReach` put in force. Default: nobody does. */
  readonly nodeRulesDamaged?: () => Promise<boolean>
  /** Tells the controllers which pods are captured. */
  readonly report: (captures: Captures) => void
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** What a node's agent knows of one pod. */
export interface PodState {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** `waiting`: shall be captured and is not yet; `leaving`: has left the mesh, and its connections end. */
  readonly state: 'waiting' | 'captured' | 'leaving'
  /** Why it is not captured; '' if nothing is wrong. */
  readonly problem: string
  /** SPIFFE id; '' if no controller tells of the pod any more. */
  readonly identity: string
  /** As the container runtime says; empty if it does not. */
  readonly addresses: readonly string[]
  /** Where its network namespace can be opened. */
  readonly path: string
  /** Whether rules are in force in it. */
  readonly rules: boolean
  readonly traffic: PodStats | undefined
}

/** Captures the pods of a node that shall be, and lets go of those that shall not. */
export interface Manager {
  /** In force when this returns, or, of a promise, when that is fulfilled. */
  readonly configure: (snapshot: Snapshot) => unknown
  /** Every sandbox that there is now. */
  readonly see: (sandboxes: Iterable<Sandbox>) => void
  /**
   * For a pod that is about to start: resolves when it may. Rejects if it shall be captured and can not be, or if nobody knows within `patienceMs`.
   * @returns whether it is captured
   */
  readonly admit: (sandbox: Sandbox, patienceMs: number) => Promise<boolean>
  /** Whether every pod that shall be captured is, or has a problem of its own. */
  readonly settled: () => boolean
  readonly pods: () => readonly PodState[]
  /** Pods of the node that the agent leaves alone; `told`: a controller has told of them. */
  readonly others: () => readonly (Pick<Sandbox, 'uid' | 'namespace' | 'name'> & { readonly told: boolean })[]
  /** What was mended so far, because somebody in a pod or on the node had taken it away. */
  readonly repairs: () => Repairs
  /** Takes nothing new and waits for what there is; rules stay, so that what comes meanwhile is the next agent's, or refused. */
  readonly drain: (deadlineMs: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** First and longest pause before another try to capture a pod, milliseconds. */
const retryPauses = { baseMs: 500, maxMs: 30_000 } as const
/** Reports of many pods that are captured together go as one. */
const gatherMs = 20

interface Known {
  sandbox: Sandbox
  capture: Capture | undefined
  problem: string
  tries: number
  cancelRetry: (() => void) | undefined
  readonly patience: Patience
  /** It was looked whether an agent before has left rules in it. */
  freed: boolean
}

export function createManager(options: ManagerOptions): Manager {
  const { node, clock, log, identities, plane } = options
  const random = options.random ?? Math.random
  const known = new Map<string, Known>()
  const waiters = new Set<() => void>()
  let configured = false
  /** By uid, the workloads of this node. */
  let workloads: ReadonlyMap<string, WorkloadEntry> = new Map()
  let reported = ''
  /** Addresses that the node may reach, as they were told last. */
  let told: string | undefined
  let reporting = false
  let closing = false

  /** Captures of pods that came back before their connections had ended, and have another by now; by uid. */
  const former = new Map<Capture, string>()

  const captures = (): readonly Capture[] => [...[...known.values()].flatMap(({ capture }) => capture ?? []), ...former.keys()]
  const wanted = (uid: string): boolean => workloads.get(uid)?.capture === true

  /**
   * As the node and the API server know them, never as the pod says: it could give itself the address of something that the node needs. Pods that shall
   * be captured and can not be are among them, for an earlier agent's rules may be in force there.
   */
  const reachable = (): readonly string[] => {
    const all = [...known].flatMap(([uid, { capture, sandbox }]) => {
      if (capture === undefined && !wanted(uid)) return []
      return sandbox.addresses.length > 0 ? sandbox.addresses : (workloads.get(uid)?.addresses ?? [])
    })
    return [...new Set(all)].sort()
  }
  const tellNode = (): Promise<void> => {
    const addresses = reachable()
    told = addresses.join()
    return options.letNodeReach(addresses)
  }
  /** Addresses come to be known after the rules: a pod has none when it is admitted. */
  const tellNodeOfChanges = (): void => {
    if (captures().length === 0 || closing || reachable().join() === told) return
    tellNode().catch((error: unknown) => {
      told = undefined
      log(`the node's own rules: ${adviceOf(error)}`)
    })
  }

  const changed = (): void => {
    for (const wake of [...waiters]) wake()
    if (reporting || closing) return
    reporting = true
    clock.after(gatherMs, () => {
      reporting = false
      const said: Record<string, string> = {}
      for (const [uid, { capture, problem }] of known) {
        if (!wanted(uid)) continue
        const why = problem === '' ? (capture?.problem() ?? '') : problem
        if (capture?.state() === 'captured') said[uid] = ''
        else if (why !== '') said[uid] = why
      }
      const text = JSON.stringify(said)
      if (closing || text === reported) return
      reported = text
      options.report(said)
    })
  }

  const begin = async (uid: string, one: Known): Promise<void> => {
    const workload = workloads.get(uid)
    const identity = workload === undefined ? undefined : parseSpiffeId(workload.identity)
    if (workload === undefined || identity === undefined || closing) return
    const { sandbox } = one
    try {
      const network = options.open(sandbox)
      const capture = openCapture({
        clock, network, traffic: plane.open(uid, network), hold: () => identities.hold(identity),
        letNodeReach: () => tellNode(), onChange: changed,
        onTrouble: (message) => log(`pod ${sandbox.namespace}/${sandbox.name}: ${message}`),
      })
      one.capture = capture
      one.freed = true
      await capture.start()
      one.problem = ''
      one.tries = 0
    } catch (error) {
      one.capture = undefined
      fail(uid, one, error)
    }
    changed()
    decide(uid)
  }

  const fail = (uid: string, one: Known, error: unknown): void => {
    const problem = adviceOf(error)
    if (problem !== one.problem) log(`pod ${one.sandbox.namespace}/${one.sandbox.name} is not captured: ${problem}`)
    one.problem = problem
    one.tries++
    const pause = Math.min(retryPauses.maxMs, retryPauses.baseMs * 2 ** Math.min(one.tries, 10)) * (0.75 + 0.5 * random())
    one.cancelRetry = clock.after(pause, () => {
      one.cancelRetry = undefined
      decide(uid)
    })
  }

  /** A pod that left the mesh while no agent ran would be refused for ever. */
  const free = async (one: Known): Promise<void> => {
    one.freed = true
    try {
      await options.free?.(one.sandbox)
    } catch (error) {
      log(`pod ${one.sandbox.namespace}/${one.sandbox.name}: rules that an earlier agent may have left: ${adviceOf(error)}`)
    }
  }

  /** Does for one pod what has to be done next, if anything. */
  const decide = (uid: string): void => {
    const one = known.get(uid)
    if (one === undefined || closing || !configured) return
    const workload = workloads.get(uid)
    if (one.capture === undefined) {
      if (workload?.capture === true && one.cancelRetry === undefined) void begin(uid, one)
      if (workload?.capture === false && !one.freed) void free(one)
      return
    }
    // One of which the API server knows nothing any more stays as it is until its sandbox goes.
    if (workload === undefined) return
    if (workload.capture === true) one.capture.stay()
    else leave(uid, one, one.capture)
  }

  const leave = (uid: string, one: Known, capture: Capture): void => {
    capture.leave((step) => {
      if (former.delete(capture)) return
      if (step === 'handed over') former.set(capture, uid)
      one.capture = undefined
      void tellNode().catch((error: unknown) => log(`the node's own rules: ${adviceOf(error)}`))
      changed()
      decide(uid)
    })
  }

  const lookout = createLookout({
    clock, log, describe: adviceOf, nodeDamaged: () => options.nodeRulesDamaged?.() ?? Promise.resolve(false), mendNode: tellNode,
    pods: () => [...known].flatMap(([uid, one]) => {
      const { capture, sandbox, patience } = one
      if (capture === undefined || closing) return []
      return {
        name: `${sandbox.namespace}/${sandbox.name}`, patience,
        mend: async () => {
          const damage = await capture.mend()
          return one.capture === capture ? damage : undefined
        },
        // Rules stay: whoever connects meanwhile is refused.
        beginAnew: async () => {
          one.capture = undefined
          await capture.close()
          decide(uid)
        },
      }
    }),
  })

  const forget = (uid: string, one: Known): void => {
    known.delete(uid)
    one.cancelRetry?.()
    for (const [old, of] of former) if (of === uid && former.delete(old)) void old.close()
    const { capture } = one
    if (capture === undefined) return
    void capture.close().then(() => tellNode()).catch((error: unknown) => log(`the node's own rules: ${adviceOf(error)}`))
  }

  const add = (sandbox: Sandbox): void => {
    const present = known.get(sandbox.uid)
    // A pod whose sandbox was made anew: what was in the old one is over.
    if (present !== undefined && present.sandbox.path !== sandbox.path) forget(sandbox.uid, present)
    else if (present !== undefined) {
      present.sandbox = sandbox
      return
    }
    known.set(sandbox.uid, { sandbox, capture: undefined, problem: '', tries: 0, cancelRetry: undefined, patience: createPatience(clock), freed: false })
    decide(sandbox.uid)
  }

  return {
    configure: (next) => {
      if (closing) return undefined
      const inForce = plane.configure(next)
      configured = true
      workloads = workloadsOn(node, next)
      for (const uid of known.keys()) decide(uid)
      tellNodeOfChanges()
      changed()
      return inForce
    },
    see: (sandboxes) => {
      if (closing) return
      const present = new Set<string>()
      for (const sandbox of sandboxes) {
        present.add(sandbox.uid)
        add(sandbox)
      }
      for (const [uid, one] of [...known]) if (!present.has(uid)) forget(uid, one)
      tellNodeOfChanges()
      changed()
    },
    admit: async (sandbox, patienceMs) => {
      if (closing) throw new Error('the agent is stopping')
      add(sandbox)
      const { uid } = sandbox
      const endMs = clock.now() + patienceMs
      for (;;) {
        const one = known.get(uid)
        if (workloads.get(uid)?.capture === false) return false
        if (one?.capture?.state() === 'captured') return true
        if (one !== undefined && one.problem !== '') throw new Error(one.problem)
        const leftMs = endMs - clock.now()
        // In force, only without a certificate yet: nothing can leak, and what the pod sends meanwhile is refused.
        if (leftMs <= 0 && one?.capture?.inForce() === true) return true
        if (leftMs <= 0) throw new Error(workloads.has(uid) ? 'it took too long' : 'no controller has said yet whether it belongs to the mesh')
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            cancel()
            waiters.delete(wake)
            resolve()
          }
          const cancel = clock.after(Math.min(leftMs, 1_000), wake)
          waiters.add(wake)
        })
      }
    },
    settled: () => configured && [...known].every(([uid, { capture, problem }]) => !wanted(uid) || problem !== '' || capture?.inForce() === true),
    pods: () =>
      [...known].flatMap(([uid, { sandbox, capture, problem }]) => {
        if (capture === undefined && !wanted(uid)) return []
        const { namespace, name, addresses, path } = sandbox
        return {
          uid, namespace, name, state: capture?.state() ?? 'waiting', problem: problem === '' ? (capture?.problem() ?? '') : problem, identity: workloads.get(uid)?.identity ?? '', addresses, path,
          rules: capture?.inForce() === true, traffic: capture?.stats(),
        }
      }),
    others: () =>
      [...known].flatMap(([uid, { sandbox: { namespace, name }, capture }]) => (capture === undefined && !wanted(uid) ? { uid, namespace, name, told: workloads.has(uid) } : [])),
    repairs: lookout.repairs,
    drain: async (deadlineMs) => {
      closing = true
      lookout.close()
      for (const { cancelRetry } of known.values()) cancelRetry?.()
      await Promise.all(captures().map((capture) => capture.drain(deadlineMs)))
    },
    close: async () => {
      closing = true
      lookout.close()
      for (const { cancelRetry } of known.values()) cancelRetry?.()
      await Promise.all(captures().map((capture) => capture.close()))
    },
  }
}

/** What went wrong, with what to do about it. */
function adviceOf(error: unknown): string {
  if (!(error instanceof NetworkError)) return messageOf(error)
  const port = /:(\d+)$/.exec(error.syscall)?.[1]
  if (error.code === 'EADDRINUSE') return `port ${port ?? '15001, 15006 or 15008'} is taken in the pod: let the application use another, or label the pod waymark.dev/mesh: disabled`
  if (error.code === 'EPERM' || error.code === 'EACCES') return `${error.message}: the agent needs the capabilities SYS_ADMIN and NET_ADMIN`
  return error.message
}
