import type { AccessLogLevel } from '../../src/model/infra.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import type { ThreadConfiguration, ThreadVerdict } from '../../src/publish/threads.ts'
import type { TracingConfig } from '../../src/telemetry/config.ts'
import type { Counts } from '../../src/telemetry/counters.ts'
import type { FromTap, ToTap } from '../../src/telemetry/tap-relay.ts'
import type { WaypointLimits } from '../serve/limits.ts'

/** What a thread that serves is started with. */
export interface ThreadStart {
  /** Tells threads of this kind from all others. */
  readonly kind: 'waypoint'
  /** Of the Gateway. */
  readonly namespace: string
  readonly name: string
  readonly trustDomain: string
  readonly host: string
  /** 0 = any. */
  readonly port: number
  readonly limits: Partial<WaypointLimits>
  readonly accessLog: AccessLogLevel
  readonly tracing: TracingConfig | undefined
  /** Whether lines for people who look for a fault are wanted. */
  readonly debug: boolean
  readonly credentials: Credentials
  /** The first one. */
  readonly configuration: ThreadConfiguration
}

/** What the main thread says to one that serves. */
export type ToThread =
  | ThreadConfiguration
  | { readonly type: 'credentials'; readonly credentials: Credentials }
  /** Asks for the counts; the answer is a sign of life as well. */
  | { readonly type: 'count' }
  | { readonly type: 'drain'; readonly deadlineMs: number | undefined }
  | ToTap

/** What a thread that serves says. */
export type FromThread =
  /** It listens, with the configuration that it was started with. */
  | { readonly type: 'listening'; readonly address: { readonly host: string; readonly port: number } }
  | ThreadVerdict
  | { readonly type: 'counts'; readonly counts: Counts }
  | { readonly type: 'debug'; readonly line: string }
  | FromTap
  /** The last word: nothing is in flight any more, and everything that was to be written is. */
  | { readonly type: 'drained' }
