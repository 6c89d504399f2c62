/** When a person or an orchestrator wants this process to end. */
export interface StopSignal {
  /** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
  readonly first: Promise<void>
  /** Lets the process end by itself again. */
  readonly release: () => void
}

/** Exit code of a process that a second signal cut short. Source: 128 + SIGINT, as shells report it. */
const cutShort = 130

/** Longest that a timer takes, milliseconds. */
const forever = 2 ** 31 - 1

/** Listens for SIGINT and SIGTERM, and keeps the process alive until `release`: the mesh's own timers do not. */
export function stopSignal(): StopSignal {
  const alive = setInterval(() => {}, forever)
  let signals = 0
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const onSignal = (): void => {
    signals++
    if (signals === 1) resolve(undefined)
    else process.exit(cutShort)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    first: promise,
    release: () => {
      clearInterval(alive)
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}
