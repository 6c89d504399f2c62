import type { LoadResult, LoadSpec } from '../app/protocol.ts'
import type { Client } from './client.ts'

/** What a steady load met. */
export interface Steady<T> {
  readonly result: T
  readonly load: LoadResult
  /** For the line of the case. */
  readonly told: string
}

export interface SteadyOptions extends Partial<LoadSpec> {
  readonly url: string
  /** Milliseconds of load before and after `work`; 1,000 by default. */
  readonly quietMs?: number
}

/** Requests per second, and milliseconds for each, unless told otherwise: late is not failed, and how late is told. */
const usual = { rps: 200, timeoutMs: 60_000 }

/**
 * Does `work` while a client sends requests at a steady rate.
 * @throws with the failures, if a single request fails; what `work` throws comes first
 */
export async function withoutFailure<T>(what: string, from: Pick<Client, 'load'>, options: SteadyOptions, work: () => Promise<T>): Promise<Steady<T>> {
  const { quietMs = 1_000, ...spec } = options
  const running = await from.load({ ...usual, forSeconds: 290, ...spec })
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, quietMs))
  const startMs = performance.now()
  let workedMs: readonly [number, number] = [0, 0]
  let result: T
  try {
    await pause()
    workedMs = [performance.now() - startMs, 0]
    // A load that ends early, as with its driver, must not look like one without failures.
    const ended = running.done.then(() => {
      throw new Error(`${what}: the load ended before the work did`)
    })
    result = await Promise.race([work(), ended])
    workedMs = [workedMs[0], performance.now() - startMs]
    await pause()
  } catch (error) {
    const load = await running.stop().catch(() => undefined)
    if (error instanceof Error && load !== undefined) error.message += `; meanwhile: ${tell(what, load)}`
    throw error
  }
  const load = await running.stop()
  const told = tell(what, load)
  if (load.failed > 0) {
    throw new Error(`${told}; the work lasted from ${Math.round(workedMs[0])} to ${Math.round(workedMs[1])} ms; the first failures: ${JSON.stringify(load.failures.slice(0, 12))}`)
  }
  return { result, load, told }
}

function tell(what: string, { sent, failed, resent, latency, statuses }: LoadResult): string {
  const again = resent === 0 ? '' : `, ${resent} sent again`
  return `${what}: ${sent} requests, ${failed} failed${failed === 0 ? '' : ` ${JSON.stringify(statuses)}`}${again}, p50 ${latency.p50} ms, p99 ${latency.p99} ms`
}
