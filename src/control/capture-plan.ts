import type { Pod } from '../api/core.ts'
import { formatSpiffeId, sameIdentity, type Identity } from '../model/identity.ts'
import { capturedAnnotation, isMarkedCaptured } from '../model/install.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import { isCapturable, isEnrolled } from '../translate/labels.ts'
import { isOver, podIdentity } from '../translate/workloads.ts'

/** What agents say about pods of their own nodes, over all controllers that they are connected to. */
export interface CaptureReports {
  /** Uids of pods that are captured. */
  readonly captured: ReadonlySet<string>
  /** Why a pod can not be captured, by uid. */
  readonly refused: ReadonlyMap<string, string>
  /** Words about pods of other nodes, which are not believed. */
  readonly foreign: readonly ForeignReport[]
}

/** An agent spoke of a pod that does not run on its node. */
export interface ForeignReport {
  /** Name of the agent's pod. */
  readonly agent: string
  readonly node: string
  readonly pod: Pod
}

/** What is to be done about one pod. */
export interface CaptureAction {
  readonly pod: Pod
  /** Whether the pod's annotation shall say that it is captured; undefined: it stays as it is. */
  readonly annotate: boolean | undefined
  /** Why its agent can not capture it. */
  readonly problem: string | undefined
}

/**
 * Puts the words of several agents together. An agent that is being replaced says that a pod is captured while the new one does not yet: then it is.
 * An agent is believed about its own node, and which that is the API server says: by the pod that its token is bound to. Whoever took over one node
 * can so not keep callers from pods of the others.
 */
export function readReports(acknowledgements: Iterable<Acknowledgement>, pods: ReadonlyMap<NamespacedName, Pod>): CaptureReports {
  const captured = new Set<string>()
  const refused = new Map<string, string>()
  const foreign: ForeignReport[] = []
  let byUid: ReadonlyMap<string, Pod> | undefined
  for (const acknowledgement of acknowledgements) {
    const { captures = {}, bound } = acknowledgement
    const node = nodeOfAgent(acknowledgement, pods)
    if (node === undefined) continue
    for (const [uid, why] of Object.entries(captures)) {
      byUid ??= new Map([...pods.values()].map((pod) => [pod.metadata.uid ?? '', pod]))
      const pod = byUid.get(uid)
      // One that is gone, or that this controller has not seen yet.
      if (pod === undefined) continue
      if (pod.spec?.nodeName !== node) foreign.push({ agent: bound?.name ?? '', node, pod })
      else if (why === '') captured.add(uid)
      else refused.set(uid, why)
    }
  }
  for (const uid of captured) refused.delete(uid)
  return { captured, refused, foreign }
}

/** Whose node an agent speaks for: the one of the pod that its token is bound to. Undefined: it is none, or its pod is not known here. */
export function nodeOfAgent({ namespace, bound }: Pick<Acknowledgement, 'namespace' | 'bound'>, pods: ReadonlyMap<NamespacedName, Pod>): string | undefined {
  const agent = bound === undefined ? undefined : pods.get(namespacedName(namespace, bound.name))
  return agent?.metadata.uid === bound?.uid ? agent?.spec?.nodeName : undefined
}

/**
 * What differs between what agents say and what stands at the pods. A pod loses the annotation only when it leaves the mesh: an agent that is
 * away, or can not take a pod over again, must not make anybody send plaintext to a pod that was captured.
 */
export function planCaptures(pods: ReadonlyMap<NamespacedName, Pod>, inMesh: (namespace: string) => boolean, { captured, refused }: Pick<CaptureReports, 'captured' | 'refused'>): readonly CaptureAction[] {
  const actions: CaptureAction[] = []
  for (const pod of pods.values()) {
    const { uid, annotations, deletionTimestamp } = pod.metadata
    if (uid === undefined || isOver(pod) || deletionTimestamp !== undefined) continue
    const stands = annotations?.[capturedAnnotation] !== undefined
    const enrolled = isEnrolled(pod, inMesh) && isCapturable(pod)
    const annotate = enrolled ? (captured.has(uid) && !isMarkedCaptured(pod) ? true : undefined) : stands ? false : undefined
    const problem = enrolled ? refused.get(uid) : undefined
    if (annotate !== undefined || problem !== undefined) actions.push({ pod, annotate, problem })
  }
  return actions
}

/**
 * Whether the owner of a token may have a certificate in another's name: only a node's agent, and only that of a service account with which a
 * pod runs on its own node that it shall capture.
 * @param agent the agents' own identity
 * @returns a string that says why not
 */
export function mayActFor(
  owner: { readonly identity: Identity; readonly pod?: { readonly name: string; readonly uid: string } }, identity: Identity,
  pods: ReadonlyMap<NamespacedName, Pod>, inMesh: (namespace: string) => boolean, agent: Identity,
): true | string {
  if (!sameIdentity(owner.identity, agent)) return `${formatSpiffeId(owner.identity)} is no node agent and may not ask in another's name`
  const own = pods.get(namespacedName(agent.namespace, owner.pod?.name ?? ''))
  const node = own?.metadata.uid === owner.pod?.uid ? own?.spec?.nodeName : undefined
  if (node === undefined) return `the agent's own pod ${owner.pod?.name ?? ''} is not known here yet`
  for (const pod of pods.values()) {
    if (pod.spec?.nodeName !== node || pod.metadata.namespace !== identity.namespace || isOver(pod)) continue
    if (isEnrolled(pod, inMesh) && isCapturable(pod) && podIdentity(pod, agent.trustDomain) === formatSpiffeId(identity)) return true
  }
  return `no pod of the mesh with the identity ${formatSpiffeId(identity)} runs on node ${node}`
}
