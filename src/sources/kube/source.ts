import { apiVersionOf, emptyResources, kinds as allKinds, type ResourceKind, type ResourceSet } from '../../api/resources.ts'
import type { Clock } from '../../kit/clock.ts'
import { debounce } from '../../kit/debounce.ts'
import type { Readiness, ReadyHandle } from '../../kit/ready.ts'
import type { KubeClient } from '../../kube/client.ts'
import { configLabel } from '../../model/install.ts'
import type { NamespacedName } from '../../model/refs.ts'
import { listWatch, type ListWatch } from './list-watch.ts'
import type { WatchObserver } from './observer.ts'
import { describeProblem, isWorthALine } from './problems.ts'
import { findServed } from './served.ts'
import { trimOf } from './trim.ts'

/** Names an object that was put or is gone. */
export interface DirtyKey {
  readonly kind: ResourceKind
  readonly key: NamespacedName
}

export interface ClusterChange {
  readonly resources: ResourceSet
  /** What changed since the last call; the first time everything. */
  readonly dirty: readonly DirtyKey[]
}

export interface ClusterOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Numbers from 0 up to, not including, 1. Default `Math.random`. */
  readonly random?: (() => number) | undefined
  /** Gets an entry `cluster/KIND` for each kind; once ready it stays so, for what was seen last stays in force. */
  readonly readiness: Readiness
  /** Called first when every kind was listed, then for each batch of changes. Must not throw. */
  readonly onChange: (change: ClusterChange) => void
  /** Called when a kind that was not served is, and the other way round. Must not throw. */
  readonly onServed?: ((kind: ResourceKind) => void) | undefined
  readonly observer?: WatchObserver | undefined
  /** Gets a line for each problem when it shows, and one when it is gone. */
  readonly log: (line: string) => void
  /** Default: all that translation reads. */
  readonly kinds?: readonly ResourceKind[] | undefined
  /** A batch ends when it was quiet for so long, milliseconds. Default 5: a change on its own must travel fast. */
  readonly quietMs?: number | undefined
  /** A batch ends so long after its first change at the latest, milliseconds. Default 250. */
  readonly maxMs?: number | undefined
}

/** The cluster as the mesh sees it. */
export interface ClusterSource {
  /** As of the last batch; empty before the first one. */
  readonly resources: () => ResourceSet
  /** Whether every kind was listed, or is optional and not served. */
  readonly synced: () => boolean
  /** What is wrong now, each with what to do. */
  readonly problems: () => readonly string[]
  /** The `apiVersion` under which the cluster serves a kind, which writers must use; undefined while that is not known. */
  readonly servedVersion: (kind: ResourceKind) => string | undefined
  readonly close: () => void
}

/** What translation reads of a cluster. */
export const clusterKinds: readonly ResourceKind[] = [
  ...(['GatewayClass', 'Gateway', 'HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant'] as const),
  ...(['AuthorizationPolicy', 'MTLSPolicy'] as const),
  ...(['Namespace', 'Service', 'EndpointSlice', 'Pod', 'ConfigMap'] as const),
]

/** Kinds that older releases and channels of Gateway API lack, and our own, which Helm does not bring to an installation that is there already; the mesh works without them. */
export const optionalKinds: ReadonlySet<ResourceKind> = new Set(['GRPCRoute', 'TLSRoute', 'TCPRoute', 'AuthorizationPolicy', 'MTLSPolicy'] as const)

