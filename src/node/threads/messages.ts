import type { UnknownDestinations } from '../../model/destination.ts'
import type { Credentials } from '../../model/credentials.ts'
import type { AccessLogLevel } from '../../model/infra.ts'
import type { ThreadConfiguration, ThreadVerdict } from '../../publish/threads.ts'
import type { ConnectionCounts } from '../../telemetry/connection-counters.ts'
import type { FromTap, ToTap } from '../../telemetry/tap-relay.ts'
import type { NetworkPlace } from '../network.ts'
import type { PodStats } from '../traffic/pod.ts'

/** A captured pod as threads know it. */
export interface ThreadPod {
  /** Tells it from others, also from one that captured the same pod before. */
  readonly id: number
  /** Of the pod. */
  readonly uid: string
  readonly place: NetworkPlace
  /** Whose credentials it has; undefined: it has none yet. */
  readonly account: number | undefined
}

/** A pod's credentials; pods of one service account share them. */
export interface ThreadAccount {
  readonly account: number
  readonly credentials: Credentials
}

/** What a thread that carries connections is started with. */
export interface ThreadStart {
  /** Tells threads of this kind from all others. */
  readonly kind: 'agent'
  readonly node: string
  readonly unknown: UnknownDestinations
  readonly accessLog: AccessLogLevel
  /** URL of the module that opens pods' namespaces, see `Networks`. */
  readonly networks: string
  /** Of each listener of a pod. */
  readonly maxConnections: number
  readonly configuration: ThreadConfiguration
  readonly accounts: readonly ThreadAccount[]
  /** Those that other threads carry already. */
  readonly pods: readonly ThreadPod[]
}

/** Whether a thread's listeners in a pod are there still; `without`: it never had any. */
export type Ears = 'fine' | 'gone' | 'without'

/** What is done for a pod and answered, see `PodTraffic`. */
export type PodRequest =
  | { readonly what: 'start'; readonly pod: ThreadPod }
  | { readonly what: 'certify'; readonly account: number }
  | { readonly what: 'drain'; readonly deadlineMs: number }
  | { readonly what: 'close' }
  | { readonly what: 'deaf' }

/** What the main thread says to one that carries connections. */
export type ToThread =
  | ThreadConfiguration
  /** It has credentials now, or others. */
  | ({ readonly type: 'account' } & ThreadAccount)
  | { readonly type: 'forget'; readonly account: number }
  | { readonly type: 'pod'; readonly call: number; readonly id: number; readonly request: PodRequest }
  /** Asks what it counted and carries; the answer is a sign of life as well. */
  | { readonly type: 'count' }
  | { readonly type: 'end' }
  | ToTap

/** Why a system call in a namespace failed, see `NetworkError`; or anything else, in words. */
export interface ThreadFailure {
  readonly message: string
  readonly code?: string
  readonly syscall?: string
}

/** What such a thread says. */
export type FromThread =
  /** It carries what it was started with. */
  | { readonly type: 'ready' }
  | ThreadVerdict
  | { readonly type: 'done'; readonly call: number; readonly ears?: Ears; readonly failure?: ThreadFailure }
  /** It does not carry a pod that others carry. */
  | { readonly type: 'without'; readonly id: number; readonly failure: ThreadFailure }
  | { readonly type: 'counts'; readonly counts: ConnectionCounts; readonly pods: readonly (readonly [id: number, stats: PodStats])[] }
  | FromTap
  /** The last word: everything that was to be written is. */
  | { readonly type: 'ended' }
