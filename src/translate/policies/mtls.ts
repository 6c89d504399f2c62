import { namespaceOf } from '../../api/meta.ts'
import type { MTLSPolicy } from '../../api/policies.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { namespacedName } from '../../model/refs.ts'
import { matchesSelector } from '../listeners.ts'
import { compareAge } from '../order.ts'
import { faultOf } from '../screen.ts'
import type { GuardedPod } from './guards.ts'

export type MtlsMode = 'permissive' | 'strict'

/** What MTLSPolicies mean, and for how many pods each of them counts. */
export interface MtlsModes {
  /** Only of pods for which a policy says it. */
  readonly byPod: ReadonlyMap<NamespacedName, MtlsMode>
  readonly uses: ReadonlyMap<MTLSPolicy, MtlsUse>
}

export interface MtlsUse {
  readonly scope: 'mesh' | 'namespace' | 'pods'
  /** Pods that it is about. */
  readonly pods: number
  /** Pods for which it decides. */
  readonly decides: number
  /** Of those, pods before which no agent stands. */
  readonly outside: number
  /** The policy of the same scope that comes first; undefined: there is none. */
  readonly behind: NamespacedName | undefined
}

interface Draft {
  readonly policy: MTLSPolicy
  readonly scope: MtlsUse['scope']
  readonly behind: NamespacedName | undefined
  pods: number
  decides: number
  outside: number
}

/**
 * Finds the mode of each pod: by the oldest policy whose selector selects it, else by that of its namespace, else by that of the mesh.
 * One that can not be read is strict: it may have asked for it.
 * @param root the namespace whose policies without a selector are about the whole mesh
 */
export function mtlsModes(policies: readonly MTLSPolicy[], pods: readonly GuardedPod[], root: string): MtlsModes {
  const selecting = new Map<string, Draft[]>()
  const whole = new Map<string, Draft>()
  const drafts: Draft[] = []
  for (const policy of [...policies].sort(compareAge)) {
    const namespace = namespaceOf(policy)
    const scope = policy.spec.selector !== undefined ? 'pods' : namespace === root ? 'mesh' : 'namespace'
    const first = scope === 'pods' ? undefined : whole.get(namespace)
    const draft: Draft = { policy, scope, behind: first === undefined ? undefined : namespacedName(namespace, first.policy.metadata.name), pods: 0, decides: 0, outside: 0 }
    drafts.push(draft)
    if (scope === 'pods') selecting.set(namespace, [...(selecting.get(namespace) ?? []), draft])
    else if (first === undefined) whole.set(namespace, draft)
  }
  const byPod = new Map<NamespacedName, MtlsMode>()
  for (const { pod, key, member } of pods) {
    const namespace = namespaceOf(pod)
    const selected = (selecting.get(namespace) ?? []).filter(({ policy }) => policy.spec.selector !== undefined && matchesSelector(policy.spec.selector, pod.metadata.labels ?? {}))
    const candidates = [...selected, whole.get(namespace), ...(namespace === root ? [] : [whole.get(root)])].filter((each) => each !== undefined)
    for (const candidate of candidates) candidate.pods++
    const [winner] = candidates
    if (winner === undefined) continue
    winner.decides++
    if (!member) winner.outside++
    byPod.set(key, modeOf(winner.policy))
  }
  return { byPod, uses: new Map(drafts.map(({ policy, ...use }) => [policy, use])) }
}

/** The mode that a policy asks for. */
export function modeOf(policy: MTLSPolicy): MtlsMode {
  return faultOf(policy) !== undefined || policy.spec.mode !== 'Permissive' ? 'strict' : 'permissive'
}
