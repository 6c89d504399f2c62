/** A port or socket that could not be opened. */
export class ListenError extends Error {
  /** The command's option that moves it elsewhere. */
  readonly option: string
  constructor(what: string, where: string, option: string, cause: NodeJS.ErrnoException) {
    const why = cause.code === 'EADDRINUSE' ? 'is in use' : `can not be listened on (${cause.code ?? cause.message})`
    super(`${where} for ${what} ${why}; choose another with ${option}`, { cause })
    this.name = 'ListenError'
    this.option = option
  }
}

/** Runs `listen`; its listen error becomes a `ListenError`. */
export async function listening<T>(what: string, where: string, option: string, listen: () => Promise<T>): Promise<T> {
  try {
    return await listen()
  } catch (error) {
    if (error instanceof Error && 'syscall' in error && error.syscall === 'listen') throw new ListenError(what, where, option, error as NodeJS.ErrnoException)
    throw error
  }
}
