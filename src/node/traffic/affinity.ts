import { hash } from 'node:crypto'

/** Which endpoint a pod's last connection to each Service port with session affinity went to. */
export interface Affinity {
  /**
   * Picks the endpoint of the last connection while it is remembered and there; else one by hash, so that every thread and the agent's next process
   * pick the same without asking each other, and a change of endpoints moves few.
   * @param keyOf `address:port`
   * @returns undefined only if there is none
   */
  readonly pick: <T>(servicePort: string, candidates: readonly T[], keyOf: (candidate: T) => string) => T | undefined
  /** @param seconds for how long, from now */
  readonly remember: (servicePort: string, endpoint: string, seconds: number) => void
}

/** Service ports that one pod is remembered for at most. */
const maxRemembered = 1_000

/**
 * The client is the pod, so each pod has its own. Sources: core/v1 Service `sessionAffinity`, as kube-proxy keeps it for each Service port; D. Thaler,
 * C. Ravishankar, "A Name-Based Mapping Scheme for Rendezvous".
 * @param pod tells pods apart
 */
export function createAffinity(pod: string, now: () => number): Affinity {
  const remembered = new Map<string, { readonly endpoint: string; readonly untilMs: number }>()
  return {
    pick: (servicePort, candidates, keyOf) => {
      const found = remembered.get(servicePort)
      if (found !== undefined && now() >= found.untilMs) remembered.delete(servicePort)
      else if (found !== undefined) {
        const last = candidates.find((each) => keyOf(each) === found.endpoint)
        if (last !== undefined) return last
      }
      const weighed = candidates.map((candidate) => ({ candidate, weight: hash('sha1', `${pod} ${servicePort} ${keyOf(candidate)}`) }))
      return weighed.reduce<(typeof weighed)[number] | undefined>((best, each) => (best === undefined || each.weight > best.weight ? each : best), undefined)?.candidate
    },
    remember: (servicePort, endpoint, seconds) => {
      remembered.delete(servicePort)
      // The one that was used longest ago goes.
      if (remembered.size >= maxRemembered) for (const oldest of remembered.keys()) if (remembered.delete(oldest)) break
      remembered.set(servicePort, { endpoint, untilMs: now() + seconds * 1000 })
    },
  }
}
