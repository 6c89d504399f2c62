import type { KubeClient } from '../../kube/client.ts'
import type { KubeObject } from '../../kube/object.ts'
import { install } from '../../model/install.ts'
import { policyRules, type PolicyRule } from '../../model/rbac.ts'
import { argsOf, knowsAgents } from '../mesh/agents.ts'
import { failure, ok, some, unlessForbidden, warning, type Line } from './report.ts'
import { extraRights, missingRights } from './rights.ts'

const rbac = 'rbac.authorization.k8s.io/v1'
const again = 'apply the installation again: waymark install --apply, or helm upgrade'

/** Compares the controller's live rights with those that it needs. @param hasAgents the chart gives those for agents, also while these retire */
export function checkControllerRights(client: KubeClient, namespace: string, deployment: KubeObject, hasAgents = false): Promise<readonly Line[]> {
  return unlessForbidden('the controller\'s rights', async () => {
    const name = install.controller
    const [clusterRole, clusterBinding, role, binding] = await Promise.all([
      client.read({ apiVersion: rbac, kind: 'ClusterRole', name }), client.read({ apiVersion: rbac, kind: 'ClusterRoleBinding', name }),
      client.read({ apiVersion: rbac, kind: 'Role', namespace, name }), client.read({ apiVersion: rbac, kind: 'RoleBinding', namespace, name }),
    ])
    const account = serviceAccountOf(deployment)
    const unbound = [
      ...(binds(clusterBinding, 'ClusterRole', namespace, account) ? [] : [`ClusterRoleBinding ${name}`]),
      ...(binds(binding, 'Role', namespace, account) ? [] : [`RoleBinding ${namespace}/${name}`]),
    ]
    return judgeRights({ clusterRules: rulesOf(clusterRole), ownRules: rulesOf(role), unbound, account: `${namespace}/${account}`, ownCaSecret: ownCaSecretOf(deployment), agents: hasAgents || knowsAgents(deployment) })
  }, 'use a context whose user may get roles and their bindings')
}

export interface RightsFacts {
  readonly clusterRules: readonly PolicyRule[]
  readonly ownRules: readonly PolicyRule[]
  /** Bindings that are missing or bind something else. */
  readonly unbound: readonly string[]
  readonly account: string
  readonly ownCaSecret: string | undefined
  /** Whether the controllers reckon with agents on the nodes. */
  readonly agents: boolean
}

/** Judges rights by the table of those that the controller needs. */
export function judgeRights({ clusterRules, ownRules, unbound, account, ownCaSecret, agents }: RightsFacts): readonly Line[] {
  const [cluster, own] = [policyRules('cluster', undefined, agents), policyRules('own', ownCaSecret)]
  const missing = [...missingRights(cluster, clusterRules), ...missingRights(own, [...ownRules, ...clusterRules]).map((each) => `${each} (in its own namespace)`)]
  const extra = [...extraRights(cluster, clusterRules), ...extraRights([...own, ...cluster], ownRules).map((each) => `${each} (in its own namespace)`)]
  const lines = [
    ...(unbound.length === 0 ? [] : [failure(`service account ${account} is not bound to its roles`, again, unbound)]),
    ...(missing.length === 0 ? [] : [failure(`the controller lacks ${missing.length === 1 ? 'a right' : `${missing.length} rights`} that it needs`, again, some(missing, 12))]),
    ...(extra.length === 0 ? [] : [warning('the controller has more rights than it needs', `${again}; docs/rbac.md lists those that it needs`, some(extra, 12))]),
  ]
  return lines.length === 0 ? [ok('the controller has the rights that it needs, and no others')] : lines
}

function rulesOf(role: KubeObject | undefined): readonly PolicyRule[] {
  const { rules } = (role ?? {}) as { readonly rules?: readonly Partial<PolicyRule>[] | null }
  return (rules ?? []).map(({ apiGroups = [], resources = [], verbs = [], resourceNames }) => ({ apiGroups, resources, verbs, ...(resourceNames === undefined ? {} : { resourceNames }) }))
}

interface Binding {
  readonly roleRef?: { readonly kind: string; readonly name: string }
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[] | null
}

function binds(binding: KubeObject | undefined, kind: string, namespace: string, account: string): boolean {
  const { roleRef, subjects } = (binding ?? {}) as Binding
  return roleRef?.kind === kind && roleRef.name === install.controller && (subjects ?? []).some((each) => each.kind === 'ServiceAccount' && each.name === account && each.namespace === namespace)
}

interface Template {
  readonly template?: { readonly spec?: { readonly serviceAccountName?: string } }
}

function serviceAccountOf(deployment: KubeObject): string {
  return (deployment['spec'] as Template | undefined)?.template?.spec?.serviceAccountName ?? install.controller
}

function ownCaSecretOf(deployment: KubeObject): string | undefined {
  return argsOf(deployment).find((each) => each.startsWith('--own-ca-secret='))?.slice('--own-ca-secret='.length)
}
