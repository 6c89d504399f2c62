/** An error and what to do about it, in one line. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('advice' in error && typeof error.advice === 'string') return `${error.message}; ${error.advice}`
  return 'syscall' in error && error.syscall === 'getaddrinfo' ? `${error.message}; give an address of this machine with --host` : error.message
}
