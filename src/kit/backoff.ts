export interface BackoffOptions {
  /** Upper limit of the first pause, milliseconds. */
  readonly baseMs: number
  /** Upper limit of every pause, milliseconds. */
  readonly maxMs: number
  /** A number from 0 up to, not including, 1. */
  readonly random: () => number
}

/**
 * How long to wait before the next try: anything from 0 to a limit that doubles with each failure ("full jitter"), so that
 * many clients that failed together do not come back together.
 * @param failures how many tries have failed in a row, at least 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, options: BackoffOptions): number {
  // 2 ** 1024 is Infinity, which min() takes well.
  return Math.floor(options.random() * Math.min(options.maxMs, options.baseMs * 2 ** (failures - 1)))
}
