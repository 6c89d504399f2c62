import type { Clock } from '../../kit/clock.ts'
import type { CredentialSource } from '../../model/credentials.ts'
import type { UnknownDestinations } from '../../model/destination.ts'
import type { WorkloadEntry } from '../../model/entries.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { ConnectionTelemetry } from '../../telemetry/connections.ts'
import type { OriginalDestination, PodNetwork } from '../network.ts'
import { guardsOf, type PodGuards } from './guards.ts'
import { createLoads } from './loads.ts'
import { createCapturedPod, type CapturedPod, type PodStats } from './pod.ts'
import { compileView, workloadsOn, type TrafficView } from './view.ts'

/** The traffic of one captured pod, wherever it is carried. */
export interface PodTraffic {
  /** See `CapturedPod`. @throws {NetworkError} nothing is left behind then */
  readonly start: () => Promise<void>
  readonly certify: (credentials: CredentialSource) => Promise<void>
  readonly drain: (deadlineMs: number) => Promise<void>
  readonly close: () => Promise<void>
  /** As of the last `refresh` of the plane. */
  readonly stats: () => PodStats
  /** Whether a socket that listened in the pod does not any more. */
  readonly deaf: () => Promise<boolean>
}

/** What carries the traffic of a node's captured pods: this thread, or others. */
export interface TrafficPlane {
  /** Gives every pod a configuration; one of which that says nothing keeps what it has. It is in force when this returns, or, of a promise, when that is fulfilled. */
  readonly configure: (snapshot: Snapshot) => unknown
  /** @param uid of the pod @param network the pod's, which stays whose it is */
  readonly open: (uid: string, network: PodNetwork) => PodTraffic
  /** Resolves when what is told of pods, and what was counted, is of now. */
  readonly refresh: () => Promise<void>
  /** Resolves if it can not go on. */
  readonly failed: Promise<Error>
  /** To be called when every pod is closed. */
  readonly close: () => Promise<void>
}

export interface PlaneOptions {
  readonly node: string
  readonly unknown: UnknownDestinations
  readonly originalDestination: OriginalDestination
  readonly clock: Clock
  readonly telemetry: ConnectionTelemetry
  /** 0 ≤ random() < 1: choice of endpoints. */
  readonly random?: () => number
  readonly maxConnections?: number
}

/** Carries the traffic of captured pods in this thread. */
export function createPlane(options: PlaneOptions): TrafficPlane {
  const { node, unknown, clock } = options
  const loads = createLoads({ now: clock.now, random: options.random ?? Math.random })
  const pods = new Map<CapturedPod, { readonly uid: string; guards: PodGuards | undefined }>()
  let present: { readonly snapshot: Snapshot; readonly view: TrafficView; readonly workloads: ReadonlyMap<string, WorkloadEntry> } | undefined

  const update = (pod: CapturedPod): void => {
    const one = pods.get(pod)
    const workload = one === undefined ? undefined : present?.workloads.get(one.uid)
    // One of which the API server knows nothing any more stays as it is until its sandbox goes.
    if (one === undefined || workload === undefined || present === undefined) return
    const { snapshot, view } = present
    if (one.guards?.holds(workload, snapshot) !== true) one.guards = guardsOf(workload, snapshot)
    pod.update({ view, guards: one.guards })
  }

  return {
    configure: (snapshot) => {
      present = { snapshot, view: compileView(snapshot, { node, unknown }), workloads: workloadsOn(node, snapshot) }
      for (const pod of pods.keys()) update(pod)
    },
    open: (uid, network) => {
      const pod = createCapturedPod({ ...options, loads, network })
      pods.set(pod, { uid, guards: undefined })
      update(pod)
      return {
        start: pod.start,
        certify: pod.certify,
        drain: pod.drain,
        stats: pod.stats,
        deaf: () => Promise.resolve(network.deaf()),
        close: async () => {
          pods.delete(pod)
          await pod.close()
        },
      }
    },
    refresh: () => Promise.resolve(),
    failed: new Promise(() => {}),
    close: () => Promise.resolve(),
  }
}
