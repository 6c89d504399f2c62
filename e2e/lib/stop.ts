/** What ends a run before its time: a signal, or its time limit. */
export interface Stop {
  readonly signal: AbortSignal
  /** Gives the timer back; signals then end the process as usual. */
  readonly release: () => void
}

/** The first SIGINT or SIGTERM asks for an orderly end, a second SIGINT ends at once. */
export function stopOnSignals(limitSeconds: number, say: (line: string) => void): Stop {
  const control = new AbortController()
  let since = 0
  const stop = (why: string): void => {
    // npm passes a Ctrl-C on that the terminal has sent here already.
    if (control.signal.aborted && Date.now() - since < 1_000) return
    if (control.signal.aborted) process.exit(130)
    since = Date.now()
    say(`${why}: cleaning up${why.startsWith('SIG') ? '; once more ends at once and leaves what is there' : ''}`)
    control.abort(new Error(why))
  }
  const onInt = (): void => stop('SIGINT')
  const onTerm = (): void => stop('SIGTERM')
  process.on('SIGINT', onInt).on('SIGTERM', onTerm)
  const timer = setTimeout(() => stop(`the time limit of ${limitSeconds} s has passed`), limitSeconds * 1000)
  return {
    signal: control.signal,
    release: () => {
      clearTimeout(timer)
      process.off('SIGINT', onInt).off('SIGTERM', onTerm)
    },
  }
}
