import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import type { LoadResult, LoadSpec, Reply } from '../protocol.ts'
import { request } from './http.ts'

/** Failures that are told one by one. */
const told = 50

/** Sends at a fixed rate; a slow answer delays nothing but itself. @param stopped ends it early; what is on its way is awaited */
export async function load(spec: LoadSpec, stopped: AbortSignal): Promise<LoadResult> {
  const { rps, forSeconds, ...one } = spec
  const start = performance.now()
  const statuses: Record<string, number> = {}
  const pods: Record<string, number> = {}
  const failures: LoadResult['failures'][number][] = []
  const latencies: number[] = []
  let failed = 0
  let resent = 0
  let sent = 0
  const inFlight = new Set<Promise<void>>()

  const judge = (reply: Reply, atMs: number): void => {
    if (reply.resent === true) resent++
    statuses[reply.status] = (statuses[reply.status] ?? 0) + 1
    if (reply.pod !== undefined) pods[reply.pod] = (pods[reply.pod] ?? 0) + 1
    if (reply.status >= 200 && reply.status < 400) return
    failed++
    const { status, reason, error, pod } = reply
    const more = { ...(reason === undefined ? {} : { reason }), ...(error === undefined ? {} : { error }), ...(pod === undefined ? {} : { pod }) }
    if (failures.length < told) failures.push({ atMs: Math.round(atMs), status, ...more })
  }

  while (!stopped.aborted && performance.now() - start < forSeconds * 1000) {
    for (let dueAt = (sent / rps) * 1000; dueAt <= performance.now() - start; dueAt = (sent / rps) * 1000) {
      sent++
      const due = start + dueAt
      const flying = request({ ...one, brief: true }).then((reply) => {
        latencies.push(performance.now() - due)
        judge(reply, dueAt)
      })
      inFlight.add(flying)
      void flying.finally(() => inFlight.delete(flying))
    }
    await wait(1)
  }
  const lastedMs = Math.round(performance.now() - start)
  await Promise.all(inFlight)
  latencies.sort((a, b) => a - b)
  const at = (fraction: number): number => Math.round((latencies[Math.min(latencies.length - 1, Math.ceil(fraction * latencies.length) - 1)] ?? 0) * 100) / 100
  return { sent, statuses, pods, failures, failed, resent, latency: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }, lastedMs }
}
