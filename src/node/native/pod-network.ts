import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { podTable, replyMark, tableName } from '../rules/pod.ts'
import { probeTable } from '../rules/probes.ts'
import { removeReplyRouting, replyRouting } from '../rules/routing.ts'
import type { Table } from '../rules/table.ts'
import { NetworkError, type CapturableNetwork } from '../network.ts'
import { hasUnsent } from '../pods/tcp.ts'
import { openNamespace, type Namespace } from './namespace.ts'
import { changeRouting, dropTable, forgetConnections, hasRouting, hasTable, putTable, readTable, watchChanges, type ChangeWatch } from './netlink.ts'
import { bindSocket, dialSocket, isListening } from './sockets.ts'

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
  const table = podTable(mark)
  const sockets: { readonly fd: number; listened: boolean }[] = []
  let watch: ChangeWatch | undefined
  /** Fingerprint of the rules as they were put in force; undefined: they are not, or not any more. */
  let put: string | undefined
  const forget = (): void => {
    put = undefined
    watch?.close()
    watch = undefined
  }
  const deafened = (): boolean => {
    let lost = false
    for (const each of sockets) {
      const listens = isListening(each.fd)
      if (each.listened && !listens) lost = true
      each.listened = listens
    }
    return lost
  }
  return {
    place: { path, mark },
    bind: (port) => {
      const fd = bindSocket(namespace, port)
      sockets.push({ fd, listened: false })
      return fd
    },
    dial: (target) => dialSocket(namespace, mark, target),
    addresses,
    deaf: deafened,
    capture: async () => {
      namespace.run(() => {
        letListenersMigrate(proc)
      })
      // Those of an agent that were cut when the pod left, as the kernel did not see them end: a new one between the same ports would be taken for them.
      if (put === undefined && !(await hasTable(namespace, tableName))) await forgetConnections(namespace, replyMark)
      // From before the rules: what is changed after they were put in is heard of.
      watch ??= watchChanges(namespace)
      for (const family of families()) await changeRouting(namespace, replyRouting(family))
      await putTable(namespace, table)
      put = await readTable(namespace, table)
    },
    damaged: async () => {
      if (watch?.changed() !== true) return false
      const whole = put !== undefined && (await readTable(namespace, table)) === put && (await hasRouting(namespace, families()))
      // Let go of, or left, meanwhile.
      return !whole && (watch as ChangeWatch | undefined) !== undefined
    },
    unsent: () => {
      const tables = ['tcp', 'tcp6'].filter((name) => existsSync(`/proc/net/${name}`))
      // Of the thread, which is in the pod meanwhile.
      return namespace.run(() => tables.map((name) => readFileSync(`/proc/thread-self/net/${name}`, 'latin1'))).some(hasUnsent)
    },
    relax: () => {
      forget()
      return putTable(namespace, podTable(mark, { redirects: false }))
    },
    release: async () => {
      forget()
      await dropTable(namespace, tableName)
      for (const family of families()) await changeRouting(namespace, removeReplyRouting(family))
    },
    close: () => {
      forget()
      namespace.close()
    },
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

/** The node's own rules, by which probes pass. */
export interface ProbeRules {
  /** Puts them in force for these addresses: see `probeTable`; for none, which is when no pod is captured any more, takes them away. @throws NetworkError */
  readonly put: (addresses: readonly string[]) => Promise<void>
  /** Whether somebody has taken them away or changed them since. @throws NetworkError */
  readonly damaged: () => Promise<boolean>
  /** Looks after them no longer; they stay. */
  readonly close: () => void
}

export function openProbeRules(): ProbeRules {
  let watch: ChangeWatch | undefined
  let present: { readonly table: Table; readonly fingerprint: string | undefined } | undefined
  return {
    put: async (addresses) => {
      if (addresses.length === 0) {
        present = undefined
        await dropNodeRules()
        return
      }
      watch ??= watchChanges(undefined)
      const table = probeTable(addresses)
      await putTable(undefined, table)
      present = { table, fingerprint: await readTable(undefined, table) }
    },
    damaged: async () => {
      if (watch === undefined || present === undefined || !watch.changed()) return false
      const { table, fingerprint } = present
      // Addresses may be another agent's, which takes over.
      return fingerprint === undefined || (await readTable(undefined, table)) !== fingerprint
    },
    close: () => {
      watch?.close()
      watch = undefined
    },
  }
}

/** Takes the node's own rules away, if there are any. @throws NetworkError */
export async function dropNodeRules(): Promise<void> {
  if (await hasTable(undefined, tableName)) await dropTable(undefined, tableName)
}

/**
 * Whether there are rules of an agent in the namespace at `path`, of this one or one before, whatever their state.
 * @returns false also for one that is gone or is the node's own @throws NetworkError: EPERM
 */
export async function hasPodRules(path: string): Promise<boolean> {
  let namespace: Namespace
  try {
    namespace = openNamespace(path)
  } catch (error) {
    if (error instanceof NetworkError && error.code === 'EPERM') throw error
    return false
  }
  try {
    return await hasTable(namespace, tableName)
  } finally {
    namespace.close()
  }
}
