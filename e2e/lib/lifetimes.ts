import { installMesh, type Installation } from './install.ts'
import type { Kube } from './kube.ts'

/** Short enough for a rotation, each step of which takes one lifetime, and long enough for a renewal on a busy machine. */
export const shortLifetimeSeconds = 60

/** Changes how long certificates of the installation live. */
export interface Lifetimes {
  /** Changes the installation, if it has another lifetime. */
  readonly change: (seconds: number) => Promise<void>
  /** Resolves when every certificate has the lifetime that was set last, provided that was a longer one. */
  readonly settled: () => Promise<void>
}

/** Certificates are renewed when 45 to 55 percent of their time is over; the rest is for the renewal itself. */
const renewedAt = 0.65

export function lifetimesOf(kube: Kube, installation: Installation, signal: AbortSignal, say: (line: string) => void): Lifetimes {
  const { namespace, controller } = installation
  let settledAtMs = 0
  return {
    change: async (seconds) => {
      const deployment = await kube.get('Deployment', namespace, controller)
      const present = Number(/--svid-lifetime=(\d+)/.exec(JSON.stringify(deployment['spec']))?.[1])
      if (present === seconds) return
      const { tookMs } = await installMesh(kube, installation, { svidLifetimeSeconds: seconds, signal })
      if (seconds > present) settledAtMs = Date.now() + present * 1000 * renewedAt
      say(`changed the lifetime of certificates from ${present} to ${seconds} s (${(tookMs / 1000).toFixed(1)} s)`)
    },
    settled: async () => {
      const leftMs = settledAtMs - Date.now()
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs))
      signal.throwIfAborted()
    },
  }
}
