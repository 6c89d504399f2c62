export type Severity = 'ok' | 'warning' | 'error'

/** What came of looking at one thing. */
export interface Verdict {
  readonly severity: Severity
  /** What is so; for what is not fine, what is wrong. */
  readonly message: string
  /** Single objects or values that it is about. */
  readonly details?: readonly string[]
  /** What to do about it; whatever is not fine has it. */
  readonly advice?: string
}

export function ok(message: string): Verdict {
  return { severity: 'ok', message }
}

export function warning(message: string, advice: string, details: readonly string[] = []): Verdict {
  return { severity: 'warning', message, advice, ...(details.length === 0 ? {} : { details }) }
}

export function failure(message: string, advice: string, details: readonly string[] = []): Verdict {
  return { severity: 'error', message, advice, ...(details.length === 0 ? {} : { details }) }
}
