import { kinds as meshKinds } from '../../src/api/resources.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { pathInfo, type PathInfo } from '../../src/kube/paths.ts'

/** A kind as the simulated server serves it. */
export interface ServedKind extends PathInfo {
  readonly kind: string
  /** Whether it has the subresource `status`, apart from which a write leaves the status alone. */
  readonly status: boolean
  /** Whether it comes with a CustomResourceDefinition: those are updated only with a resourceVersion. */
  readonly custom: boolean
}

/** Kinds whose paths the client under test knows. */
const known = [
  ...Object.keys(meshKinds),
  ...['Deployment', 'DaemonSet', 'PodDisruptionBudget', 'HorizontalPodAutoscaler', 'Lease', 'Event', 'TokenReview', 'SelfSubjectAccessReview'],
  ...['CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'],
]

/** Kinds that a cluster has besides: `kind group version plural scope`. */
const others = `
  Event - v1 events namespaced
  ReplicaSet apps v1 replicasets namespaced
  StatefulSet apps v1 statefulsets namespaced
  Job batch v1 jobs namespaced
  NetworkPolicy networking.k8s.io v1 networkpolicies namespaced
  ValidatingAdmissionPolicy admissionregistration.k8s.io v1 validatingadmissionpolicies cluster
  ValidatingAdmissionPolicyBinding admissionregistration.k8s.io v1 validatingadmissionpolicybindings cluster
  PriorityClass scheduling.k8s.io v1 priorityclasses cluster
  BackendTLSPolicy gateway.networking.k8s.io v1 backendtlspolicies namespaced`

const withoutStatus = new Set([
  ...['EndpointSlice', 'ServiceAccount', 'Secret', 'ConfigMap', 'ReferenceGrant', 'Lease', 'Event', 'TokenReview', 'SelfSubjectAccessReview'],
  ...['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'NetworkPolicy', 'PriorityClass', 'ValidatingAdmissionPolicyBinding'],
])

/** Groups whose kinds come with definitions. */
function isCustom(group: string): boolean {
  return group.includes('.') && (!group.endsWith('.k8s.io') || group === 'gateway.networking.k8s.io')
}

/** What is served from the start, by `group/plural`. */
export function builtInKinds(): Map<string, ServedKind> {
  const served = new Map<string, ServedKind>()
  const add = (kind: string, info: PathInfo): void => {
    served.set(`${info.group}/${info.plural}`, { ...info, kind, status: !withoutStatus.has(kind), custom: isCustom(info.group) })
  }
  for (const kind of known) {
    const info = pathInfo(kind)
    if (info !== undefined) add(kind, info)
  }
  for (const line of others.trim().split('\n')) {
    const [kind = '', group = '', version = '', plural = '', scope] = line.trim().split(' ')
    add(kind, { group: group === '-' ? '' : group, versions: [version], plural, namespaced: scope === 'namespaced' })
  }
  return served
}

/** How an unknown kind would be served, told from one object of it. */
export function guessKind({ apiVersion, kind, metadata }: KubeObject): ServedKind {
  const [group, version] = splitVersion(apiVersion)
  const plural = `${kind.toLowerCase()}s`
  return { kind, group, versions: [version], plural, namespaced: metadata.namespace !== undefined, status: true, custom: isCustom(group) }
}

/** `apps/v1` → `apps`, `v1`; `v1` → ``, `v1`. */
export function splitVersion(apiVersion: string): readonly [group: string, version: string] {
  const [first = '', second] = apiVersion.split('/')
  return second === undefined ? ['', first] : [first, second]
}

/** The `apiVersion` under which objects of a kind are kept. */
export function versionOf({ group, versions }: ServedKind): string {
  return group === '' ? versions[0] : `${group}/${versions[0]}`
}
