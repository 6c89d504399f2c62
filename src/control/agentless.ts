import type { Pod } from '../api/core.ts'
import type { ResourceSet } from '../api/resources.ts'
import type { Clock } from '../kit/clock.ts'
import { debounce } from '../kit/debounce.ts'
import { isMarkedCaptured } from '../model/install.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import type { Recorder } from '../status/recorder.ts'
import { isOver } from '../translate/workloads.ts'
import { nodeOfAgent } from './capture-plan.ts'

/**
 * Nodes that have captured pods and no agent that speaks of them, with the number of those pods: what these send and what is sent to them is refused.
 * @param acknowledgements over all controllers
 */
export function agentlessNodes(pods: ReadonlyMap<NamespacedName, Pod>, acknowledgements: Iterable<Acknowledgement>): ReadonlyMap<string, number> {
  const served = new Set([...acknowledgements].map((each) => nodeOfAgent(each, pods)))
  const found = new Map<string, number>()
  for (const pod of pods.values()) {
    const node = pod.spec?.nodeName
    if (node === undefined || served.has(node) || isOver(pod) || !isMarkedCaptured(pod)) continue
    found.set(node, (found.get(node) ?? 0) + 1)
  }
  return found
}

export interface AgentlessWatchOptions {
  readonly clock: Clock
  readonly recorder: Pick<Recorder, 'record'>
}

/** Tells by Events of nodes that have captured pods and no agent, and when there is one again. */
export interface AgentlessWatch {
  readonly update: (resources: ResourceSet, acknowledgements: Iterable<Acknowledgement>) => void
  /** Whether this controller may write. */
  readonly setActive: (leading: boolean) => void
  readonly close: () => void
}

/** For so long a node may be without, milliseconds: an agent that crashed is back by then, and one that dials another controller too. */
const patienceMs = 15_000
/** Words of many agents come within a moment, and each look is at every pod. */
const gatherMs = 1_000

/** What Events are about. Source: core/v1 Node; the kubelet's own Events have a node's name as its uid, too. */
const nodeObject = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, uid: name } })

export function watchAgentless({ clock, recorder }: AgentlessWatchOptions): AgentlessWatch {
  let newest: { readonly resources: ResourceSet; readonly acknowledgements: Iterable<Acknowledgement> } | undefined
  let active = false
  const since = new Map<string, { readonly ms: number; told: boolean }>()

  const look = (): void => {
    if (newest === undefined || !active) return
    const now = clock.now()
    const without = agentlessNodes(newest.resources.Pod, newest.acknowledgements)
    for (const [node, { ms, told }] of since) {
      if (without.has(node)) continue
      since.delete(node)
      if (told) recorder.record(nodeObject(node), [{ type: 'Normal', reason: 'NodeAgentBack', note: 'No captured pod of this node is without its node agent any more', identity: ['agent-back', String(ms)] }])
    }
    for (const [node, pods] of without) {
      const one = since.get(node) ?? { ms: now, told: false }
      since.set(node, one)
      if (one.told || now < one.ms + patienceMs) continue
      one.told = true
      const note = `No node agent of the mesh serves this node. New connections of its captured pods (${pods}) are refused, and pods of the mesh do not start here. See the pods of DaemonSet waymark-agent on this node`
      recorder.record(nodeObject(node), [{ type: 'Warning', reason: 'NodeAgentGone', note, identity: ['agent-gone', String(one.ms)] }])
    }
    if ([...since.values()].some(({ told }) => !told)) looking.poke()
  }
  const looking = debounce(look, { clock, quietMs: gatherMs, maxMs: gatherMs })
  return {
    update: (resources, acknowledgements) => {
      newest = { resources, acknowledgements }
      if (active) looking.poke()
    },
    setActive: (leading) => {
      active = leading
      if (leading) looking.poke()
      else since.clear()
    },
    close: () => {
      active = false
      looking.cancel()
    },
  }
}
