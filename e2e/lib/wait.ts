import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitOptions {
  /** Milliseconds; a minute by default. */
  readonly withinMs?: number
  /** Milliseconds between two looks, at least 100. */
  readonly everyMs?: number
  readonly signal?: AbortSignal
}

/**
 * Looks again and again until `probe` gives something other than undefined or false. A probe that throws is asked again.
 * @throws after the time limit, with what it waited for and the last error
 */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false>, options: WaitOptions = {}): Promise<T> {
  const { withinMs = 60_000, everyMs = 200, signal } = options
  const deadline = Date.now() + withinMs
  let last: unknown
  for (;;) {
    signal?.throwIfAborted()
    try {
      const found = await probe()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) {
      const detail = last instanceof Error ? `; last: ${last.message}` : ''
      throw new Error(`waited ${Math.round(withinMs / 1000)} s in vain for ${what}${detail}`)
    }
    await sleep(Math.max(100, everyMs), undefined, signal === undefined ? {} : { signal })
  }
}

/** Waits for all, also if one fails, so that nothing goes on unseen; then throws the first failure. */
export async function together(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}

/** Runs `work` for each item, at most `limit` at once; all are run, then the first failure is thrown. */
export async function inParallel<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const failures: unknown[] = []
  await Promise.all(
    Array.from({ length: Math.min(limit, items.length) }, async () => {
      for (let at = next++; at < items.length; at = next++) {
        const item = items[at]
        if (item !== undefined) await work(item).catch((error: unknown) => failures.push(error))
      }
    }),
  )
  if (failures.length > 0) throw failures[0]
}
