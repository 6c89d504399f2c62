import { cpus } from 'node:os'
import { cpuMs, systemBusyMs } from '../procfs.ts'
import { monotonicMs } from './clock.ts'

/**
 * Begins to watch what other processes use of the machine.
 * @param own processes of the benchmark, which run already
 * @param fresh those that were started just now, all of whose time counts
 * @returns tells the share of all processors, 0..1, that was used by others until now
 */
export function watchStrangers(own: readonly number[], fresh: readonly number[] = []): () => number {
  const usedMs = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const [startedMs, busyMs, ownMs] = [monotonicMs(), systemBusyMs(), usedMs(own)]
  return () => {
    const othersMs = systemBusyMs() - busyMs - (usedMs([...own, ...fresh]) - ownMs)
    return Math.max(0, othersMs / ((monotonicMs() - startedMs) * cpus().length))
  }
}
