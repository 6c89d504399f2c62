import { reason } from '../../src/model/reasons.ts'
import type { LocalAnswer } from '../compiled.ts'
import type { FilterStep } from './step.ts'

/**
 * A filter that can't be honoured answers every request with 500; it is never skipped, for it may be the one that keeps a secret.
 * Source: HTTPRouteFilter "extensionRef".
 */
export function compileUnresolved(): FilterStep {
  return { onRequest: unresolvedAnswer }
}

/** The answer of a rule with a filter that can't be honoured. */
export function unresolvedAnswer(): LocalAnswer {
  const { status, message } = reason('unresolved-filter')
  return { status, headers: ['content-type', 'text/plain; charset=utf-8'], body: `${message}\n`, reason: 'unresolved-filter' }
}
