import type { Clock } from '../kit/clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeObject } from '../kube/object.ts'
import { collectionPath, pathInfo } from '../kube/paths.ts'
import { gatewayNameLabel, managedBy, managedByLabel } from '../model/install.ts'
import { createGone } from '../sources/kube/gone.ts'
import { listWatch, type ListWatch } from '../sources/kube/list-watch.ts'
import type { WatchObserver } from '../sources/kube/observer.ts'
import { asObject } from '../sources/kube/trim.ts'
import { gatewayOf } from './live.ts'

/** The kinds that are made for waypoints, in the order in which they are made. */
export const madeKinds = [
  { kind: 'ServiceAccount', apiVersion: 'v1' },
  { kind: 'Service', apiVersion: 'v1' },
  { kind: 'PodDisruptionBudget', apiVersion: 'policy/v1' },
  { kind: 'Deployment', apiVersion: 'apps/v1' },
  { kind: 'HorizontalPodAutoscaler', apiVersion: 'autoscaling/v2' },
] as const

export interface MadeOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: () => number
  readonly observer?: WatchObserver | undefined
  /** Something of the Gateway `namespace/name` changed, or (undefined) a kind was listed for the first time or can not be. */
  readonly onChange: (gateway: string | undefined) => void
}

/** Everything in the cluster that was made for waypoints, as the API server last told it, by watch or as the answer to a write. */
export interface Made {
  readonly get: (kind: string, key: string) => KubeObject | undefined
  /** Objects of the Gateway `namespace/name`. */
  readonly of: (gateway: string) => readonly KubeObject[]
  /** Every Gateway for which something is there. */
  readonly gateways: () => ReadonlySet<string>
  /** Takes what a write was answered with: the watch tells it later. */
  readonly wrote: (object: KubeObject) => void
  readonly removed: (object: KubeObject) => void
  /** Whether each kind was listed. */
  readonly synced: () => boolean
  /** Why it is not, if there is more to say than that it takes time. */
  readonly problem: () => string | undefined
  readonly close: () => void
}

/** Watches what was made for waypoints. */
export function watchMade({ client, clock, random, observer, onChange }: MadeOptions): Made {
  /** By `kind namespace/name`. */
  const objects = new Map<string, KubeObject>()
  const gone = createGone()
  const put = (object: KubeObject): void => {
    const id = idOf(object)
    const known = objects.get(id)
    // An answer to a write may be newer than what the watch tells just now.
    if (known !== undefined && versionOf(known) > versionOf(object)) return
    objects.set(id, object)
  }
  const remove = (object: KubeObject): void => {
    const known = objects.get(idOf(object))
    if (known?.metadata.uid === object.metadata.uid) objects.delete(idOf(object))
  }
  const watches: readonly ListWatch[] = madeKinds.map(({ kind, apiVersion }) => {
    const info = pathInfo(kind)
    if (info === undefined) throw new Error(`${kind} is not known`)
    let wasSynced = false
    const watch: ListWatch = listWatch({
      client, clock, random, kind, apiVersion, observer,
      path: collectionPath(info),
      labelSelector: `${managedByLabel}=${managedBy},${gatewayNameLabel}`,
      // Who owns the number of replicas stands in managedFields alone.
      trim: kind === 'Deployment' ? keepWhole : asObject,
      onChanges: (changes) => {
        const touched = new Set<string>()
        for (const change of changes) {
          const object = change.kind === 'put' ? change.object : change.previous
          // What has our labels and another name was labelled by somebody else, and is not ours to delete.
          if (gatewayOf(object) !== object.metadata.name) continue
          if (change.kind === 'put') put(object)
          else {
            gone.add(object.metadata.uid)
            remove(object)
          }
          touched.add(keyOf(object))
        }
        for (const gateway of touched) onChange(gateway)
      },
      onState: () => {
        if (wasSynced) return
        wasSynced = watch.synced()
        onChange(undefined)
      },
    })
    return watch
  })
  return {
    get: (kind, key) => objects.get(`${kind} ${key}`),
    of: (gateway) => [...objects.values()].filter((object) => keyOf(object) === gateway),
    gateways: () => new Set([...objects.values()].map(keyOf)),
    wrote: (object) => {
      if (!gone.has(object.metadata.uid)) put(object)
      // Somebody deleted it before the answer came: it is to be made anew.
      else onChange(keyOf(object))
    },
    removed: remove,
    synced: () => watches.every((watch) => watch.synced()),
    problem: () => {
      const stuck = watches.find((watch) => !watch.synced() && watch.problem() !== undefined)
      return stuck?.problem()?.message
    },
    close: () => {
      for (const watch of watches) watch.close()
    },
  }
}

function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${gatewayOf(object) ?? ''}`
}

function idOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
}

/** Source: Kubernetes API concepts: resource versions of one kind are comparable whole numbers. */
function versionOf({ metadata }: KubeObject): bigint {
  const version = metadata.resourceVersion ?? '0'
  return /^\d+$/.test(version) ? BigInt(version) : 0n
}

function keepWhole(value: unknown, apiVersion: string, kind: string): KubeObject {
  return { ...(value as KubeObject), apiVersion, kind }
}
