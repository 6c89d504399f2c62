import type { AccessLogLevel } from '../../src/model/infra.ts'
import type { Credentials } from '../../src/model/credentials.ts'
import type { Entry, EntryKey } from '../../src/model/entries.ts'
import { apply, type Delta, type Snapshot } from '../../src/model/snapshot.ts'
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
  /** The changes that lead from nothing to the first configuration, see `encodeDelta`, and its number. */
  readonly configuration: string
  readonly generation: number
}

/** What the main thread says to one that serves. */
export type ToThread =
  /** @see encodeDelta */
  | { readonly type: 'configure'; readonly generation: number; readonly delta: string }
  | { readonly type: 'credentials'; readonly credentials: Credentials }
  /** Asks for the counts; the answer is a sign of life as well. */
  | { readonly type: 'count' }
  | { readonly type: 'drain'; readonly deadlineMs: number | undefined }
  | ToTap

/** What a thread that serves says. */
export type FromThread =
  /** It listens, with the configuration that it was started with. */
  | { readonly type: 'listening'; readonly address: { readonly host: string; readonly port: number } }
  | { readonly type: 'configured'; readonly generation: number }
  | { readonly type: 'refused'; readonly generation: number; readonly message: string }
  | { readonly type: 'counts'; readonly counts: Counts }
  | { readonly type: 'debug'; readonly line: string }
  | FromTap
  /** The last word: nothing is in flight any more, and everything that was to be written is. */
  | { readonly type: 'drained' }

/**
 * Changes as they travel between threads: JSON, made once for all threads. Entries came as JSON, so nothing is lost; for 5,000 route
 * tables it takes half of the sender's and two thirds of the receiver's time of a structured clone, which is made anew for each thread.
 */
export function encodeDelta(change: Delta): string {
  return JSON.stringify(change)
}

/** The Snapshot after changes that `encodeDelta` encoded. */
export function applyEncoded(before: Snapshot, encoded: string): Snapshot {
  return apply(before, JSON.parse(encoded) as Delta)
}

/** A whole Snapshot as changes. */
export function everythingIn(snapshot: Snapshot): Delta {
  return { put: [...snapshot] satisfies [EntryKey, Entry][], remove: [] }
}
