/** Which endpoint a pod's last connection to each Service port with session affinity went to. */
export interface Affinity {
  /** @returns the endpoint's `address:port` while it is remembered */
  readonly last: (servicePort: string) => string | undefined
  /** @param seconds for how long, from now */
  readonly remember: (servicePort: string, endpoint: string, seconds: number) => void
}

/** Service ports that one pod is remembered for at most. */
const maxRemembered = 1_000

/** The client is the pod, so each pod has its own. Source: core/v1 Service `sessionAffinity`, as kube-proxy keeps it for each Service port. */
export function createAffinity(now: () => number): Affinity {
  const remembered = new Map<string, { readonly endpoint: string; readonly untilMs: number }>()
  return {
    last: (servicePort) => {
      const found = remembered.get(servicePort)
      if (found === undefined) return undefined
      if (now() < found.untilMs) return found.endpoint
      remembered.delete(servicePort)
      return undefined
    },
    remember: (servicePort, endpoint, seconds) => {
      remembered.delete(servicePort)
      // The one that was used longest ago goes.
      if (remembered.size >= maxRemembered) for (const oldest of remembered.keys()) if (remembered.delete(oldest)) break
      remembered.set(servicePort, { endpoint, untilMs: now() + seconds * 1000 })
    },
  }
}
