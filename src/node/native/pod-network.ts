import { writeFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { podTable, tableName } from '../rules/pod.ts'
import { probeTable } from '../rules/probes.ts'
import { removeReplyRouting, replyRouting } from '../rules/routing.ts'
import { NetworkError, type CapturableNetwork } from '../network.ts'
import { openNamespace } from './namespace.ts'
import { changeRouting, dropTable, putTable } from './netlink.ts'
import { bindSocket, dialSocket } from './sockets.ts'

export interface PodNetworkOptions {
  /** What the agent's sockets are marked with: random, not 0, kept over restarts (`pods/marks.ts`). */
  readonly mark: number
  /** Where the node's /proc is mounted for writing, as a container's own is read-only; default `/proc`. */
  readonly proc?: string
}

/**
 * Opens the network namespace at `path`.
 * @throws NetworkError: ENOENT if it is gone, EINVAL if it is no namespace or the node's own, EPERM without CAP_SYS_ADMIN
 */
export function openPodNetwork(path: string, { mark, proc = '/proc' }: PodNetworkOptions): CapturableNetwork {
  const namespace = openNamespace(path)
  const addresses = (): readonly string[] =>
    namespace.run(() =>
      Object.values(networkInterfaces())
        .flatMap((each) => each ?? [])
        .filter((each) => !each.internal && !each.address.startsWith('fe80:'))
        .map((each) => each.address),
    )
  /** IPv6 may be off in a pod, and then has no routes. */
  const families = (): readonly (4 | 6)[] => (addresses().some((each) => isIPv6(each)) ? [4, 6] : [4])
  return {
    bind: (port) => bindSocket(namespace, port),
    dial: (target) => dialSocket(namespace, mark, target),
    addresses,
    capture: async () => {
      namespace.run(() => {
        letListenersMigrate(proc)
      })
      for (const family of families()) await changeRouting(namespace, replyRouting(family))
      await putTable(namespace, podTable(mark))
    },
    relax: () => putTable(namespace, podTable(mark, { redirects: false })),
    release: async () => {
      await dropTable(namespace, tableName)
      for (const family of families()) await changeRouting(namespace, removeReplyRouting(family))
    },
    close: namespace.close,
  }
}

/**
 * Without it, connections that wait in a listener's queue are reset when it closes, even if another process listens on the same port: that would fail
 * connections at each planned restart. Since Linux 5.14.
 */
function letListenersMigrate(proc: string): void {
  const path = join(proc, 'sys/net/ipv4/tcp_migrate_req')
  try {
    writeFileSync(path, '1')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
    // An older kernel does not have it: a restart may reset a few connections there.
    if (code !== 'ENOENT') throw new NetworkError(code, `write ${path}`, 'mount the node\'s /proc and name it')
  }
}

/** Puts the node's own rules in force: see `probeTable`. @throws NetworkError */
export function translateProbes(addresses: readonly string[]): Promise<void> {
  return putTable(undefined, probeTable(addresses))
}

/** Takes the node's own rules away, when the mesh leaves the node. @throws NetworkError */
export function stopTranslatingProbes(): Promise<void> {
  return dropTable(undefined, tableName)
}
