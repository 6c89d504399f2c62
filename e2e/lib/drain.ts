import type { Context, Role } from './case.ts'
import type { KubeObject } from './objects.ts'

const tainted = 'node-role.kubernetes.io/control-plane'

/** Keeps all but one of a Deployment's pods from being evicted. */
export function disruptionBudget(role: Role, app: string): KubeObject {
  return { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: app, namespace: role }, spec: { maxUnavailable: 1, selector: { matchLabels: { app } } } }
}

/**
 * Gives `use` what drains a node as operators do: no new pods, and evictions of those that are there, as far as their budgets let them. The control-plane
 * takes them meanwhile, though it usually takes none. Afterwards both nodes are as before; pods stay where they are.
 */
export async function drained({ kube }: Pick<Context, 'kube'>, node: string, use: (drain: () => Promise<void>) => Promise<void>): Promise<void> {
  const openNode = (await kube.list('Node', undefined, tainted)).map(({ metadata: { name } }) => name)
  for (const name of openNode) await kube.kubectl(['taint', 'node', name, `${tainted}:NoSchedule-`])
  try {
    await use(async () => {
      await kube.kubectl(['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=150s'], { timeoutMs: 180_000 })
    })
  } finally {
    await kube.kubectl(['uncordon', node])
    for (const name of openNode) await kube.kubectl(['taint', 'node', name, `${tainted}=:NoSchedule`, '--overwrite'])
  }
}
