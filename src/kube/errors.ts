/** What the API server answers when it does not do what it was asked, and what happens on the way to it (status 0). */
export class KubeError extends Error {
  /** HTTP status; 0: no answer came. */
  readonly status: number
  /** `metav1.Status.reason`: `NotFound`, `Conflict`, `AlreadyExists`, `Expired`, `Forbidden`… */
  readonly reason: string
  /** From `Retry-After`, milliseconds. */
  readonly retryAfterMs: number | undefined
  constructor(status: number, reason: string, message: string, retryAfterMs?: number, options?: ErrorOptions) {
    super(message, options)
    this.name = 'KubeError'
    this.status = status
    this.reason = reason
    this.retryAfterMs = retryAfterMs
  }
}

/** Makes the error of an answer out of its body, a `metav1.Status` if it is one. */
export function kubeError(status: number, body: string, what: string, retryAfter: string | undefined): KubeError {
  const { reason = '', message = body.slice(0, 300) } = readStatus(body)
  const seconds = Number(retryAfter)
  return new KubeError(status, reason, `${what}: ${status} ${message}`.trim(), retryAfter === undefined || !(seconds >= 0) ? undefined : seconds * 1000)
}

/** Whether an error is an answer with that status. */
export function isStatus(error: unknown, ...statuses: readonly number[]): error is KubeError {
  return error instanceof KubeError && statuses.includes(error.status)
}

function readStatus(body: string): { reason?: string; message?: string } {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value !== 'object' || value === null) return {}
    const { reason, message } = value as Record<string, unknown>
    return { ...(typeof reason === 'string' ? { reason } : {}), ...(typeof message === 'string' ? { message } : {}) }
  } catch {
    return {}
  }
}
