/** So many go on at a time: enough not to take long, few enough for each to be on its own. */
const atATime = 5

/**
 * Does something so many times, a few at a time; the first failure ends it, and says which time it was.
 * @param signal begins no further one
 */
export async function often(times: number, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  let next = 0
  const failures: unknown[] = []
  const go = async (): Promise<void> => {
    while (next < times && failures.length === 0) {
      signal.throwIfAborted()
      const at = ++next
      await work().catch((error: unknown) => {
        if (error instanceof Error && times > 1) error.message = `time ${at} of ${times}: ${error.message}`
        failures.push(error)
      })
    }
  }
  await Promise.all(Array.from({ length: Math.min(atATime, times) }, go))
  if (failures.length > 0) throw failures[0]
}