/** What is asked for of a kind that is not read whole. */
export const selectors: Partial<Record<ResourceKind, { readonly labelSelector?: string; readonly fieldSelector?: string }>> = {
  ConfigMap: { labelSelector: configLabel },
  // Pods that are over have no traffic, and jobs leave thousands of them.
  Pod: { fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed' },
}

interface Followed {
  readonly kind: ResourceKind
  readonly watch: ListWatch
  readonly handle: ReadyHandle
  /** Keys that changed since the last batch. */
  dirty: Set<NamespacedName>
  /** The line that was logged last and still holds, and its reason: messages vary from try to try. */
  logged: { readonly reason: string; readonly line: string } | undefined
  counted: boolean
  missing: boolean
}

/** Follows all kinds that the mesh reads. It never ends by itself, and never lets go of what it saw last because of a fault. */
export function watchCluster(options: ClusterOptions): ClusterSource {
  const { client, clock, random = Math.random, readiness, onChange, onServed, observer, log, quietMs = 5, maxMs = 250 } = options
  const versions = new Map<ResourceKind, string>()
  let resources = emptyResources()
  let started = false
  let closed = false

  const publish = (): void => {
    if (closed || !started) return
    const dirty: DirtyKey[] = []
    const changed: [ResourceKind, ReadonlyMap<NamespacedName, unknown>][] = []
    for (const each of followed.values()) {
      if (each.dirty.size === 0) continue
      for (const key of each.dirty) dirty.push({ kind: each.kind, key })
      each.dirty = new Set()
      // One copy of a kind's map for a whole batch.
      changed.push([each.kind, new Map(each.watch.objects)])
    }
    if (changed.length > 0) resources = { ...resources, ...(Object.fromEntries(changed) as Partial<ResourceSet>) }
    onChange({ resources, dirty })
  }
  const batch = debounce(publish, { clock, quietMs, maxMs })

  const judge = (kind: ResourceKind): void => {
    const each = followed.get(kind)
    if (each === undefined || closed) return
    const problem = each.watch.problem()
    if ((problem?.reason === 'missing') !== each.missing) {
      each.missing = !each.missing
      onServed?.(kind)
    }
    const line = problem === undefined ? undefined : describeProblem(kind, problem, optionalKinds.has(kind))
    if (problem !== undefined && line !== undefined && isWorthALine(problem)) {
      if (each.logged?.reason !== problem.reason) log(line)
      each.logged = { reason: problem.reason, line }
    } else if (problem === undefined && each.logged !== undefined) {
      log(`resolved: ${each.logged.line}`)
      each.logged = undefined
    }
    if (!each.counted && (each.watch.synced() || (problem?.reason === 'missing' && optionalKinds.has(kind)))) {
      each.counted = true
      each.handle.ready()
    } else if (!each.counted && line !== undefined) each.handle.notReady(line)
    if (started || !isSynced()) return
    started = true
    batch.cancel()
    publish()
  }
  const isSynced = (): boolean => [...followed.values()].every(({ counted }) => counted)

  const follow = (kind: ResourceKind): Followed => {
    const { group, versions: read } = allKinds[kind]
    const watch = listWatch({
      client,
      clock,
      random,
      observer,
      kind,
      apiVersion: apiVersionOf(group, read[0]),
      trim: trimOf(kind),
      ...selectors[kind],
      path: async () => {
        const { path, apiVersion } = await findServed(client, kind)
        versions.set(kind, apiVersion)
        return path
      },
      onChanges: (changes) => {
        const dirty = followed.get(kind)?.dirty
        for (const { key } of changes) dirty?.add(key)
        if (started) batch.poke()
      },
      onState: () => judge(kind),
    })
    return { kind, watch, handle: readiness.register(`cluster/${kind}`, 'not listed yet'), dirty: new Set(), logged: undefined, counted: false, missing: false }
  }
  const followed: ReadonlyMap<ResourceKind, Followed> = new Map((options.kinds ?? clusterKinds).map((kind) => [kind, follow(kind)]))

  return {
    resources: () => resources,
    synced: isSynced,
    problems: () => [...followed.values()].flatMap(({ logged }) => (logged === undefined ? [] : [logged.line])),
    servedVersion: (kind) => versions.get(kind),
    close: () => {
      closed = true
      batch.cancel()
      for (const { watch } of followed.values()) watch.close()
    },
  }
}
