import type { Clock } from '../kit/clock.ts'
import type { CredentialSource } from '../model/credentials.ts'
import type { AccessLogLevel } from '../model/infra.ts'
import { namespacedName } from '../model/refs.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { streamSink } from '../telemetry/access-log.ts'
import { tracingConfig } from '../telemetry/config.ts'
import type { Counts } from '../telemetry/counters.ts'
import { createTelemetry } from '../telemetry/create.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TapPoint, type TapSource } from '../telemetry/tap.ts'
import { startTracing } from '../telemetry/tracing.ts'
import { registerWorkers } from './worker-metrics.ts'

export interface DataPlaneOptions {
  /** Threads that serve; 1: this one. */
  readonly workers: number
  /** Of the Gateway. */
  readonly namespace: string
  readonly name: string
  readonly credentials: CredentialSource
  readonly trustDomain: string
  readonly host: string
  /** 0 = any. */
  readonly port: number
  readonly accessLog: AccessLogLevel
  readonly drainMs: number
  /** The first configuration. */
  readonly snapshot: Snapshot
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
  /** See `WorkersOptions`. */
  readonly onListening: (threads: number) => void
}

/** The data plane of a process, in one thread or in several. */
export interface DataPlane {
  readonly address: { readonly host: string; readonly port: number }
  /** In force when this returns, or, of a promise, when that is fulfilled. */
  readonly configure: (snapshot: Snapshot) => unknown
  /** Shows what it does. */
  readonly tap: TapSource
  /** What other threads counted. */
  readonly counts: () => Promise<readonly Counts[]>
  /** Resolves if it can not go on. */
  readonly failed: Promise<Error>
  readonly drain: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Starts the data plane, here or in threads of its own; nothing of the other way is loaded. */
export function startDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  return options.workers === 1 ? startHere(options) : startInThreads(options)
}

async function startHere(options: DataPlaneOptions): Promise<DataPlane> {
  const { namespace, name, credentials, trustDomain, host, port, clock, accessLog, drainMs, metrics, log, snapshot } = options
  const { startWaypoint } = await import('../../waypoint/waypoint.ts')
  const tap = new TapPoint(clock)
  const tracingFrom = tracingConfig()
  const tracing = tracingFrom === undefined ? undefined : await startTracing(tracingFrom)
  const waypoint = await startWaypoint({
    namespace, name, credentials, trustDomain, host, port, clock, limits: { drainMs }, debug: log.debug,
    telemetry: createTelemetry(namespacedName(namespace, name), {
      metrics, tracing, accessLog: accessLog === 'none' ? undefined : streamSink(process.stdout).write, accessLogOf: accessLog === 'errors' ? 'errors' : 'all', tap,
    }),
  })
  waypoint.configure(snapshot)
  return {
    address: waypoint.address,
    configure: waypoint.configure,
    tap,
    counts: () => Promise.resolve([]),
    failed: new Promise(() => {}),
    drain: () => waypoint.drain(),
    close: async () => {
      await waypoint.close()
      await tracing?.close()
    },
  }
}

async function startInThreads(options: DataPlaneOptions): Promise<DataPlane> {
  const { workers: count, drainMs, metrics, onListening, ...others } = options
  const { startWorkers } = await import('../../waypoint/workers/workers.ts')
  let threads = count
  const workers = await startWorkers({
    ...others, count, limits: { drainMs }, tracing: tracingConfig(),
    onListening: (now) => {
      threads = now
      onListening(now)
    },
  })
  registerWorkers(metrics, { waypoint: namespacedName(options.namespace, options.name) }, { ...workers, serving: () => threads })
  return workers
}
