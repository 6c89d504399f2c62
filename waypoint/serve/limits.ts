import type { ServerLimits } from '../exchange.ts'
import type { PoolLimits } from '../upstream.ts'

/** What a waypoint holds at most; bytes and milliseconds. */
export interface WaypointLimits {
  /** Requests at a time; one more is answered with `overload`. */
  readonly maxRequests: number
  /** Bytes of one request body that are kept to be sent again. */
  readonly replayBytes: number
  /** Bytes of all request bodies that are kept to be sent again; beyond it nothing more is kept. */
  readonly totalReplayBytes: number
  /** Mirrored copies at a time; more are not made. */
  readonly maxMirrors: number
  /** Bytes of one copy that wait for a slow mirror; more ends the copy. */
  readonly mirrorBytes: number
  /** Longest life of a copy. */
  readonly mirrorTimeoutMs: number
  readonly connectTimeoutMs: number
  /** How long a drain waits for a client's next request on an idle kept-alive connection before it closes it. */
  readonly drainIdleMs: number
  /** Longest drain; what is left then is cut. */
  readonly drainMs: number
  readonly server: ServerLimits
  readonly pool: PoolLimits
}

export const defaultLimits: WaypointLimits = {
  maxRequests: 10_000,
  replayBytes: 64 * 1024,
  totalReplayBytes: 64 * 1024 * 1024,
  maxMirrors: 256,
  mirrorBytes: 256 * 1024,
  mirrorTimeoutMs: 15_000,
  connectTimeoutMs: 5_000,
  drainIdleMs: 3_000,
  drainMs: 30_000,
  server: { maxHeaderBytes: 64 * 1024, maxHeaders: 200, maxTargetBytes: 32 * 1024, headTimeoutMs: 30_000, idleTimeoutMs: 600_000 },
  pool: { maxConnections: 1024, maxPending: 1024, idleTimeoutMs: 60_000, maxAgeMs: 3_600_000 },
}
