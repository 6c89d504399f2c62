import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import type { Cancel, Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/message.ts'
import type { Identity } from '../model/identity.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { joinMesh, type JoinOptions, type Member } from '../publish/join.ts'
import { installPlugin, type PluginPlaces } from './cni/install.ts'
import { openMailbox, patienceSeconds, type Mailbox } from './cni/mailbox.ts'
import { createIdentities, type Identities } from './identities.ts'
import { createManager, type Manager } from './manager.ts'
import type { CapturableNetwork } from './network.ts'
import { keepMarks } from './pods/marks.ts'
import { watchPods } from './pods/watch.ts'
import type { TrafficPlane } from './traffic/plane.ts'

/** Where things of the node are, as this process sees them. */
export interface NodePaths {
  /** `/run/netns` of the node. */
  readonly namespaces: string
  /** `/var/lib/cni/results` of the node. */
  readonly results: string
  /** `/proc` of the node, writable. */
  readonly proc: string
  /** The agent's own directory on the node: what must outlive its pod, and the mailbox of the plugin. */
  readonly host: string
  /** The plugin of CNI, and the same directory as the node sees it; undefined: the agent installs none, and pods that have just started may send a little before they are captured. */
  readonly plugin?: PluginPlaces & { readonly hostOnNode: string }
}

export interface AgentOptions {
  readonly node: string
  readonly identity: Identity
  readonly join: Omit<JoinOptions, 'identity' | 'subscriber' | 'onSnapshot' | 'onTrouble' | 'clock' | 'signal'>
  readonly paths: NodePaths
  /** Carries the traffic of the pods; it is to be closed after the agent. */
  readonly plane: TrafficPlane
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told the first time that every pod which shall be captured is. */
  readonly onSettled: () => void
  /** One line for a person. */
  readonly log: (line: string) => void
}

/** The agent of one node. */
export interface Agent {
  readonly member: Member
  readonly manager: Manager
  readonly identities: Identities
  readonly snapshot: () => Snapshot
  /** When the present configuration was taken over, milliseconds since the epoch; undefined: there is none. */
  readonly configuredAtMs: () => number | undefined
  /** The mark that a pod's own rules let pass. @param path of its network namespace */
  readonly markOf: (path: string) => number
  /** Why the plugin of CNI is not in place; '' if it is, or is not wanted. */
  readonly pluginProblem: () => string
  /** Takes nothing new, waits for connections, and ends; rules stay. */
  readonly drain: (deadlineMs: number) => Promise<void>
  readonly close: () => Promise<void>
}

const settledPollMs = 100
/** Left of the plugin's patience for the answer's way back, milliseconds. */
const answerMs = 3_000

/**
 * Joins the mesh as the agent of a node and captures its pods.
 * @throws the reason of `signal`; what the node's directories can't be had for
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { node, identity, paths, plane, clock, log } = options
  // Here and not above: whoever only asks for the agent's types must not load native code.
  const { hasPodRules, openPodNetwork, openProbeRules } = await import('./native/pod-network.ts')
  const marks = keepMarks(`${paths.host}/marks`)
  let snapshot: Snapshot = new Map()
  let configuredAtMs: number | undefined
  let enrol: Mailbox['enrol'] = () => {}
  const joining = Promise.withResolvers<Member>()
  const identities = createIdentities({
    clock, stateDirectory: options.join.stateDirectory, onTrouble: log,
    signFor: async (id, publicKeyPem) => (await joining.promise).signFor(id, publicKeyPem),
  })
  const probes = openProbeRules()
  const reach = inTurn(probes.put)
  const openPod = ({ path }: { readonly path: string }): CapturableNetwork => openPodNetwork(path, { mark: marks.of(basename(path)), proc: paths.proc })
  const manager = createManager({
    node, clock, identities, plane, log,
    open: openPod,
    free: async (pod) => {
      if (!(await hasPodRules(pod.path))) return
      // Another agent that is about to end may have connections there: what remains of the rules does nothing else.
      const network = openPod(pod)
      await network.relax().finally(network.close)
    },
    letNodeReach: reach,
    nodeRulesDamaged: probes.damaged,
    report: (captures) => void joining.promise.then((member) => member.report(captures)),
  })
  const member = await joinMesh({
    ...options.join, clock, identity, signal: options.signal, onTrouble: log,
    subscriber: { kind: 'agent', namespace: identity.namespace },
    onSnapshot: (next) => {
      snapshot = next
      configuredAtMs = clock.now()
      const inForce = manager.configure(next)
      enrol(enrolledIn(next))
      return inForce
    },
  })
  joining.resolve(member)
  const stopFollowing = member.credentials.onChange(({ trustBundlePem }) => identities.updateBundle(trustBundlePem))
  identities.updateBundle(member.credentials.current().trustBundlePem)
  const watch = watchPods({
    results: paths.results, namespaces: paths.namespaces, clock, log,
    onChange: (pods) => {
      manager.see(pods)
      // By what there is, not by whom we know: another agent of this node may know pods of which we have not heard yet.
      marks.keepOnly(readdirSync(paths.namespaces))
    },
  })
  const mailbox = openMailbox({
    directory: `${paths.host}/cni`, log, clock,
    admit: (pod) => manager.admit(watch.announce(pod), patienceSeconds * 1000 - answerMs),
  })
  const { plugin: places } = paths
  const plugin = places === undefined ? undefined : installPlugin({ ...places, directoryOnNode: `${places.hostOnNode}/cni`, log, clock })
  enrol = (namespaces) => {
    const all = [...namespaces]
    // What the plugin asks for before it is asked itself.
    mailbox.enrol(all)
    plugin?.want(all.length > 0)
    // An agent before may have left them. Otherwise they go with the last pod that needs them.
    if (all.length === 0 && manager.pods().length === 0) reach([]).catch((error: unknown) => log(`the node's own rules: ${messageOf(error)}`))
  }
  enrol(enrolledIn(snapshot))
  let cancelPoll: Cancel = () => {}
  const untilSettled = (): void => {
    if (manager.settled()) options.onSettled()
    else cancelPoll = clock.after(settledPollMs, untilSettled)
  }
  untilSettled()

  const end = async (): Promise<void> => {
    cancelPoll()
    mailbox.close()
    plugin?.close()
    watch.close()
    stopFollowing()
    identities.close()
    probes.close()
    await member.close()
  }
  return {
    member, manager, identities,
    pluginProblem: () => plugin?.problem() ?? '',
    snapshot: () => snapshot,
    configuredAtMs: () => configuredAtMs,
    markOf: (path) => marks.of(basename(path)),
    drain: async (deadlineMs) => {
      mailbox.close()
      watch.close()
      await manager.drain(deadlineMs)
      await end()
    },
    close: async () => {
      await manager.close()
      await end()
    },
  }
}

/** Namespaces whose pods start only when they are captured. */
function* enrolledIn(snapshot: Snapshot): Iterable<string> {
  for (const entry of snapshot.values()) if (entry.kind === 'enrolment') yield entry.namespace
}

/** One call after another; of several that wait, only the last is made, for each says all there is. */
function inTurn(work: (addresses: readonly string[]) => Promise<void>): (addresses: readonly string[]) => Promise<void> {
  let running: Promise<void> | undefined
  let next: { readonly done: Promise<void>; addresses: readonly string[] } | undefined
  const run = (addresses: readonly string[]): Promise<void> => {
    const done = work(addresses)
    const settled = done.catch(() => {}).finally(() => {
      if (running === settled) running = undefined
    })
    running = settled
    return done
  }
  return (addresses) => {
    if (running === undefined) return run(addresses)
    if (next !== undefined) {
      next.addresses = addresses
      return next.done
    }
    const waiting: { done: Promise<void>; addresses: readonly string[] } = { addresses, done: Promise.resolve() }
    waiting.done = running.then(() => {
      next = undefined
      return run(waiting.addresses)
    })
    next = waiting
    return waiting.done
  }
}
