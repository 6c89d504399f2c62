import { install } from '../../src/model/install.ts'
import { installMesh, type Installation } from './install.ts'
import type { Kube } from './kube.ts'
import { until } from './wait.ts'

/** Selects the agents' pods. */
export const agentPods = 'app.kubernetes.io/name=waymark,app.kubernetes.io/component=agent'

/** Switches node agents on and off. */
export interface Agents {
  /** Changes the installation, if it is otherwise. Before they go, namespaces of cases are awaited to be gone, unless they have left the mesh. */
  readonly change: (on: boolean, options?: { readonly membersLeft?: boolean }) => Promise<void>
}

export function agentsOf(kube: Kube, installation: Installation, signal: AbortSignal, say: (line: string) => void): Agents {
  const { namespace } = installation
  return {
    change: async (on, { membersLeft = false } = {}) => {
      if (((await kube.find('DaemonSet', namespace, install.agent)) !== undefined) === on) return
      // As operators do: their host network and capabilities need it where namespaces are restricted by default.
      if (on) await kube.patch('Namespace', undefined, namespace, { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } })
      // First what they hold, or it stays held.
      else if (!membersLeft) await membersGone(kube, signal)
      const { tookMs } = await installMesh(kube, installation, { agent: on, signal })
      say(`switched node agents ${on ? 'on' : 'off'} (${(tookMs / 1000).toFixed(1)} s)`)
    },
  }
}

/** Waits until no namespace of the suite is left. */
export async function membersGone(kube: Kube, signal: AbortSignal): Promise<void> {
  await until('namespaces of cases to be gone', async () => (await kube.list('Namespace', undefined, 'waymark.dev/e2e=true')).length === 0, { signal, withinMs: 120_000 })
}
