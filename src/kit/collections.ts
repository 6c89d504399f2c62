import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import type { Cancel, Clock } from './clock.ts'

/** Bytes that may gather between two major collections, beside what is held. */
const spareBytes = 64 * 1024 * 1024
/** How often what is held is looked at, milliseconds. */
const lookMs = 10_000
/** Percent: V8 itself lets a heap grow so much at least, and knows better for large ones. */
const leastGrowth = 100

/**
 * Has V8 collect a small heap less often, for the whole process: for one that moves bulk. Call it before bulk comes.
 *
 * Every read from a socket is a buffer of up to 64 KiB outside of the heap, and V8 counts those as if they grew it. How much may gather until it marks
 * the whole heap is a multiple of what is held; of the 10 MB of a node agent with few pods, that is a few hundred reads: marking took
 * 40 % of the CPU time of bulk. What is held is looked at again and again, so that the spare stays the same, whatever the heap grows to.
 * Source: V8, `src/heap/heap-controller.cc`, `GrowingFactor`.
 * @returns what takes it back
 */
export function collectLess(clock: Clock): Cancel {
  let cancel: Cancel = () => {}
  const look = (): void => {
    setFlagsFromString(`--heap-growing-percent=${growthFor(getHeapStatistics().used_heap_size)}`)
    cancel = clock.after(lookMs, look)
  }
  look()
  return () => {
    cancel()
    setFlagsFromString('--heap-growing-percent=0')
  }
}

/**
 * Has V8 let the heap double before it marks all of it again, for a process that fills its heap at its start: buffers of what it reads would
 * have it marked a dozen times on the way.
 * @returns what takes it back
 */
export function growFreely(): () => void {
  setFlagsFromString('--heap-growing-percent=100')
  return () => setFlagsFromString('--heap-growing-percent=0')
}

/** Percent by which a heap that holds `usedBytes` may grow; 0: what V8 thinks. */
export function growthFor(usedBytes: number): number {
  const percent = Math.ceil((100 * spareBytes) / usedBytes)
  return percent < leastGrowth ? 0 : percent
}
