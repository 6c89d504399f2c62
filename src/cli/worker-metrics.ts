import type { Labels } from '../telemetry/counters.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** Threads that serve, for a process that has several. */
export interface WorkerFigures {
  /** How many serve now. */
  readonly serving: () => number
  readonly crashes: () => number
  readonly states: () => readonly { readonly worker: number; readonly busySeconds: number }[]
}

/** @param labels whose threads they are */
export function registerWorkers(metrics: Metrics, labels: Labels, { serving, crashes, states }: WorkerFigures): void {
  metrics.register({ name: 'waymark_workers', help: 'Threads that listen.', type: 'gauge', values: () => [{ labels, value: serving() }] })
  metrics.register({
    name: 'waymark_worker_crashes_total', help: 'Threads that ended and were not meant to; another took the place of each.', type: 'counter',
    values: () => [{ labels, value: crashes() }],
  })
  metrics.register({
    name: 'waymark_worker_busy_seconds_total', help: 'Time in which a thread worked; it shows how connections are spread.', type: 'counter',
    values: () => states().map(({ worker, busySeconds }) => ({ labels: { ...labels, worker: String(worker) }, value: busySeconds })),
  })
}
