import type { Clock } from '../kit/clock.ts'
import { collectLess } from '../kit/collections.ts'
import type { UnknownDestinations } from '../model/destination.ts'
import type { AccessLogLevel } from '../model/infra.ts'
import type { ConnectionCounts } from '../telemetry/connection-counters.ts'
import type { TapSource } from '../telemetry/tap.ts'
import type { ThreadedPlane } from './threads/relay.ts'
import type { TrafficPlane } from './traffic/plane.ts'
import { mostConnections } from './traffic/view.ts'

export interface NodePlaneOptions {
  /** Threads that carry connections; 1: this one. */
  readonly workers: number
  readonly node: string
  readonly unknown: UnknownDestinations
  readonly accessLog: AccessLogLevel
  readonly clock: Clock
  readonly log: { readonly info: (line: string) => void; readonly error: (line: string) => void }
}

/** What carries the traffic of a node's captured pods, and what is told of it. */
export interface NodePlane extends TrafficPlane {
  /** As of the last `refresh`. */
  readonly counts: () => readonly ConnectionCounts[]
  readonly tap: TapSource
  /** Undefined: there are no threads beside this one. */
  readonly threads: Pick<ThreadedPlane, 'serving' | 'states' | 'crashes'> | undefined
}

/** Starts a plane, here or in threads of its own; nothing of the other way is loaded. */
export async function startPlane(options: NodePlaneOptions): Promise<NodePlane> {
  const { workers, node, unknown, accessLog, clock } = options
  if (workers > 1) {
    const { startThreads } = await import('./threads/relay.ts')
    const file = import.meta.url.endsWith('.ts') ? './native/networks.ts' : './native/networks.js'
    const threads = await startThreads({ ...options, count: workers, maxConnections: mostConnections, networks: new URL(file, import.meta.url) })
    return { ...threads, threads }
  }
  const { createPlane } = await import('./traffic/plane.ts')
  const { openThreadTelemetry } = await import('./thread-telemetry.ts')
  const { networks: { originalDestination } } = await import('./native/networks.ts')
  const { telemetry, counters, tap, flushed } = openThreadTelemetry(node, accessLog, clock)
  const plane = createPlane({ node, unknown, telemetry, clock, originalDestination })
  const stopSparing = collectLess(clock)
  return {
    ...plane, tap, threads: undefined,
    counts: () => [counters.counts()],
    close: async () => {
      stopSparing()
      await plane.close()
      await flushed()
    },
  }
}
