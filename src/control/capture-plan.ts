import type { Pod } from '../api/core.ts'
import { formatSpiffeId, sameIdentity, type Identity } from '../model/identity.ts'
import { capturedAnnotation } from '../model/install.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { Acknowledgement } from '../publish/acks.ts'
import { isCapturable, isEnrolled } from '../translate/labels.ts'
import { isOver, podIdentity } from '../translate/workloads.ts'

/** What agents say about pods, over all controllers that they are connected to. */
export interface CaptureReports {
  /** Uids of pods that are captured. */
  readonly captured: ReadonlySet<string>
  /** Why a pod can not be captured, by uid. */
  readonly refused: ReadonlyMap<string, string>
}

/** What is to be done about one pod. */
export interface CaptureAction {
  readonly pod: Pod
  /** Whether the pod's annotation shall say that it is captured; undefined: it stays as it is. */
  readonly annotate: boolean | undefined
  /** Why its agent can not capture it. */
  readonly problem: string | undefined
}

/** Puts the words of several agents together. An agent that is being replaced says that a pod is captured while the new one does not yet: then it is. */
export function readReports(acknowledgements: Iterable<Acknowledgement>): CaptureReports {
  const captured = new Set<string>()
  const refused = new Map<string, string>()
  for (const { captures = {} } of acknowledgements) {
    for (const [uid, why] of Object.entries(captures)) {
      if (why === '') captured.add(uid)
      else refused.set(uid, why)
    }
  }
  for (const uid of captured) refused.delete(uid)
  return { captured, refused }
}

/**
 * What differs between what agents say and what stands at the pods. A pod loses the annotation only when it leaves the mesh: an agent that is
 * away, or can not take a pod over again, must not make anybody send plaintext to a pod that was captured.
 */
export function planCaptures(pods: ReadonlyMap<NamespacedName, Pod>, inMesh: (namespace: string) => boolean, { captured, refused }: CaptureReports): readonly CaptureAction[] {
  const actions: CaptureAction[] = []
  for (const pod of pods.values()) {
    const { uid, annotations, deletionTimestamp } = pod.metadata
    if (uid === undefined || isOver(pod) || deletionTimestamp !== undefined) continue
    const stands = annotations?.[capturedAnnotation] !== undefined
    const enrolled = isEnrolled(pod, inMesh) && isCapturable(pod)
    const annotate = enrolled ? (captured.has(uid) && annotations?.[capturedAnnotation] !== 'true' ? true : undefined) : stands ? false : undefined
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
