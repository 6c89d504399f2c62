import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until something holds; fails after 15 seconds with what it waited for. `turn` runs before each look. */
export async function until(what: string, holds: () => boolean, turn?: () => void): Promise<void> {
  const endMs = performance.now() + 15_000
  for (;;) {
    turn?.()
    if (holds()) return
    if (performance.now() > endMs) throw new Error(`this never came: ${what}`)
    await sleep(2)
  }
}
