/** When a person or an orchestrator wants this process to end. */
export interface StopSignal {
  /** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
  readonly first: Promise<void>
}

/** Exit code of a process that a second signal cut short. Source: 128 + SIGINT, as shells report it. */
const cutShort = 130

/** Listens for SIGINT and SIGTERM. */
export function stopSignal(): StopSignal {
  const first = new Promise<void>((resolve) => {
    let signals = 0
    const onSignal = (): void => {
      signals++
      if (signals === 1) resolve()
      else process.exit(cutShort)
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
  })
  return { first }
}
